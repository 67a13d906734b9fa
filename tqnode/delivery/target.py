"""Where a webhook may go: the form of its URL, and the addresses behind its host's name. Pure.

A node stands inside networks that its users do not: without these rules, whoever may enqueue a task could
have the node send requests to what only the node can reach.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tqnode.config.outbound import Network, split_allowance, split_ports

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"[!-~]+")
_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?", re.ASCII)
_HOST_CHARS_MAX = 253

_CLOSED = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",  # "this host": most systems take it for the loopback
            "10.0.0.0/8",
            "100.64.0.0/10",  # shared by carriers; a cloud's metadata too
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's metadata, in the middle of public space
            "169.254.0.0/16",  # link-local, and with it the clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",
        ),
    )
)
_OPEN_V6 = ipaddress.ip_network("2000::/3")
"""All that is routed in public; the rest (loopback, mapped, NAT64, private, link-local, …) is closed."""
_CLOSED_V6 = tuple(
    map(
        ipaddress.ip_network,
        (
            "2001::/23",  # protocols' own, Teredo among them: an IPv4 address may be inside
            "2001:db8::/32",
            "2002::/16",  # 6to4: an IPv4 address is inside
            "3fff::/20",
        ),
    )
)


class BadUrl(ValueError):
    """The URL can't be that of a webhook; the text completes the sentence "the URL …"."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart.

    Args:
        host: the name or address, without brackets.
        port: the one that is connected to.
        path: with the query, as it is sent.
        netloc: host and port as the Host header has them.
    """

    scheme: str
    host: str
    port: int
    path: str
    netloc: str

    @property
    def address(self) -> Address | None:
        """The host, if it is an address and no name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


def parse(url: str) -> Target:
    """Takes a URL apart.

    Raises:
        BadUrl: it is not one that a webhook may have.
    """
    if not _URL.fullmatch(url) or "\\" in url:
        raise BadUrl("must be printable ASCII without spaces or \\ (names in Punycode, the rest in %xx)")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadUrl("must be a URL such as https://example.com/hook") from None
    scheme = parts.scheme
    if scheme not in _PORTS:
        raise BadUrl("must begin with https:// or http://")
    if "@" in parts.netloc:
        raise BadUrl("must hold no user or password: the signature says who sends")
    if parts.fragment:
        raise BadUrl("must have no # part: it would not be sent")
    host = parts.hostname or ""
    if not _is_host(host, bracketed="[" in parts.netloc):
        raise BadUrl("must name a host")
    if port == 0:
        raise BadUrl("must have a port from 1 to 65535")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    shown = f"[{host}]" if ":" in host else host
    netloc = shown if port is None or port == _PORTS[scheme] else f"{shown}:{port}"
    return Target(scheme, host, port or _PORTS[scheme], path, netloc)


def _is_host(host: str, *, bracketed: bool) -> bool:
    if bracketed:
        try:
            return ipaddress.IPv6Address(host).scope_id is None
        except ValueError:
            return False
    return len(host) <= _HOST_CHARS_MAX and _HOST.fullmatch(host) is not None


class Policy:
    """What the node's configuration lets webhooks reach.

    Args:
        allow: networks and hosts that are open besides all that is public, as ``webhook_allow`` has them.
        ports: the ports that are open, as ``webhook_ports`` has them; empty for all.
    """

    def __init__(self, allow: str = "", ports: str = "") -> None:
        self._networks, self._hosts = split_allowance(allow)
        self._ports = split_ports(ports)

    def judge(self, target: Target) -> None:
        """Returns unless the URL alone tells that it is closed.

        Raises:
            BadUrl: its port is, or its host is an address that is.
        """
        if self._ports and target.port not in self._ports:
            raise BadUrl(f"must have one of the ports {', '.join(map(str, sorted(self._ports)))}")
        address = target.address
        if address is not None and not self.permits(address, host=target.host):
            raise BadUrl(f"must lead to a public address, not {address} (webhook_allow opens others)")

    def open_of(self, addresses: Sequence[Address], *, host: str) -> list[Address]:
        """Those of a host's addresses that may be connected to, in their order."""
        return [address for address in dict.fromkeys(addresses) if self.permits(address, host=host)]

    def permits(self, address: Address, *, host: str) -> bool:
        """Whether an address, found under this name, may be connected to."""
        return self._names(host.lower().rstrip(".")) or _within(address, self._networks) or is_public(address)

    def _names(self, host: str) -> bool:
        return any(host.endswith(name[1:]) if name.startswith("*.") else host == name for name in self._hosts)


def is_public(address: Address) -> bool:
    """Whether anybody on the Internet can reach it, as far as an address tells."""
    if address.version == 4:
        return not _within(address, _CLOSED) and address.is_global
    if address.scope_id is not None or not _within(address, [_OPEN_V6]) or _within(address, _CLOSED_V6):
        return False
    # ISATAP: the last half holds an IPv4 address.
    return address.packed[8:12] not in (b"\0\0\x5e\xfe", b"\x02\0\x5e\xfe")


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
