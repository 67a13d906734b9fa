"""Reads a file of tasks, one JSON object a line, knowing where in the file each line stands."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

# A request's body may have 32 MiB; a line beyond that can never be sent.
LINE_BYTES_MAX = 32 * 1024 * 1024
DISCARD_BYTES = 1024 * 1024
EXCERPT_BYTES = 1024
NOT_JSON = "not JSON"


class Line(NamedTuple):
    """One line.

    Args:
        number: from 1.
        end: offset in the file of the byte after it.
        raw: its bytes, its end included; an excerpt for one longer than LINE_BYTES_MAX.
        fault: why it is no task; None when it may be one.
        blank: whether there is nothing on it.
        cut_off: whether the file ends in the middle of it, so that it may still be being written.
    """

    number: int
    end: int
    raw: bytes
    fault: str | None = None
    blank: bool = False
    cut_off: bool = False

    @property
    def task(self) -> bytes:
        """The JSON, every byte of it."""
        return self.raw.strip(b" \t\r\n")


def raw_lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Each line's bytes and how many there are of them; only the beginning of one too long to be sent."""
    while raw := file.readline(LINE_BYTES_MAX + 1):
        if len(raw) > LINE_BYTES_MAX and not raw.endswith(b"\n"):
            yield raw[:EXCERPT_BYTES] + b"\n", len(raw) + _discard(file)
        else:
            yield raw, len(raw)


def _discard(file: BinaryIO) -> int:
    size = 0
    while raw := file.readline(DISCARD_BYTES):
        size += len(raw)
        if raw.endswith(b"\n"):
            break
    return size


def read_lines(file: BinaryIO, *, number: int, offset: int) -> Iterator[Line]:
    """The lines of ``file``, which stands at ``offset``.

    Args:
        file: what is read.
        number: of the first line.
        offset: in bytes.
    """
    for raw, size in raw_lines(file):
        offset += size
        if size > LINE_BYTES_MAX:
            yield Line(number, offset, raw, fault=f"longer than {LINE_BYTES_MAX} bytes")
        elif raw.strip(b" \t\r\n"):
            fault = fault_of(raw)
            cut_off = fault is not None and fault.startswith(NOT_JSON) and not raw.endswith(b"\n")
            yield Line(number, offset, raw, fault=fault, cut_off=cut_off)
        else:
            yield Line(number, offset, raw, blank=True)
        number += 1


def _named(told: str) -> str:
    """A complaint of the decoder, beginning with the field it is about."""
    words, _, where = told.partition(" - at `$")
    if "matching regex" in words:
        words = "must be letters, digits and any of _ . : @ + -, and begin with a letter, a digit or _"
    field = where.removeprefix(".").rstrip("`")
    return f"{field}: {words}" if field else words


def fault_of(raw: bytes) -> str | None:
    """Why ``raw`` is not a task to enqueue, as far as can be told without the node."""
    import msgspec

    from tq.wire import NewTask

    try:
        msgspec.json.decode(raw, type=NewTask)
    except msgspec.ValidationError as error:
        told = str(error)
        if "unknown field `id`" in told:
            return "this is a task as `tq list` prints it; `tq export` writes what can be imported"
        return _named(told)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"{NOT_JSON}: {str(error).removeprefix('JSON is ')}"
    except RecursionError:
        return "nested too deep"
    return None
