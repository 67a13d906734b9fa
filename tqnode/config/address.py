"""What names and addresses of nodes look like."""

import re
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)


def wrong_name(text: str) -> str | None:
    """What is wrong with the name of a node; None when nothing is."""
    if _NAME.fullmatch(text):
        return None
    return f"must be 1 to 64 letters, digits, '_', '.' or '-', not {text[:80]!r}"


def wrong_address(text: str) -> str | None:
    """What is wrong with an address; None when nothing is."""
    try:
        split_address(text)
    except ValueError as error:
        return str(error)
    return None


def split_address(text: str) -> tuple[str, int]:
    """Takes ``host:port`` or ``[ipv6]:port`` apart.

    Raises:
        ValueError: the text is neither.
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in bare) is (bare == host) or re.search(r"[\s/\[\]]", bare):
        raise ValueError(f"must be host:port such as 127.0.0.1:7333 or [::1]:7333, not {text[:80]!r}")
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or int(port) > 65_535:
        raise ValueError(f"must end in a port from 0 to 65535, not {port[:80]!r}")
    return bare, int(port)
