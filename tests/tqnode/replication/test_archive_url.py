from pathlib import Path

import pytest

from tqnode.replication.archive_url import ArchiveError, ArchiveUrl


def credentials(folder: Path, text: str, mode: int = 0o600) -> str:
    file = folder / "credentials.toml"
    file.write_text(text)
    file.chmod(mode)
    return str(file)


@pytest.mark.parametrize(
    ("url", "of_term"),
    [
        ("file:///srv/archive", "file:///srv/archive/7"),
        ("file:///srv/archive/", "file:///srv/archive/7"),
        ("s3://bucket", "s3://bucket/7"),
        (
            "s3://bucket/a/b?endpoint=http://x:9000&region=r",
            "s3://bucket/a/b/7?endpoint=http://x:9000&region=r",
        ),
        ("sftp://me@host:2222/srv", "sftp://me@host:2222/srv/7"),
    ],
)
def test_each_term_has_a_part_of_its_own_below_the_archive(url: str, of_term: str, tmp_path: Path) -> None:
    archive = ArchiveUrl.of(url, data_dir=tmp_path, credentials_file="")
    assert archive.of_term(7).url == of_term
    assert archive.of_terms().url == of_term.replace("/7", "/terms")


def test_the_archive_is_a_folder_of_the_node_unless_said_otherwise(tmp_path: Path) -> None:
    archive = ArchiveUrl.of("", data_dir=tmp_path, credentials_file="")
    assert archive.folder == tmp_path / "archive"
    assert archive.of_term(3).replica() == {"type": "file", "path": str(tmp_path / "archive" / "3")}
    assert ArchiveUrl.of("s3://bucket", data_dir=tmp_path, credentials_file="").folder is None


def test_credentials_reach_the_replica_and_are_never_shown(tmp_path: Path) -> None:
    file = credentials(tmp_path, 'access-key-id = "AK"\nsecret-access-key = "sesame"\nregion = "r"\n')
    archive = ArchiveUrl.of("s3://bucket/a", data_dir=tmp_path, credentials_file=file)
    assert archive.of_term(1).replica() == {
        "url": "s3://bucket/a/1",
        "access-key-id": "AK",
        "secret-access-key": "sesame",
        "region": "r",
    }
    assert "sesame" not in repr(archive)
    assert set(archive.secrets) == {"AK", "sesame"}


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ('password = "sesame"', 0o644, "can be read by everybody: chmod 600"),
        ('pasword = "sesame"', 0o600, "unknown 'pasword'; known are access-key-id, "),
        ("password = sesame", 0o600, "is not TOML"),
        ("[password]\na = 'sesame'", 0o600, "password must be a text, number or boolean"),
    ],
)
def test_credentials_that_cannot_be_used_are_told_without_them(
    tmp_path: Path, text: str, mode: int, told: str
) -> None:
    with pytest.raises(ArchiveError, match=told) as caught:
        ArchiveUrl.of("s3://b", data_dir=tmp_path, credentials_file=credentials(tmp_path, text, mode))
    assert "sesame" not in str(caught.value)


def test_a_missing_credentials_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="cannot be read: No such file"):
        ArchiveUrl.of("s3://b", data_dir=tmp_path, credentials_file=str(tmp_path / "none"))
