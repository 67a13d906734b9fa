"""How ``tq`` finds its commands, takes its options and says what is wrong with them."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from tq.commands.base import EXIT_CODES, ExitCode
from tq.main import COMMANDS, cli, main
from tq.version import VERSION

DOCUMENT = Path(__file__).parents[3] / "web" / "tqweb" / "docs" / "tq.md"
# What no command line needs before it is known to be right.
HEAVY = ("httpx", "rich", "msgspec", "asyncio", "tq.client", "tq.wire", "tq.worker")


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(argv)
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return int(ended.value.code), out, err


def every_command() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []

    def walk(path: str, command: click.Command) -> None:
        found.append((path, command))
        if isinstance(command, click.Group):
            with click.Context(command, info_name=path) as context:
                for name in command.list_commands(context):
                    child = command.get_command(context, name)
                    assert child is not None
                    walk(f"{path} {name}", child)

    walk("tq", cli)
    return found


EVERY_COMMAND = every_command()


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_listed_with_the_first_sentence_of_its_help(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert (command.help or "").partition("\n")[0] == COMMANDS[name].does


def test_version_is_that_of_the_package() -> None:
    assert version("tqnode") == VERSION


@pytest.mark.parametrize(("path", "command"), EVERY_COMMAND, ids=[path for path, _ in EVERY_COMMAND])
def test_reference_names_the_command_and_each_of_its_options(path: str, command: click.Command) -> None:
    text = DOCUMENT.read_text()
    if path == "tq":
        section = text
    else:
        heading = re.search(rf"^(#+) `{re.escape(path)}\b.*$", text, re.MULTILINE)
        assert heading, f"no heading for {path}"
        section = text[heading.end() :].partition(f"\n{heading[1]} ")[0]
    shared = text.partition("\n## Commands")[0]
    for param in command.params:
        if isinstance(param, click.Option):
            for option in param.opts:
                where = shared if option in ("--url", "--token", "--json") else section
                assert f"`{option}" in where, f"{path} {option} is not in the reference"


def test_reference_and_help_tell_each_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for number, meaning in EXIT_CODES:
        assert re.search(rf"^\s+{int(number)}\s+{re.escape(meaning)}$", out, re.MULTILINE)
        assert f"| {int(number)} | {meaning} |" in DOCUMENT.read_text()
    assert {number for number, _ in EXIT_CODES} == set(ExitCode)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["lst"], "did you mean list"),
        (["xyzzy"], "no such command 'xyzzy'"),
        (["--bogus"], "No such option"),
        (["enqueue"], "Missing argument 'KIND'"),
        (["enqueue", "x", "--bogus"], "No such option"),
        (["enqueue", "x", "--priority", "256"], "0<=x<=255"),
        (["enqueue", "x", "--delay", "soon"], "is not a duration"),
        (["enqueue", "x", "--delay", "5m", "--run-at", "2026-01-31T12:00:00Z"], "exclude each other"),
        (
            ["enqueue", "x", "--expires-in", "5m", "--expires-at", "2026-01-31T12:00:00Z"],
            "exclude each other",
        ),
        (["enqueue", "x", "--on-conflict", "skip"], "needs --unique-key"),
        (["enqueue", "x", "--wait-timeout", "5m"], "needs --wait"),
        (["enqueue", "x", "--retry", "sometimes"], "is not a retry policy"),
        (["enqueue", "x", "--retry", "exponential:0"], "base_s"),
        (["enqueue", "x", "hello"], "is not JSON"),
        (["enqueue", "x", "@/no/such/file"], "/no/such/file: No such file"),
        (["enqueue", "x", "--meta", "novalue"], "is not key=value"),
        (["get"], "Missing argument 'ID...'"),
        (["get", ""], "is no id"),
        (["cancel", ".."], "is no id"),
        (["list", "--state", "lost"], "'lost' is not one of"),
        (["list", "--created-after", "yesterday"], "is not a time"),
        (["list", "--limit", "-1"], "-1 is not in the range"),
        (["import", "/no/such/file"], "/no/such/file: No such file"),
        (["queue", "drop", "x"], "No such command 'drop'"),
        (["workers", "--json", "quiet", "x"], "write --json after quiet"),
        (["top", "--interval", "1ms"], "at least 0.1s"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
    ],
)
def test_wrong_command_line_is_told_in_two_lines_and_exits_2(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *argv)
    assert code == ExitCode.USAGE
    assert out == ""
    assert said in err
    assert err.startswith("tq: ")
    assert len(err.splitlines()) <= 2


def test_bare_tq_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert code in (ExitCode.OK, ExitCode.USAGE)
    assert "enqueue" in out + err


def test_node_that_is_not_there_is_named_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--url", "http://127.0.0.1:9", "stats")
    assert code == ExitCode.UNAVAILABLE
    assert out == ""
    assert "cannot reach http://127.0.0.1:9: Connection refused" in err
    assert "tqnode run" in err
    assert len(err.splitlines()) == 2


def test_url_is_taken_before_and_after_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (
        ["--url", "http://127.0.0.1:9", "queues"],
        ["queues", "--url", "http://127.0.0.1:9"],
        ["--url", "http://127.0.0.1:8", "queues", "--url", "http://127.0.0.1:9"],
        ["workers", "--url", "http://127.0.0.1:9"],
        ["queue", "pause", "x", "--url", "http://127.0.0.1:9"],
    ):
        code, _, err = run(capsys, *argv)
        assert (code, "http://127.0.0.1:9" in err) == (ExitCode.UNAVAILABLE, True)


def test_url_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "stats", "--url", "not a url")
    assert code == ExitCode.USAGE
    assert "not a url" in err


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["--version"],
        ["lst"],
        *([*path.split()[1:], "--help"] for path, _ in EVERY_COMMAND if path != "tq"),
        ["enqueue", "--bogus"],
        ["list", "--state", "lost"],
        ["import"],
    ],
    ids=" ".join,
)
def test_help_and_usage_errors_import_nothing_heavy(argv: list[str]) -> None:
    script = f"""
import sys
from tq.main import main
try:
    main({argv!r})
finally:
    print("HEAVY", [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode in (ExitCode.OK, ExitCode.USAGE), done.stderr
    assert done.stderr.splitlines()[-1] == "HEAVY []"


def test_tq_runs_as_a_module_too() -> None:
    command = [sys.executable, "-m", "tq", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"tq {VERSION}\n"
