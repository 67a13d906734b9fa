"""What the bounds on the node's own requests to others look like."""

import ipaddress
import re
from typing import Final

_HOST: Final = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)
_SHOWN: Final = 80

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def split_allowance(text: str) -> tuple[tuple[Network, ...], tuple[str, ...]]:
    """The networks, and the names of hosts in lower case, out of a list with commas.

    Raises:
        ValueError: an entry is neither.
    """
    networks: list[Network] = []
    hosts: list[str] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        if re.fullmatch(r"[0-9./]+|.*:.*", entry):
            networks.append(_network(entry))
        elif _HOST.fullmatch(entry):
            hosts.append(entry.lower())
        else:
            raise ValueError(_not_that(entry))
    return tuple(networks), tuple(hosts)


def _network(entry: str) -> Network:
    try:
        return ipaddress.ip_network(entry)
    except ValueError as error:
        raise ValueError(f"{_not_that(entry)}: {error}") from None


def _not_that(entry: str) -> str:
    return (
        "must be a list of networks (10.1.0.0/16), addresses and host names (hooks.internal or "
        f"*.internal), not {entry[:_SHOWN]!r}"
    )


def wrong_allowance(text: str) -> str | None:
    """What is wrong with the list of what is allowed; None when nothing is."""
    try:
        split_allowance(text)
    except ValueError as error:
        return str(error)
    return None


def split_ports(text: str) -> frozenset[int]:
    """The ports of a list with commas.

    Raises:
        ValueError: an entry is none.
    """
    ports = set()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        if not re.fullmatch(r"[0-9]{1,5}", entry, re.ASCII) or not 0 < int(entry) <= 65_535:
            raise ValueError(f"must be a list of ports from 1 to 65535, not {entry[:_SHOWN]!r}")
        ports.add(int(entry))
    return frozenset(ports)


def wrong_ports(text: str) -> str | None:
    """What is wrong with the list of ports; None when nothing is."""
    try:
        split_ports(text)
    except ValueError as error:
        return str(error)
    return None
