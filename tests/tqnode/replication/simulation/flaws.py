"""What a simulated driver may do wrong."""

from dataclasses import dataclass


@dataclass
class Flaws:
    """Bugs of a driver, to be planted: each breaks a duty that DESIGN.md names."""

    row_unsynced: bool = False
    applies_uncommitted: bool = False
    forgets_to_be_ahead: bool = False
    stores_told_early: bool = False
    forgets_trimmed_log: bool = False
