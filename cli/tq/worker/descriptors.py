"""The worker's open files: room for the pipes of many slots, and nothing of its own passed on."""

import os
import resource

from tq.worker.log import facts, logger

_log = logger()

_OF_THE_WORKER = 256
_OF_A_SLOT = 20


def make_room(slots: int) -> None:
    """Raises the soft limit of open files to what ``slots`` processes at once take, where that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OF_THE_WORKER + slots * _OF_A_SLOT
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    # No more than needed: what is started inherits it, and some programs walk through all they may have.
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, granted), hard))
    if granted < wanted:
        _log.warning(
            "too few open files are allowed for so many slots", extra=facts(wanted=wanted, allowed=granted)
        )


def keep_to_ourselves() -> None:
    """Keeps descriptors that whoever started the worker left open from what the worker starts."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2:
            try:
                os.set_inheritable(descriptor, False)
            except OSError:
                continue  # the one that listed them
