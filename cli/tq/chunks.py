"""Cutting a long list into requests of bounded size."""

from collections.abc import Iterable, Iterator

ROWS_MAX = 1000
BYTES_MAX = 4 << 20


def chunks(
    rows: Iterable[bytes], *, rows_max: int = ROWS_MAX, bytes_max: int = BYTES_MAX
) -> Iterator[list[bytes]]:
    """The rows in order, in lists of at most ``rows_max`` rows and ``bytes_max`` bytes, commas included.

    A row that is larger than ``bytes_max`` goes alone: whether it is too large is the node's to say.
    """
    chunk: list[bytes] = []
    size = 0
    for row in rows:
        if chunk and (len(chunk) == rows_max or size + len(row) + 1 > bytes_max):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += len(row) + 1
    if chunk:
        yield chunk
