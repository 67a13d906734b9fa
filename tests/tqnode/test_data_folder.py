"""The data folder and its one owner."""

import os
import stat
from pathlib import Path

import pytest

from tqnode.data_folder import DataFolder, FolderError


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    DataFolder.take(path).release()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_second_owner_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    first = DataFolder.take(tmp_path)
    with pytest.raises(FolderError, match=rf"another tqnode \(pid {os.getpid()}\) owns"):
        DataFolder.take(tmp_path)
    first.release()
    DataFolder.take(tmp_path).release()


def test_the_address_is_there_while_the_folder_is_owned(tmp_path: Path) -> None:
    folder = DataFolder.take(tmp_path)
    folder.announce("http://127.0.0.1:1")
    assert (tmp_path / "tqnode.url").read_text() == "http://127.0.0.1:1\n"
    folder.release()
    assert [path.name for path in tmp_path.iterdir()] == ["tqnode.pid"]


def test_the_address_that_a_killed_owner_left_is_gone_before_the_next_ones_pid_is_there(
    tmp_path: Path,
) -> None:
    (tmp_path / "tqnode.url").write_text("http://127.0.0.1:1\n")
    DataFolder.take(tmp_path)
    assert not (tmp_path / "tqnode.url").exists()
    assert (tmp_path / "tqnode.pid").read_text() == f"{os.getpid()}\n"


def test_a_folder_that_is_a_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(FolderError, match="is not a folder; set data_dir to one"):
        DataFolder.take(path)
    with pytest.raises(FolderError, match="is not a folder; set data_dir to one"):
        DataFolder.take(path / "below")


def test_a_folder_that_cannot_be_made_is_refused_with_what_to_do() -> None:
    with pytest.raises(FolderError, match="set data_dir to"):
        DataFolder.take(Path("/proc/tqnode"))
