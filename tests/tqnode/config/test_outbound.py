"""What webhooks may reach, as a person writes it down."""

import pytest

from tqnode.config.outbound import split_allowance, split_ports, wrong_allowance, wrong_ports


def test_a_list_holds_networks_addresses_and_names() -> None:
    networks, hosts = split_allowance("10.1.0.0/16, 127.0.0.1,fd00::/8, ::1, hooks.internal,*.Svc.local")
    assert list(map(str, networks)) == ["10.1.0.0/16", "127.0.0.1/32", "fd00::/8", "::1/128"]
    assert hosts == ("hooks.internal", "*.svc.local")
    assert split_allowance("") == ((), ())


@pytest.mark.parametrize(
    "text", ["10.0.0.0/33", "10.0.0.1/8", "a b", "http://x", "*", "*.*", "fe80::/200", "x/24"]
)
def test_what_is_neither_is_told(text: str) -> None:
    assert "must be a list of networks" in str(wrong_allowance(text))


def test_ports_are_whole_numbers_that_a_port_can_be() -> None:
    assert split_ports("443, 8443,443") == {443, 8443}
    assert split_ports("") == frozenset()
    assert wrong_ports("443") is None
    for text in ("0", "65536", "https", "1-2", "-1"):
        assert "must be a list of ports" in str(wrong_ports(text))
