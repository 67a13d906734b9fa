"""A process in a session of its own, that is ended with everything it started."""

import fcntl
import os
import signal
from collections.abc import Mapping, Sequence

from tq.worker.guard import MARK, Guard

# Ignored in every Python process, and an ignored signal stays ignored in what it starts.
_AS_USUAL = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ABOVE_STANDARD = 10


class Group:
    """A started process, leader of its own process group.

    ``pidfd`` becomes readable when it has ended. One thread owns a group and calls its methods.

    Args:
        argv: the program, by absolute path, and its arguments.
        environment: all of it.
        files: descriptors of this process by the number they get in the new one; it has no others.
        guard: ends the group should the worker die.

    Raises:
        OSError: the program could not be started.
    """

    def __init__(
        self, argv: Sequence[str], *, environment: Mapping[str, str], files: Mapping[int, int], guard: Guard
    ) -> None:
        self._guard = guard
        mark = guard.announce()
        # Copied above the standard numbers first: else a source may be overwritten before it is used.
        copies: dict[int, int] = {}
        try:
            for number, source in files.items():
                copies[number] = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, _ABOVE_STANDARD)
            self.pid = os.posix_spawn(
                argv[0],
                list(argv),
                {**environment, MARK: mark},
                file_actions=[(os.POSIX_SPAWN_DUP2, copy, number) for number, copy in copies.items()],
                setsid=True,
                setsigmask=(),
                setsigdef=_AS_USUAL,
            )
        except BaseException:
            guard.retract(mark)
            raise
        finally:
            for copy in copies.values():
                os.close(copy)
        guard.add(self.pid, mark)
        try:
            self.pidfd = os.pidfd_open(self.pid)
        except OSError:
            self._end()
            raise

    def terminate(self) -> None:
        """Asks the whole group to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the whole group."""
        self._signal(signal.SIGKILL)

    def reap(self) -> int:
        """Kills what is left of the group, and returns its leader's exit code, or minus a signal.

        Blocks until the leader has ended, which the kill makes soon.
        """
        os.close(self.pidfd)
        return self._end()

    def _end(self) -> int:
        # Until its leader is waited for, the group's number cannot come to mean another group.
        self.kill()
        self._guard.remove(self.pid)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return  # nothing is left of it
