"""What the list of a cluster's nodes looks like, and which keys go with it."""

import ipaddress
import re
from collections import Counter
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tqnode.config.address import split_address, wrong_name

if TYPE_CHECKING:
    from tqnode.config.model import Config

NODES_MAX: Final = 15
_SHOWN: Final = 80
_TLS: Final = ("peer_tls_cert", "peer_tls_key", "peer_tls_ca")
_NEED_PEERS: Final = ("peer_listen", "peer_secret_file", *_TLS)


def split_peers(text: str) -> dict[str, tuple[str, int]]:
    """The addresses of all nodes by name, out of ``name=host:port,name=host:port,…``.

    Raises:
        ValueError: the text is no such list.
    """
    found = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, address = entry.partition("=")
        if not equals:
            raise ValueError(f"must be a list of name=host:port, not {entry[:_SHOWN]!r}")
        found[name.strip()] = split_address(address.strip())
    return found


def wrong_peers(text: str) -> str | None:
    """All that is wrong with the list of the nodes; None when nothing is.

    Args:
        text: ``name=host:port`` for each, with commas between; empty for one node alone.
    """
    wrong = []
    names: Counter[str] = Counter()
    addresses: Counter[tuple[str, int]] = Counter()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, address = (part.strip() for part in entry.partition("="))
        if not equals:
            wrong.append(f"must be a list of name=host:port, not {entry[:_SHOWN]!r}")
            continue
        problem = wrong_name(name)
        if problem is not None:
            wrong.append(f"a name {problem}")
        names[name] += 1
        try:
            where = split_address(address)
        except ValueError as error:
            wrong.append(f"the address of {name[:_SHOWN]} {error}")
            continue
        if where[1] == 0:
            wrong.append(f"the address of {name[:_SHOWN]} must have a port that the others can know, not 0")
        addresses[where] += 1
    wrong += [
        f"must name each node once, not {name[:_SHOWN]} twice" for name, count in names.items() if count > 1
    ]
    wrong += [
        f"must give each node an address of its own, not {host[:_SHOWN]}:{port} to two"
        for (host, port), count in addresses.items()
        if count > 1
    ]
    if names and not wrong:
        wrong += _wrong_count(len(names))
    return "; ".join(wrong) or None


def _wrong_count(nodes: int) -> list[str]:
    if nodes == 1:
        return ["must have at least 3 nodes; leave it out to run one node alone"]
    if nodes == 2:
        return [
            "must have at least 3 nodes: with 2, the loss of either stops both, and one alone is stopped "
            "less often; add a third one, which may be a small one with witness = true"
        ]
    return [f"must have at most {NODES_MAX} nodes, not {nodes}"] if nodes > NODES_MAX else []


def wrong_url(text: str) -> str | None:
    """What is wrong with the URL that clients are sent to; None when nothing is, or it is empty."""
    if not text:
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return "must be a URL such as http://10.0.0.1:7333"
    plain = not (parts.query or parts.fragment or parts.username or parts.path.strip("/") or port == 0)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain or re.search(r"\s", text):
        return f"must be http:// or https://, a host and perhaps a port, not {text[:_SHOWN]!r}"
    return None


def is_loopback(host: str) -> bool:
    """Whether only this machine can be meant by it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def peer_contradictions(config: "Config") -> list[tuple[str, str]]:
    """What is wrong between the keys of a cluster: (key, what is wrong)."""
    if not config.peers:
        found = [
            (key, "is of use only with peers; leave it out") for key in _NEED_PEERS if getattr(config, key)
        ]
        return (
            [*found, ("witness", "needs peers: a witness alone keeps no queue")] if config.witness else found
        )
    found = []
    if config.name not in config.peer_addresses:
        names = ", ".join(config.peer_addresses)
        found.append(("name", f"must be one of the names in peers ({names}), not {config.name!r}"))
    if config.litestream == "off":
        found.append(("litestream", "must not be off with peers: it writes the log that they keep"))
    if config.peer_listen == config.listen:
        found.append(("peer_listen", f"must be another address than listen ({config.listen})"))
    return found + _wrong_proof(config)


def _wrong_proof(config: "Config") -> list[tuple[str, str]]:
    """What is wrong with how the nodes prove to each other who they are."""
    given = [key for key in _TLS if getattr(config, key)]
    if given and len(given) < len(_TLS):
        missing = [key for key in _TLS if key not in given]
        return [(key, f"must be given together with {', '.join(given)}") for key in missing]
    if given and config.peer_secret_file:
        return [
            ("peer_secret_file", f"must be left out with {_TLS[0]}: certificates prove more than a secret")
        ]
    hosts = [host for host, _ in config.peer_addresses.values()]
    if config.peer_listen:
        hosts.append(split_address(config.peer_listen)[0])
    if given or config.peer_secret_file or all(map(is_loopback, hosts)):
        return []
    return [
        (
            "peers",
            f"needs {', '.join(_TLS)}, or else peer_secret_file, so that nobody else can pass for a node; "
            "only nodes that all listen on this machine's loopback can do without",
        )
    ]
