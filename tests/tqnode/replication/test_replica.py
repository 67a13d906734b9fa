"""What the driver owes the core: on disk before it is told, in order, and again after a full disk."""

from pathlib import Path

import pytest

from tests.tqnode.replication.log_entries import chain
from tests.tqnode.replication.node_db_folder import LARGE, flip, log_files, opened
from tests.tqnode.replication.replica_bench import Bench, replica_in
from tests.tqnode.store.failing_disk import failing_disk
from tests.waiting import eventually_async
from tqnode.errors import DiskFull
from tqnode.replication.effects import Row
from tqnode.replication.entry import NOTHING, Head, Position
from tqnode.replication.messages import Append, Appended, Ask, Release, Vote, WouldYou
from tqnode.replication.replica import _durable
from tqnode.replication.standby import AHEAD


def append(term: int, entries: list[tuple[Head, bytes]], *, sent: float = 1.0, commit: int = 0) -> Append:
    heads = tuple(head for head, _ in entries)
    return Append(term=term, heads=heads, commit=commit, sent=sent, admit=None, kept=1)


async def stored_by(bench: Bench, term: int, last: int, *, name: str = "b") -> None:
    await bench.heard(name, Appended, lambda message: (message.term, message.last) == (term, last))


async def test_a_vote_is_on_disk_when_it_is_told(tmp_path: Path) -> None:
    async with replica_in(tmp_path) as bench:
        bench.say("b", Ask(4, NOTHING, 1, 0))
        vote = await bench.heard("b", Vote)
        assert vote == Vote(4, 1, True)
        assert (await bench.node_db.kept()).row == Row(4, "b")
        bench.say("c", Ask(4, NOTHING, 1, 0))
        assert not (await bench.heard("c", Vote)).yes


async def test_what_a_leader_sends_is_acknowledged_when_it_is_stored(tmp_path: Path) -> None:
    async with replica_in(tmp_path) as bench:
        entries = chain(3, [300, LARGE, 40])
        bench.say("b", append(3, entries), [content for _, content in entries])
        await stored_by(bench, 3, 3)
        kept = await bench.node_db.kept()
        assert [head.txid for head in kept.heads] == [1, 2, 3]
        assert kept.row == Row(3, "b")


async def test_a_large_entry_that_is_not_taken_leaves_no_file(tmp_path: Path) -> None:
    async with replica_in(tmp_path) as bench:
        bench.say("b", append(5, []))
        await bench.heard("b", Appended)
        old = chain(3, [LARGE])
        bench.say("c", append(3, old), [content for _, content in old])
        assert (await bench.heard("c", Appended)).term == 5
        await eventually_async(lambda: log_files(tmp_path / "a") == [])


async def test_a_leader_is_told_of_serving_and_of_commits_once_a_majority_has_them(tmp_path: Path) -> None:
    async with replica_in(tmp_path) as bench, bench.leading() as term:
        bench.replica.produced(chain(term, [400, 50]))
        await bench.heard("b", Append, lambda message: len(message.heads) > 0)
        assert bench.notes.done == [("lead", term)]
        bench.acknowledged = 2
        await eventually_async(lambda: ("committed", 2) in bench.notes.done, within_s=30)
        assert bench.notes.done == [("lead", term), ("serve", term), ("committed", 2)]
        assert bench.replica.leads


async def test_a_leader_that_nobody_hears_steps_down_when_its_lease_is_over(tmp_path: Path) -> None:
    async with replica_in(tmp_path, ttl_s=1.0) as bench:
        term = await bench.elect()
        await eventually_async(lambda: ("step down", term) in bench.notes.done, within_s=30)
        assert not bench.replica.leads
        assert "lease" in bench.notes.why
        await bench.heard("c", Release)


