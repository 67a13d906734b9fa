"""Text that a node takes."""

_NOT_TEXT = {0: "\ufffd", **dict.fromkeys(range(0xD800, 0xE000), "\ufffd")}


def clean(text: str) -> str:
    """``text`` without lone surrogates and U+0000, which a node refuses anywhere in a body."""
    return text.translate(_NOT_TEXT) if "\0" in text or not text.isascii() else text
