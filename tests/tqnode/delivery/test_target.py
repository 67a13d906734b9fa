"""Where webhooks may go: whatever form an inner address takes, it is closed unless it was opened."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqnode.delivery.target import BadUrl, Policy, is_public, parse

CLOSED = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "169.254.1.1", "100.64.0.1", "100.100.100.200", "100.127.255.255"),
    *(
        "168.63.129.16",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.9",
    ),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:a9fe:a9fe", "::127.0.0.1", "::8.8.8.8"),
    *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::1"),
    *("2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "3fff::1", "100::1", "5f00::1"),
    *("fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "2a00:1450:4001::5efe:7f00:1"),
    *("fe80::1%eth0",),
]
OPEN = [
    *("8.8.8.8", "1.1.1.1", "93.184.215.14", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0"),
    *("192.167.255.255", "169.253.255.255", "223.255.255.255"),
    *("2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "2003:0:1::1"),
]


@pytest.mark.parametrize("address", CLOSED)
def test_an_address_that_is_not_public_is_closed(address: str) -> None:
    assert not is_public(ip_address(address))
    assert not Policy().permits(ip_address(address), host="example.com")


@pytest.mark.parametrize("address", OPEN)
def test_a_public_address_is_open(address: str) -> None:
    assert Policy().permits(ip_address(address), host="example.com")


@given(st.ip_addresses(v=4))
def test_no_form_of_an_ipv4_address_inside_an_ipv6_one_is_open(address: IPv4Address) -> None:
    number = int(address)
    for high in (
        0,
        0xFFFF << 32,
        0x0064_FF9B << 96,
        0xFE80 << 112 | 0x5EFE << 32,
        0x2A00 << 112 | 0x5EFE << 32,
    ):
        assert not is_public(IPv6Address(high | number))
    assert not is_public(IPv6Address(0x2002 << 112 | number << 80))


def test_what_the_operator_allows_is_open_and_nothing_beside_it() -> None:
    policy = Policy("10.1.0.0/16, ::1, hooks.internal, *.svc.local")
    assert policy.permits(ip_address("10.1.2.3"), host="x")
    assert not policy.permits(ip_address("10.2.2.3"), host="x")
    assert policy.permits(ip_address("::1"), host="x")
    assert not policy.permits(ip_address("127.0.0.1"), host="x")
    for host in ("hooks.internal", "HOOKS.internal.", "a.svc.local", "b.a.svc.local"):
        assert policy.permits(ip_address("10.9.9.9"), host=host), host
    for host in ("other.internal", "hooks.internal.example.com", "svc.local", "evilsvc.local"):
        assert not policy.permits(ip_address("10.9.9.9"), host=host), host


def test_of_mixed_answers_only_the_open_addresses_are_left_in_their_order() -> None:
    found = [ip_address(one) for one in ("10.0.0.1", "8.8.8.8", "::1", "2606:4700:4700::1111", "8.8.8.8")]
    kept = Policy().open_of(found, host="example.com")
    assert [str(address) for address in kept] == ["8.8.8.8", "2606:4700:4700::1111"]


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "netloc"),
    [
        ("https://example.com", "example.com", 443, "/", "example.com"),
        ("http://Example.com:80/a?b=c", "example.com", 80, "/a?b=c", "example.com"),
        ("https://example.com:8443/x%20y", "example.com", 8443, "/x%20y", "example.com:8443"),
        ("http://[2606:4700::1]:81/", "2606:4700::1", 81, "/", "[2606:4700::1]:81"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/", "xn--bcher-kva.example"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, path: str, netloc: str) -> None:
    target = parse(url)
    assert (target.host, target.port, target.path, target.netloc) == (host, port, path, netloc)


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "/hook", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/"),
        *("https://", "https:///x", "http://user@example.com/", "http://user:secret@example.com/"),
        *("http://example.com@evil.example/", "https://example.com/#part", "https://exa mple.com/"),
        *("https://example.com/\r\nx: y", "https://example.com\\@evil.example/", "https://bücher.example/"),
        *("http://[fe80::1%25eth0]/", "http://[::1", "http://example.com:0/", "http://example.com:99999/"),
        *("http://example.com:port/", "http://a..b/", "http://[v1.x]/", "http://" + "a" * 300 + "/"),
    ],
)
def test_what_is_no_url_of_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(BadUrl, match="must"):
        parse(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://[::1]/", "http://[::ffff:7f00:1]/", "http://169.254.169.254/latest"]
)
def test_a_closed_address_in_a_url_is_told_at_once(url: str) -> None:
    with pytest.raises(BadUrl, match="public address"):
        Policy().judge(parse(url))


def test_only_the_configured_ports_are_open() -> None:
    policy = Policy(ports="443, 8443")
    policy.judge(parse("https://example.com"))
    policy.judge(parse("http://example.com:8443"))
    with pytest.raises(BadUrl, match="443, 8443"):
        policy.judge(parse("http://example.com/"))
