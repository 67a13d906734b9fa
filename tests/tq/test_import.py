"""What importing costs, and that every public name is there."""

import importlib.metadata
import subprocess
import sys

import pytest

import tq


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after ``code``, beyond those it starts with."""
    report = "import sys; before = set(sys.modules)\n" + code + "\nprint(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-I", "-c", report], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_tq_loads_nothing_else() -> None:
    loaded = loaded_by("import tq")
    assert "tq" in loaded
    heavy = {"httpx", "msgspec", "asyncio", "click", "rich", "typing", "dataclasses", "inspect"}
    assert loaded & heavy == set()
    assert len(loaded) < 10


def test_declaring_tasks_loads_no_network_and_no_json() -> None:
    loaded = loaded_by("import tq\n@tq.task\ndef f(): ...\nraised = tq.Snooze, tq.Reject\n")
    assert loaded & {"httpx", "msgspec", "asyncio", "click", "rich", "ssl"} == set()


def test_a_blocking_client_loads_neither_asyncio_nor_the_command_line_of_httpx() -> None:
    loaded = loaded_by("import tq\ntq.Client('http://node:1')")
    assert "httpx" in loaded
    assert loaded & {"asyncio", "click", "rich", "pygments", "httpx._main", "tomllib"} == set()


def test_httpx_stays_whole_for_others_in_the_process() -> None:
    loaded = loaded_by("import tq\ntq.Client\nimport httpx, httpx._main\nassert httpx._main.main")
    assert "httpx._main" in loaded


@pytest.mark.parametrize("name", tq.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(tq, name) is not None
    assert name in dir(tq)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tq.nothing  # noqa: B018  # looking it up is the test


def test_the_version_is_that_of_the_package() -> None:
    assert tq.__version__ == importlib.metadata.version("tqnode")
