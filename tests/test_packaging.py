"""What is built and what is installed: the wheel, the locks, and the script that makes the environment."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.source_tree import ROOT, files

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ["requirements.lock", "requirements-test.lock"]
SHIPPED = {"tqnode": "tqnode", "cli/tq": "tq", "web/tqweb": "tqweb"}
ENV_SCRIPT = ROOT / "packaging" / "env.sh"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel that is really built."""
    target = tmp_path_factory.mktemp("wheel")
    # hatchling comes with the environment, so nothing is downloaded for this.
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = target.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: set[str]) -> None:
    expected = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for folder, package in SHIPPED.items()
        for path in files()
        if path.is_relative_to(folder)
    }
    assert {name for name in wheel if ".dist-info/" not in name} == expected
    for needed in (r"tqnode/sql/\w+\.sql", r"tqnode/sql/migrations/\w+\.sql", r"tqweb/docs/\w+\.md"):
        assert [name for name in expected if re.fullmatch(needed, name)], needed


def test_the_wheel_installs_both_commands_and_the_licence(wheel: set[str]) -> None:
    assert PROJECT["project"]["scripts"].keys() == {"tq", "tqnode"}
    assert [name for name in wheel if name.endswith(".dist-info/entry_points.txt")]
    assert [name for name in wheel if name.endswith(".dist-info/licenses/LICENSE")]


def locked(lock: str) -> dict[str, str]:
    """The pinned version of each package in a lock."""
    pins = re.findall(r"^([\w.-]+)==([^ ;\\]+)", (ROOT / "packaging" / lock).read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("lock", LOCKS)
def test_each_pin_of_a_lock_has_a_hash_and_no_address(lock: str) -> None:
    text = (ROOT / "packaging" / lock).read_text()
    assert "://" not in text
    assert "--index" not in text
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked(lock)) > 20
    assert [entry.partition(" ")[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_a_fitting_pin_for_each_dependency(lock: str) -> None:
    project = PROJECT["project"]
    wanted = (
        project["dependencies"] + PROJECT["dependency-groups"]["build"] + PROJECT["build-system"]["requires"]
    )
    if lock == "requirements-test.lock":
        wanted += project["optional-dependencies"]["test"]
    pins = locked(lock)
    for line in wanted:
        requirement = Requirement(line)
        version = pins.get(canonicalize_name(requirement.name))
        assert version, f"{line} is not in {lock}: run packaging/lock.sh"
        assert requirement.specifier.contains(version), (
            f"{line}, but {lock} has {version}: run packaging/lock.sh"
        )


def test_the_tests_run_with_the_versions_that_the_demo_runs_with() -> None:
    demo, tests = locked("requirements.lock"), locked("requirements-test.lock")
    assert demo.items() <= tests.items()


def make_environment(path: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the script as if ``path`` were all there is, for a folder that must not come to be."""
    command = ["/bin/sh", str(ENV_SCRIPT), ".venv-never", "requirements.lock"]
    environ = {"PATH": path, **variables}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def fake_python(folder: Path, body: str) -> None:
    script = folder / "python3"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder for PATH with the few programs the script uses, but without uv or any Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "mkdir", "rm", "cp", "cat", "cmp"):
        program = shutil.which(name)
        assert program is not None
        (folder / name).symlink_to(program)
    return folder


def test_a_missing_python_is_told_with_what_to_install(bare_path: Path) -> None:
    made = make_environment(str(bare_path))
    assert made.returncode == 1
    assert "needs Python 3.11 or newer; found: none" in made.stderr
    assert "apt-get install python3 python3-venv" in made.stderr


def test_a_python_that_is_too_old_is_named_in_the_error(bare_path: Path) -> None:
    fake_python(bare_path, "echo 9 venv /opt/python3.9")
    made = make_environment(str(bare_path))
    assert made.returncode == 1
    assert "found: /opt/python3.9 (3.9)" in made.stderr


def test_a_missing_venv_module_is_told_with_the_package_that_has_it(bare_path: Path) -> None:
    fake_python(bare_path, "echo 12 bare /usr/bin/python3.12")
    made = make_environment(str(bare_path))
    assert made.returncode == 1
    assert "its venv module is not" in made.stderr
    assert "apt-get install python3-venv" in made.stderr
    assert not (ROOT / ".venv-never").exists()


def test_the_newest_python_on_the_path_is_taken(bare_path: Path) -> None:
    fake_python(bare_path, "echo 11 venv /opt/old")
    (bare_path / "python3.13").write_text("#!/bin/sh\necho 13 venv /opt/new\n")
    (bare_path / "python3.13").chmod(0o755)
    made = make_environment(str(bare_path))
    assert "with /opt/new (3.13) and venv and pip" in made.stdout
    chosen = make_environment(str(bare_path), PYTHON=str(bare_path / "python3"))
    assert "with /opt/old (3.11) and venv and pip" in chosen.stdout


@pytest.mark.parametrize("script", [path for path in files() if path.match("packaging/*.sh")], ids=str)
def test_each_script_is_plain_posix_shell(script: Path) -> None:
    text = (ROOT / script).read_text()
    assert text.startswith("#!/bin/sh\n")
    assert "set -eu\n" in text
    checked = subprocess.run(["sh", "-n", str(ROOT / script)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_the_continuous_integration_runs_what_the_readme_tells_a_newcomer_to_run() -> None:
    readme, script = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    for command in ("sh packaging/demo.sh", "sh packaging/test.sh"):
        assert command in readme
        assert command in script