async def test_a_newer_term_ends_a_lead_before_the_row_is_changed(tmp_path: Path) -> None:
    async with replica_in(tmp_path) as bench:
        term = await bench.elect()
        bench.say("c", append(term + 5, []))
        await bench.heard("c", Appended)
        assert ("step down", term) in bench.notes.done
        assert not bench.replica.leads
        assert (await bench.node_db.kept()).row == Row(term + 5, "c")


async def test_an_entry_that_is_too_large_for_memory_is_sent_from_the_disk(tmp_path: Path) -> None:
    async with replica_in(tmp_path) as bench, bench.leading() as term:
        await produce_large(bench, tmp_path, term)
        message = await bench.heard("b", Append, lambda message: len(message.heads) > 0)
        assert message.heads[0].size == LARGE


async def produce_large(bench: Bench, folder: Path, term: int) -> bytes:
    """Has the leader's log writer make a large snapshot; its bytes."""
    ((head, content),) = chain(term, [LARGE])
    source = folder / "snapshot.ltx"
    source.write_bytes(content)
    staged = await bench.node_db.stage(head.position, source)
    source.unlink()
    bench.replica.produced([(head, staged)])
    return content


async def test_an_entry_that_went_bad_on_a_leaders_disk_is_not_sent_but_known_to_be_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with replica_in(tmp_path) as bench:
        async with bench.leading() as term:
            content = await produce_large(bench, tmp_path, term)
            await eventually_async(lambda: bench.replica.state.stored == (term, 1), within_s=30)
            (file,) = log_files(tmp_path / "a")
            flip(tmp_path / "a" / "log" / file, content[:50], 20)
            # Whom nothing has reached is sent it again.
            await eventually_async(lambda: bench.replica.state.holes == {1}, within_s=30)
        assert "is damaged on this disk" in caplog.text
        assert not bench.fatal


async def test_a_full_disk_ends_a_lead_and_is_looked_at_again_until_there_is_room(tmp_path: Path) -> None:
    with failing_disk() as disk:
        async with replica_in(tmp_path) as bench:
            async with bench.leading() as term:
                disk.full = True
                bench.replica.produced(chain(term, [400]))
                await eventually_async(lambda: ("step down", term) in bench.notes.done, within_s=30)
            assert bench.notes.why == "its disk is full"
            await eventually_async(lambda: bench.notes.made_room > 0)
            assert not bench.replica.leads
            with pytest.raises(DiskFull):
                await bench.replica.prove_disk()
            entries = chain(term + 3, [300])
            disk.full = False

            async def taken() -> bool:
                bench.say("c", append(term + 3, entries), [content for _, content in entries])
                return bench.replica.state.stored == (term + 3, 1)

            await eventually_async(taken, within_s=30, every_s=0.2)
            assert not bench.fatal
            assert bench.replica.state.role == "follower"
            await bench.replica.prove_disk()


async def test_a_full_disk_gives_no_vote_and_acknowledges_nothing(tmp_path: Path) -> None:
    with failing_disk() as disk:
        async with replica_in(tmp_path) as bench:
            disk.full = True
            bench.say("b", Ask(4, NOTHING, 1, 0))
            entries = chain(4, [300])
            bench.say("b", append(4, entries), [content for _, content in entries])
            await eventually_async(lambda: bench.replica._full, within_s=30)
            await eventually_async(lambda: not bench.replica._full, within_s=30)
            assert not any(isinstance(message, Vote) for message in bench.others["b"].messages())
            assert all(
                message.last == 0 for message in bench.others["b"].messages() if isinstance(message, Appended)
            )
            # It asks for nothing either: it leaves leading to others for a while.
            assert bench.replica.state.rest_until > bench.replica.state.lease_until
            disk.full = False
            bench.say("b", Ask(5, NOTHING, 2, 0))
            assert (await bench.heard("b", Vote)).yes


