"""Ctrl-C that cannot get stuck; the command ``tq`` sets it up for itself."""

import signal
from types import FrameType

AGAIN_S = 1.0


def repeat_interrupts() -> None:
    """Has an interrupt come again every :data:`AGAIN_S` seconds for as long as the process then lives.

    It may come just when a library has taken a lock and not noted so. The lock is never released then, and
    what the library does to clean up waits for it for ever: each further interrupt ends one such wait. To be
    called in the main thread. Whoever had interrupts ignored, as shells do for what they put in the
    background, keeps them ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    raise KeyboardInterrupt
