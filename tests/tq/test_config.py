"""Where the client finds the node and its token."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tq.config import DEFAULT_URL, Settings, settings
from tq.errors import ConfigError


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_without_anything_it_is_this_machine_without_a_token() -> None:
    assert settings(environ={}, files=()) == Settings((DEFAULT_URL,), None)


def test_each_value_comes_from_the_first_place_that_has_it(tmp_path: Path) -> None:
    user = write(tmp_path / "user.toml", 'token = "from-user"')
    system = write(tmp_path / "system.toml", 'url = "http://system:1"\ntoken = "from-system"')
    files = (user, system)
    assert settings(environ={}, files=files) == Settings(("http://system:1",), "from-user")
    environ = {"TQ_URL": "http://env:1", "TQ_TOKEN": "from-env"}
    assert settings(environ=environ, files=files) == Settings(("http://env:1",), "from-env")
    assert settings("http://arg:1", environ=environ, files=files) == Settings(("http://arg:1",), "from-env")
    assert settings(token="arg", environ=environ, files=files).token == "arg"


def test_an_empty_token_means_none_and_hides_those_below(tmp_path: Path) -> None:
    files = (write(tmp_path / "user.toml", 'token = "t"'),)
    assert settings(environ={"TQ_TOKEN": ""}, files=files).token is None
    assert settings(token="", environ={"TQ_TOKEN": "t"}, files=files).token is None


def test_the_files_of_the_user_and_the_system_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".config" / "tq").mkdir(parents=True)
    write(tmp_path / ".config" / "tq" / "config.toml", 'url = ["http://a:1", "https://b/tq/"]')
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings(environ={}).urls == ("http://a:1", "https://b/tq")


@pytest.mark.parametrize(
    ("url", "urls"),
    [
        ("http://a:1", ("http://a:1",)),
        ("http://a:1, https://b ,", ("http://a:1", "https://b")),
        (["http://a:1", "http://b:1/"], ("http://a:1", "http://b:1")),
        ("http://a:1,http://a:1/", ("http://a:1",)),
        ("http://[::1]:7333", ("http://[::1]:7333",)),
    ],
)
def test_one_url_or_several(url: str | Sequence[str], urls: tuple[str, ...]) -> None:
    assert settings(url, environ={}, files=()).urls == urls


@pytest.mark.parametrize(
    "url",
    [
        "",
        " , ",
        [],
        "node:7333",
        "ftp://node",
        "http://",
        "http://node:0",
        "http://node:99999",
        "http://node:x",
        "http://[::1",
        "http://node/?a=1",
        "http://node/#a",
        "http://user:secret@node",
        "http://no\nde",
        "http://no de",
        ["http://a:1"] * 1000 + [f"http://n{number}" for number in range(101)],
    ],
)
def test_what_is_no_url_of_a_node_is_refused(url: str | Sequence[str]) -> None:
    with pytest.raises(ConfigError, match="the arguments: url") as caught:
        settings(url, environ={}, files=())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "tökén", "\x7f"])
def test_a_token_that_fits_no_header_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ConfigError, match="TQ_TOKEN") as caught:
        settings(environ={"TQ_TOKEN": token}, files=())
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('url = "http://a"\nulr = 1', "unknown key 'ulr'"),
        ("url = 5", "url is to be text"),
        ("token = 5", "token is to be text"),
        ("url = [5]", "url is to be text or a list"),
        ("url = \ntoken = 2", "line 1"),
    ],
)
def test_a_mistake_in_a_file_names_the_file_and_the_key(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path / "config.toml", text)
    with pytest.raises(ConfigError, match=words) as caught:
        settings(environ={}, files=(path,))
    assert path in str(caught.value)


def test_a_file_that_is_not_text_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"config\.toml"):
        settings(environ={}, files=(str(path),))


def test_a_file_that_cannot_be_read_is_an_error_unless_it_is_not_needed(tmp_path: Path) -> None:
    # A folder in a file's place cannot be read by anyone, root included.
    files = (str(tmp_path),)
    with pytest.raises(ConfigError, match="TQ_URL and TQ_TOKEN"):
        settings(environ={"TQ_URL": "http://a"}, files=files)
    assert settings(environ={"TQ_URL": "http://a", "TQ_TOKEN": ""}, files=files).urls == ("http://a",)
