"""The server's command line, as a process where start-up or exit codes matter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tqnode.__main__ import config as config_command
from tqnode.__main__ import main
from tqnode.config import LATER, SETTINGS, Config

HEAVY = (
    "apsw",
    "asyncio",
    "httptools",
    "httpx",
    "msgspec",
    "prometheus_client",
    "rich",
    "starlette",
    "uvicorn",
    "uvloop",
)


def invoke(*arguments: str, environ: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, arguments, env=environ, prog_name="tqnode")


@pytest.fixture
def no_file(tmp_path: Path) -> str:
    """A configuration file without a word, so that none of the machine's is looked at."""
    path = tmp_path / "empty.toml"
    path.touch()
    return str(path)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["config", "check"]])
def test_a_command_that_needs_no_server_loads_none(arguments: list[str]) -> None:
    code = f"import sys; from tqnode.__main__ import main; main({arguments}, standalone_mode=False)"
    code += f"; print(*(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout
    assert done.stderr.split() == []


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert invoke("--version").output == f"tqnode {version('tqnode')}\n"


def test_every_key_is_a_flag_of_run_with_its_meaning_unit_and_default() -> None:
    told = " ".join(invoke("run", "--help").output.split())
    for setting in SETTINGS.values():
        assert f" {setting.flag} " in told
        assert setting.help in told
        assert str(setting.default) in told


def test_a_key_of_a_later_version_is_a_flag_that_help_does_not_offer() -> None:
    told = invoke("run", "--help").output
    for key in LATER:
        assert f"--{key.replace('_', '-')} " not in told


def test_config_check_prints_each_value_and_its_source(no_file: str) -> None:
    done = invoke(
        "config", "check", "--config", no_file, "--claim-max", "5", environ={"TQNODE_PAGE_MAX": "7"}
    )
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert "claim_max = 5 # --claim-max" in lines
    assert "page_max = 7 # TQNODE_PAGE_MAX" in lines
    assert "batch_max = 10000 # default" in lines
    assert len(lines) == len(SETTINGS)


def test_config_check_prints_json_when_asked(no_file: str) -> None:
    done = invoke("config", "check", "--json", "--config", no_file)
    told = json.loads(done.output)
    assert told["file"] == no_file
    assert {key: row["value"] for key, row in told["config"].items()} == {
        key: str(value) if isinstance(value := getattr(Config(), key), Path) else value for key in SETTINGS
    }


@pytest.mark.parametrize("command", [["run"], ["config", "check"]])
def test_every_mistake_is_told_on_standard_error_with_exit_code_2(command: list[str], no_file: str) -> None:
    done = invoke(
        *command, "--config", no_file, "--lease-s", "x", "--peers", "a", environ={"TQNODE_NAM": "x"}
    )
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "tqnode: the configuration has mistakes:",
        "  TQNODE_NAM: unknown; did you mean TQNODE_NAME?",
        "  --lease-s: must be a number, not 'x'",
        "  --peers: must be a list of name=host:port, not 'a'",
    ]


def test_mistakes_are_json_when_asked(no_file: str) -> None:
    done = invoke("config", "check", "--json", "--config", no_file, "--claim-max", "0")
    assert done.exit_code == 2
    assert json.loads(done.stdout) == {
        "mistakes": [{"source": "--claim-max", "detail": "must be 1 to 1000 tasks, not 0"}]
    }


def test_an_unknown_flag_is_refused_with_exit_code_2() -> None:
    done = invoke("run", "--lisen", "x:1")
    assert done.exit_code == 2
    assert "--listen" in done.stderr


def test_each_command_says_in_its_help_what_it_does() -> None:
    for command in [*main.commands.values(), *config_command.commands.values()]:
        assert command.help


def test_the_documented_table_is_the_one_that_config_keys_prints() -> None:
    document = Path(__file__).parents[2] / "web" / "tqweb" / "docs" / "configuration.md"
    assert invoke("config", "keys").output in document.read_text()


def test_the_documentation_names_every_protection_that_is_refused() -> None:
    document = Path(__file__).parents[2] / "web" / "tqweb" / "docs" / "configuration.md"
    text = document.read_text()
    assert [key for key in LATER if f"`{key}`" not in text] == []
