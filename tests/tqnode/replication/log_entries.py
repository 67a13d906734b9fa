"""Log entries for tests: chained heads with bytes of any size."""

import hashlib
import random

from tqnode.replication.entry import Head


def chain(
    term: int, sizes: list[int], *, after: Head | None = None, seed: int = 0
) -> list[tuple[Head, bytes]]:
    """Entries of one term, each following the one before.

    Args:
        term: their term.
        sizes: of their bytes.
        after: the entry before the first; None begins with entry 1.
        seed: of the bytes.
    """
    made = []
    for size in sizes:
        txid = after.txid + 1 if after else 1
        content = random.Random(f"{seed} {term} {txid}").randbytes(size)
        after = Head(
            term=term,
            txid=txid,
            sha256=hashlib.sha256(content).digest(),
            prev_sha256=after.sha256 if after else b"",
            size=size,
        )
        made.append((after, content))
    return made
