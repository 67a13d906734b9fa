"""A tqnode whose wall clock libfaketime sets: ``python -m tests.cluster.other_time run ...``.

libfaketime 0.9.10 shifts the deadline of an absolute sleep on CLOCK_MONOTONIC though it leaves that clock
alone, so that Python's own sleep fails with EINVAL. Here it sleeps by select, which takes a duration.
"""

import select
import time

from tqnode.__main__ import main


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


setattr(time, "sleep", _sleep)  # noqa: B010  # by an assignment the type checker sees a module changed
main(prog_name="tqnode")
