"""How much one request may hold."""

from tq import errors
from tq.chunks import BYTES_MAX, ROWS_MAX

PAGE_ROWS = 500
# What a request holds besides its rows.
ENVELOPE_BYTES = 64


class Bounds:
    """How much one request may hold: what most nodes take, or less once one has said so."""

    def __init__(self) -> None:
        self.rows = ROWS_MAX
        self.bytes = BYTES_MAX
        self.page = PAGE_ROWS

    def exceeded(self, rows: list[bytes]) -> bool:
        """Whether rows that go in one request could go in several smaller ones, and should."""
        return len(rows) > 1 and (len(rows) > self.rows or sum(map(len, rows)) + len(rows) > self.bytes)

    def narrow(self, error: errors.BatchTooLarge | errors.BodyTooLarge) -> None:
        """Takes over the limit that a request exceeded."""
        if not isinstance(error.limit, int) or error.limit < 1:
            return
        if isinstance(error, errors.BatchTooLarge):
            self.rows = min(self.rows, error.limit)
        else:
            self.bytes = max(1, min(self.bytes, error.limit - ENVELOPE_BYTES))

    def narrow_page(self, limit: object) -> bool:
        """The same for the rows of a page."""
        if not isinstance(limit, int) or not 1 <= limit < self.page:
            return False
        self.page = limit
        return True
