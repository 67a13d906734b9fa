"""What a node that does not lead gives up of its past, and what it keeps."""

from pathlib import Path

import pytest

from tests.tqnode.replication.log_bench import archive_at, running_log
from tqnode.replication.restore import OutsideWindow, restore
from tqnode.replication.term_folders import give_up_past, meta_of, terms_meta_of


async def lead_in(folder: Path, *terms: int) -> None:
    """Leaves behind what a node has that led in those terms, with one more task in each."""
    for term in terms:
        async with running_log(folder, elected=term) as bench:
            await bench.core.enqueue()
            await bench.archived()


async def test_a_full_disk_gets_the_terms_before_the_newest_and_then_that_one_too(tmp_path: Path) -> None:
    node = tmp_path / "node"
    await lead_in(node, 2, 9, 10)
    (node / "apart" / "11").mkdir(parents=True)
    archive = archive_at(node)
    give_up_past(node, archive.url.folder)
    assert sorted(folder.name for folder in (node / "archive").iterdir()) == ["10", "terms"]
    assert not any(folder.exists() for folder in (node / "apart", meta_of(node, 10), terms_meta_of(node, 10)))
    assert (await restore(archive, tmp_path / "newest.db", at_ms=None)).counts == {"ready": 3}
    give_up_past(node, archive.url.folder)
    with pytest.raises(OutsideWindow, match="the archive is empty"):
        await restore(archive, tmp_path / "none.db", at_ms=None)
    # There is nothing left to give.
    give_up_past(node, archive.url.folder)


async def test_a_node_that_gave_up_its_past_leads_again_and_archives_all_it_has(tmp_path: Path) -> None:
    node = tmp_path / "node"
    await lead_in(node, 2, 3)
    for _ in range(2):
        give_up_past(node, archive_at(node).url.folder)
    await lead_in(node, 5)
    restored = await restore(archive_at(node), tmp_path / "restored.db", at_ms=None)
    assert (restored.term, restored.counts) == (5, {"ready": 3})


def test_an_archive_outside_the_nodes_folder_is_left_to_whoever_writes_it(tmp_path: Path) -> None:
    node, shared = tmp_path / "node", tmp_path / "shared"
    node.mkdir()
    for term in (1, 2):
        (shared / str(term)).mkdir(parents=True)
    give_up_past(node, shared)
    give_up_past(node, None)
    assert sorted(folder.name for folder in shared.iterdir()) == ["1", "2"]


def test_a_folder_that_cannot_be_removed_keeps_none_of_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = tmp_path / "archive"
    for term in (2, 3):
        (archive / str(term)).mkdir(parents=True)
    (archive / "1").symlink_to(archive / "3")
    give_up_past(tmp_path, archive)
    assert sorted(folder.name for folder in archive.iterdir()) == ["1", "3"]
    assert "1 cannot be removed from the full disk" in caplog.text
