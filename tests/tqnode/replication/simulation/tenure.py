"""The log that a simulated leader writes."""

from dataclasses import dataclass, field


@dataclass
class Tenure:
    """A leadership's log as far as it is written."""

    term: int
    txid: int = 0
    sha256: bytes = b""
    logged: int = 0
    held: dict[int, list[int]] = field(default_factory=dict)
    """By entry, the operations whose clients wait for it."""
    writing: bool = True
    coming: bool = False
