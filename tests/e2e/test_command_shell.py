"""``tq`` in a shell: pipes, full disks, locales, completion, configuration files."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command_process import Tq
from tests.e2e.processes import NodeProcess
from tq import Client, new_task


@pytest.fixture(scope="module")
def tq(shared_node: NodeProcess) -> Tq:
    return Tq(shared_node.url)


@pytest.fixture(scope="module")
def client(shared_node: NodeProcess) -> Iterator[Client]:
    with Client(shared_node.url) as made:
        yield made


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """A queue of the test's own."""
    return re.sub(r"\W", "_", request.node.name)[:150]


@pytest.mark.parametrize(
    "argv", ["list -n 0", "list -n 0 --json", "list -n 0 --ids", "export", "top --interval 0.1"]
)
def test_reader_that_goes_away_ends_the_command_quietly(
    tq: Tq, client: Client, queue: str, argv: str, tmp_path: Path
) -> None:
    # More than a pipe holds, so that the command is still writing when the reader is gone.
    client.enqueue_many([new_task("k", number, queue=queue) for number in range(3000)])
    ran = tq.shell(f'tq {argv} | head -n 1; echo "${{PIPESTATUS[0]}}"', home=tmp_path)
    assert (ran.out.splitlines()[-1], ran.err) == ("141", "")
    client.purge(queue)


def test_full_disk_under_the_output_is_told(tq: Tq, client: Client, queue: str, tmp_path: Path) -> None:
    client.enqueue("k", queue=queue)
    for argv in (f"list -q {queue}", f"list -q {queue} --json", "stats"):
        ran = tq.shell(f"tq {argv} > /dev/full", home=tmp_path)
        assert (ran.code, ran.err) == (1, "tq: cannot write: No space left on device\n")
    assert tq.shell("tq stats >&-", home=tmp_path).code == 0


def test_locale_without_the_characters_gets_escapes(tq: Tq, queue: str, tmp_path: Path) -> None:
    task_id = tq("enqueue", "k", '"日本"', "-q", queue, "-t", "日本").out.strip()
    for argv in (f"get {task_id}", f"list -q {queue} --payload"):
        ran = tq.shell(f"PYTHONIOENCODING=latin-1 tq {argv}", home=tmp_path)
        assert (ran.code, ran.err) == (0, "")
        assert "\\u65e5" in ran.out
    assert tq.shell("PYTHONIOENCODING=ascii tq queues", home=tmp_path).code == 0


def test_bash_completes_commands_options_values_and_queues(
    tq: Tq, client: Client, queue: str, tmp_path: Path
) -> None:
    client.enqueue("k", queue=queue)
    script = """
eval "$(tq completion bash)"
complete -p tq >/dev/null || exit 9
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _tq_completion tq; echo "${COMPREPLY[*]}"; }
ask tq enq
ask tq enqueue --pri
ask tq list --state su
ask tq queue pa
"""
    ran = tq.shell(f"{script}ask tq queue pause {queue[:-3]}\n", home=tmp_path)
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == ["enqueue", "--priority", "succeeded", "pause", queue]
    assert ran.err == ""


def test_completion_stays_silent_when_the_node_is_away(tmp_path: Path) -> None:
    away = Tq("http://127.0.0.1:9")
    script = """
eval "$(tq completion bash)"
COMP_WORDS=(tq queue pause x); COMP_CWORD=3; _tq_completion tq; echo "[${COMPREPLY[*]}]"
"""
    ran = away.shell(script, home=tmp_path)
    assert (ran.out, ran.err) == ("[]\n", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_scripts_name_the_command(tq: Tq, shell: str) -> None:
    assert "_TQ_COMPLETE" in tq("completion", shell).out


def test_url_and_token_come_from_the_users_config_file(shared_node: NodeProcess, tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "tq"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f'url = "{shared_node.url}"\n')
    done = subprocess.run(
        [*Tq.command, "stats", "--json"],
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin"},
        check=True,
    )
    assert json.loads(done.stdout)["version"]
    (folder / "config.toml").write_text('ulr = "x"\n')
    done = subprocess.run(
        [*Tq.command, "stats"],
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin"},
        check=False,
    )
    assert done.returncode == 2
    assert "ulr" in done.stderr
