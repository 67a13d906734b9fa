"""The one shape of every error answer."""

from tq.wire.names import Answer, Id


class Problem(Answer, kw_only=True):
    """RFC 9457. ``code`` is stable; ``field`` names what was wrong and ``limit`` what it exceeded."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None
    limit: float | int | str | None = None
    task: Id | None = None
    retry_after_s: float | None = None
    request_id: str | None = None