async def test_what_was_known_to_be_damaged_is_known_again_after_the_disk_was_full(tmp_path: Path) -> None:
    with failing_disk() as disk:
        async with replica_in(tmp_path) as bench:
            entries = chain(3, [300, 400, 500])
            bench.say("b", append(3, entries), [content for _, content in entries])
            await stored_by(bench, 3, 3)
            bench.replica.damaged(Position(3, 2))
            await eventually_async(lambda: bench.replica.state.holes == {2})
            disk.full = True
            bench.say("b", Ask(9, Position(3, 3), 1, 0))
            await eventually_async(lambda: bench.replica._full, within_s=30)
            disk.full = False
            await eventually_async(lambda: not bench.replica._full, within_s=30)
            await eventually_async(lambda: bench.replica.state.holes == {2}, within_s=5)


async def test_a_disk_that_begins_a_cluster_while_the_node_runs_has_its_vote_at_once(tmp_path: Path) -> None:
    async with replica_in(tmp_path, founded=False) as bench:
        assert bench.replica.state.fresh
        await bench.node_db.found("c1")
        bench.replica.founded()
        await eventually_async(lambda: not bench.replica.state.fresh)
        bench.say("b", Ask(1, NOTHING, 1, 0))
        assert (await bench.heard("b", Vote)).yes


async def test_damage_is_found_when_the_node_starts(tmp_path: Path) -> None:
    async with replica_in(tmp_path) as bench:
        entries = chain(3, [300, LARGE, 500])
        bench.say("b", append(3, entries), [content for _, content in entries])
        await stored_by(bench, 3, 3)
    (file,) = log_files(tmp_path / "a")
    flip(tmp_path / "a" / "log" / file, entries[1][1][:50], 9)
    async with replica_in(tmp_path) as bench:
        await eventually_async(lambda: bench.replica.state.holes == {2}, within_s=30)
        # The leader sends it once more, and it is whole again.
        bench.say("b", append(3, entries, sent=2.0), [content for _, content in entries])
        await eventually_async(lambda: not bench.replica.state.holes, within_s=30)
        assert await bench.node_db.verify() == ()


async def test_a_witness_stores_and_votes_and_applies_nothing(tmp_path: Path) -> None:
    async with replica_in(tmp_path, witness=True) as bench:
        entries = chain(3, [300, 400])
        bench.say("b", append(3, entries, commit=2), [content for _, content in entries])
        await stored_by(bench, 3, 2)
        await bench.heard("b", Appended, lambda message: message.applied == (3, 2))
        assert not (tmp_path / "a" / "tq.db").exists()
        assert not any(isinstance(message, WouldYou) for message in bench.others["b"].messages())


async def test_a_failed_disk_is_fatal_and_nothing_is_told(tmp_path: Path) -> None:
    with failing_disk() as disk:
        async with replica_in(tmp_path) as bench:
            disk.syncs_fail = True
            bench.say("b", Ask(4, NOTHING, 1, 0))
            await eventually_async(lambda: bool(bench.fatal), within_s=30)
            assert not any(isinstance(message, Vote) for message in bench.others["b"].messages())
            disk.syncs_fail = False


@pytest.mark.parametrize(
    ("log_term", "applied", "durable"),
    [
        (3, Position(3, 1), Position(3, 1)),
        (3, NOTHING, NOTHING),
        (3, Position(3, AHEAD), Position(3, 2)),  # it led the term of its log
        (3, Position(5, AHEAD), Position(3, 2)),  # it led a later one, and nothing of that was stored
        (6, Position(5, AHEAD), NOTHING),  # another one's snapshot is stored: that counts
    ],
)
async def test_a_database_that_was_led_with_is_given_up_only_for_a_newer_terms_snapshot(
    tmp_path: Path, log_term: int, applied: Position, durable: Position
) -> None:
    async with opened(tmp_path) as db:
        await db.save_row(Row(9, "a"), fresh=False)
        await db.store(chain(log_term, [100, 200]))
        await db.set_applied(applied)
        assert _durable(await db.kept()).applied == durable
