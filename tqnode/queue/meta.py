"""What the node itself says in a task's meta, in front of the user's own notes."""


def with_note(meta: bytes | None, key: str, value: bytes) -> bytes:
    """The user's own notes, byte for byte, with one more in front of them.

    Args:
        meta: a JSON object without that key; None is an empty one.
        key: a plain word.
        value: its JSON.
    """
    rest = (meta or b"{}").strip()[1:].lstrip()
    comma = b"" if rest == b"}" else b","
    return b'{"' + key.encode() + b'":' + value + comma + rest
