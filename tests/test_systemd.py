"""The unit files, judged by systemd's own tools: no running systemd is needed for it."""

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import click
import pytest

from tests.source_tree import ROOT
from tq.main import cli as tq
from tqnode.__main__ import main as tqnode
from tqnode.config import Config

# Out of 100; the measure's own words for it are "OK" up to 30. A unit with only User= has 92.
EXPOSURE_MAX = 20
UNITS = {"tqnode.service": "tqnode.service", "tq-worker@.service": "tq-worker@images.service"}
DEFAULTS = {field.name: field.default for field in fields(Config)}


def output_of(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def unit_text(name: str) -> str:
    return (ROOT / "systemd" / name).read_text()


def value(unit: str, key: str) -> str:
    (found,) = re.findall(rf"^{key}=(.*)$", unit_text(unit), re.MULTILINE)
    return str(found)


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_no_mistake_in_the_unit(unit: str, tmp_path: Path) -> None:
    # Where tqnode is not installed, verify would complain of that alone.
    text = re.sub(r"^(ExecStart)=/usr/bin/tq(node)?\b", r"\1=/bin/true", unit_text(unit), flags=re.MULTILINE)
    assert "ExecStart=/bin/true" in text
    (tmp_path / UNITS[unit]).write_text(text)
    assert output_of("systemd-analyze", "verify", "--man=no", str(tmp_path / UNITS[unit])).strip() == ""


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_exposes_little_of_the_host(unit: str, tmp_path: Path) -> None:
    (tmp_path / UNITS[unit]).write_text(unit_text(unit))
    threshold = f"--threshold={EXPOSURE_MAX}"
    output_of("systemd-analyze", "security", "--offline=true", threshold, str(tmp_path / UNITS[unit]))


def test_the_users_of_the_units_are_made_by_sysusers(tmp_path: Path) -> None:
    users = str(ROOT / "systemd" / "sysusers.conf")
    # An empty root: on a host that has the users already nothing would be made.
    made = output_of("systemd-sysusers", "--dry-run", f"--root={tmp_path}", users)
    for unit in UNITS:
        assert f"'{value(unit, 'User')}'" in made


def test_the_node_is_started_with_a_command_line_that_it_takes() -> None:
    _, *words = value("tqnode.service", "ExecStart").split()
    command = tqnode.commands[words[0]]
    context = command.make_context(words[0], words[1:])
    assert context.params["file"] == Path("/etc/tqnode/tqnode.toml")


def test_the_worker_is_started_with_arguments_that_it_takes() -> None:
    (example,) = re.findall(r"^#   TQ_WORKER_ARGS=(.*)$", unit_text("tq-worker@.service"), re.MULTILINE)
    program, word, arguments = value("tq-worker@.service", "ExecStart").split()
    assert (program, word, arguments) == ("/usr/bin/tq", "worker", "$TQ_WORKER_ARGS")
    command = tq.get_command(click.Context(tq), word)
    assert command is not None
    params = command.make_context(word, example.split()).params
    assert params["target"] == "shop.tasks:app"
    stop_s = float(value("tq-worker@.service", "TimeoutStopSec"))
    assert params["grace_s"] + params["kill_after_s"] < stop_s


def test_systemd_waits_longer_than_the_node_drains_and_allows_every_connection() -> None:
    assert int(value("tqnode.service", "TimeoutStopSec")) > 2 * float(str(DEFAULTS["drain_s"]))
    assert int(value("tqnode.service", "LimitNOFILE")) > int(str(DEFAULTS["connections_max"])) + 1000
