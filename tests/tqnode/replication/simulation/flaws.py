"""What a simulated driver may do wrong."""

from dataclasses import dataclass


@dataclass
class Flaws:
    """Bugs of a driver, to be planted: each breaks a duty that DESIGN.md names."""

    rows_told_early: bool = False
    stores_told_early: bool = False
    applies_uncommitted: bool = False
    applied_told_early: bool = False
    forgets_to_be_ahead: bool = False
    answers_stored: bool = False
