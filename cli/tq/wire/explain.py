"""Why a task runs, or does not."""

from typing import Any

from tq.wire.names import Answer, Id, State


class ExplainedReason(Answer, kw_only=True):
    """One reason: a stable ``code``, a sentence, and the facts that the sentence tells, by name."""

    code: str
    text: str
    facts: dict[str, Any] = {}


class Explanation(Answer, kw_only=True):
    """Why a task is where it is; ``summary`` says the state and the first reason."""

    id: Id
    state: State
    summary: str
    reasons: list[ExplainedReason]
