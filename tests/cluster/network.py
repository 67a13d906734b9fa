"""The network of a cluster under test: one namespace for each node, a switch between them, and its faults.

Clients live on the switch. Faults are rules in the nodes' own packet filters, at the receiving end: a cut
from a to b is b deaf to a, so that each direction can be cut alone.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import product

from tests.cluster.namespaces import NetworkNamespace, inside

SWITCH = "clients"
"""The name of the place where clients are."""
_PREFIX = "10.77.0"
_SWITCH_ADDRESS = f"{_PREFIX}.254"
_FILTER = """
table ip faults {
  set unheard { type ipv4_addr; }
  chain cut { type filter hook input priority 0; ip saddr @unheard drop; }
  chain lossy { type filter hook input priority 1; }
  chain detour { type nat hook output priority -100; }
  chain old { type filter hook output priority 0; }
}
"""


class Network:
    """Nodes' namespaces on one switch.

    Args:
        names: of the nodes.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.switch = NetworkNamespace()
        self.switch.command("ip", "link", "add", "switch", "type", "bridge")
        self.switch.command("ip", "address", "add", f"{_SWITCH_ADDRESS}/24", "dev", "switch")
        self.switch.command("ip", "link", "set", "switch", "up")
        self.nodes: dict[str, NetworkNamespace] = {}
        self.addresses = {SWITCH: _SWITCH_ADDRESS}
        for number, name in enumerate(names, start=1):
            self.addresses[name] = f"{_PREFIX}.{number}"
            self.nodes[name] = self._plug_in(name, f"node{number}")

    def _plug_in(self, name: str, port: str) -> NetworkNamespace:
        node = NetworkNamespace()
        link = ["ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", node.path]
        self.switch.command(*link)
        self.switch.command("ip", "link", "set", port, "master", "switch", "up")
        node.command("ip", "address", "add", f"{self.addresses[name]}/24", "dev", "eth0")
        node.command("ip", "link", "set", "eth0", "up")
        node.command("nft", "-f", "-", stdin=_FILTER)
        return node

    def cut(self, senders: Iterable[str], receivers: Iterable[str]) -> None:
        """From now on nothing that ``senders`` send reaches ``receivers``; only nodes can be receivers."""
        self._tell("add", senders, receivers)

    def join(self, senders: Iterable[str], receivers: Iterable[str]) -> None:
        """Ends a cut."""
        self._tell("delete", senders, receivers)

    def split(self, side: Iterable[str], other: Iterable[str]) -> None:
        """Cuts both ways."""
        here, there = list(side), list(other)
        self.cut(here, there)
        self.cut(there, here)

    def heal(self) -> None:
        """Ends every fault."""
        for node in self.nodes.values():
            chains = "".join(f"flush chain ip faults {chain}\n" for chain in ("lossy", "detour", "old"))
            node.command("nft", "-f", "-", stdin=f"flush set ip faults unheard\n{chains}")

    def lose(self, name: str, percent: int) -> None:
        """Drops that share, at random, of what reaches a node; 0 for none."""
        rules = "flush chain ip faults lossy\n"
        if percent:
            rules += f"add rule ip faults lossy numgen random mod 100 < {percent} drop\n"
        self.nodes[name].command("nft", "-f", "-", stdin=rules)

    def detour(self, name: str, port: int, proxies: dict[str, int]) -> None:
        """Sends a node's connections to others' ``port`` by way of proxies on the switch.

        Connections it has are reset, or they would go on as before.

        Args:
            name: of the node.
            port: where the others listen.
            proxies: the proxy's port on the switch, by the name of the node it leads to.
        """
        rules = [
            f"add rule ip faults detour ip daddr {self.addresses[to]} tcp dport {port} "
            f"dnat to {_SWITCH_ADDRESS}:{through}"
            for to, through in proxies.items()
        ]
        others = ", ".join(self.addresses[to] for to in proxies)
        rules.append(f"add rule ip faults old ip daddr {{ {others} }} tcp dport {port} reject with tcp reset")
        self.nodes[name].command("nft", "-f", "-", stdin="\n".join(rules))

    def end_detour(self, name: str) -> None:
        """New connections of a node are direct again; the proxies' end with the proxies."""
        self.nodes[name].command(
            "nft", "-f", "-", stdin="flush chain ip faults detour\nflush chain ip faults old\n"
        )

    def _tell(self, verb: str, senders: Iterable[str], receivers: Iterable[str]) -> None:
        for sender, receiver in product(list(senders), list(receivers)):
            element = f"{{ {self.addresses[sender]} }}"
            self.nodes[receiver].command("nft", verb, "element", "ip", "faults", "unheard", element)

    def close(self) -> None:
        for node in self.nodes.values():
            node.close()
        self.switch.close()


@contextmanager
def network(names: Iterable[str]) -> Iterator[Network]:
    """A network, and this thread among its clients, for the length of the block."""
    made = Network(names)
    try:
        with inside(made.switch):
            yield made
    finally:
        made.close()
