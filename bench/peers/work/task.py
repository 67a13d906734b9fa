"""What every queue's task does; runs in the queue's own environment, needs the standard library alone."""

import os
from typing import Final

URL: Final = os.environ["BENCH_URL"]
"""Where the queue's server is, or its file."""
VARIANT: Final = os.environ.get("BENCH_VARIANT", "")
_FILE: Final = os.open(os.environ["BENCH_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def append() -> None:
    """The work: one byte at the end of a file."""
    os.write(_FILE, b".")
