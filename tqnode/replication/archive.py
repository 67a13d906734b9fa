"""Reads an archive by way of Litestream: what it has of a term, which terms it has, a database out of it."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import msgspec

from tqnode.child_process import bound_to_this_process
from tqnode.replication.archive_url import ArchiveError, ArchiveUrl
from tqnode.replication.litestream import SHOWN_INSTEAD
from tqnode.replication.litestream_config import write_restore_config
from tqnode.replication.terms import Term, read_terms

T = TypeVar("T")

LIST_S: Final = 120.0
RESTORE_S: Final = 3600.0
RESTORE_TERMS_S: Final = 30.0
_SAID_MAX: Final = 500
_NOTHING_THERE: Final = "no matching backup files available"
_FIRST: Final = 1


class ArchivedFile(msgspec.Struct, frozen=True):
    """One file of a term: transactions ``min_txid`` to ``max_txid``, the last of them written at ``at_ms``.

    The time is cut to whole seconds by the listing.
    """

    min_txid: int
    max_txid: int
    at_ms: int


class NothingThere(ArchiveError):
    """The archive has nothing that matches."""


class Archive:
    """One archive.

    Args:
        url: where it is.
        program: the checked Litestream.
        environ: its whole environment.
    """

    def __init__(self, url: ArchiveUrl, *, program: Path, environ: Mapping[str, str]) -> None:
        self.url = url
        self._program = program
        self._environ = dict(environ)

    async def terms(self) -> list[Term]:
        """Every term it lists, the oldest first; none when it is empty.

        Raises:
            ArchiveError: it can't be reached or read.
        """
        with tempfile.TemporaryDirectory(prefix="tqnode-terms-") as folder:
            target = Path(folder) / "terms.db"
            try:
                await self._restore(self.url.of_terms(), target, (), within_s=RESTORE_TERMS_S)
            except NothingThere:
                return []
            try:
                return read_terms(target)
            except apsw.Error as error:
                raise ArchiveError(f"the archive's list of terms is damaged: {error}") from error

    async def files(self, term: int) -> list[ArchivedFile]:
        """What it has of a term; a file may be part of another, of a higher level.

        Raises:
            ArchiveError: it can't be reached or read.
        """
        url = self.url.of_term(term)
        listed = await self._run(url, ["ltx", "-level", "all", "-json"], within_s=LIST_S)
        return [
            ArchivedFile(
                int(row["min_txid"], 16),
                int(row["max_txid"], 16),
                round(datetime.fromisoformat(row["timestamp"]).timestamp() * 1000),
            )
            for row in _decoded(listed, list[dict[str, Any]])
        ]

    async def restore(self, term: int, target: Path, *, at_ms: int | None) -> int:
        """Makes a database of what it has of a term; the last transaction in it.

        Args:
            term: of which term.
            target: a file that is not there yet.
            at_ms: leaves out what was written after this moment; None takes all.

        Raises:
            NothingThere: it has nothing of the term, or nothing that old.
            ArchiveError: it can't be reached or read.
        """
        limit: list[str] = []
        if at_ms is not None:
            # Litestream leaves out the moment itself.
            moment = datetime.fromtimestamp((at_ms + 1) / 1000).astimezone()
            limit = ["-timestamp", moment.isoformat(timespec="milliseconds")]
        return await self._restore(self.url.of_term(term), target, limit, within_s=RESTORE_S)

    async def _restore(self, url: ArchiveUrl, target: Path, limit: Sequence[str], *, within_s: float) -> int:
        told = await self._run(url, ["restore", "-json", "-o", str(target), *limit], within_s=within_s)
        return int(_decoded(told, dict[str, Any])["txid"], 16)

    async def _run(self, url: ArchiveUrl, command: Sequence[str], *, within_s: float) -> bytes:
        """Runs Litestream; what it wrote to standard output."""
        with tempfile.TemporaryDirectory(prefix="tqnode-archive-") as folder:
            # Addresses can hold what nobody else should see: in a file of ours, never in the arguments.
            database = Path(folder) / "asked.db"
            config = Path(folder) / "litestream.yml"
            write_restore_config(config, database, url)
            name, *options = command
            argv = [str(self._program), name, "-no-expand-env", "-config", str(config), *options]
            process = await asyncio.create_subprocess_exec(
                *bound_to_this_process([*argv, str(database)]),
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                async with asyncio.timeout(within_s):
                    out, said = await process.communicate()
            except TimeoutError:
                raise ArchiveError(f"the archive did not answer within {within_s:g} s") from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode != 0:
            raise self._refused(said.decode(errors="replace"))
        return out

    def _refused(self, said: str) -> ArchiveError:
        if _NOTHING_THERE in said:
            return NothingThere("the archive has nothing of that")
        for secret in self.url.secrets:
            said = said.replace(secret, SHOWN_INSTEAD)
        lines = [line for line in said.splitlines() if line.strip()]
        last = lines[-1].removeprefix("Error: ") if lines else "without a word"
        return ArchiveError(f"litestream failed: {last[:_SAID_MAX]}")


def first_moment_ms(files: Sequence[ArchivedFile]) -> int | None:
    """From when on the files can restore a state; None when they can't."""
    return min((file.at_ms for file in files if file.min_txid == _FIRST), default=None)


def last_txid(files: Sequence[ArchivedFile], *, before_ms: int | None = None) -> int:
    """The last transaction in the files, or in those that were surely written before a moment; 0 for none."""
    # The listing cuts moments to seconds: what seems to be of this second may be later than the moment.
    return max(
        (file.max_txid for file in files if before_ms is None or file.at_ms + 1000 <= before_ms), default=0
    )


def _decoded(told: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(told, type=kind)
    except msgspec.DecodeError as error:
        raise ArchiveError(f"litestream's answer is not as expected: {error}") from error
