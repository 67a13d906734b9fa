"""The examples of the SDK's documentation run as they stand, against a node and a worker."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

import tq
from tests.e2e.processes import NodeProcess, running_node
from tests.e2e.receiver import hooks_file
from tests.e2e.worker_process import ROOT
from tests.waiting import eventually
from tq.calls import TaskOptions
from tq.refusals import CODES

DOCUMENT = (ROOT / "web/tqweb/docs/sdk.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
MODULES = [block for block in BLOCKS if block.startswith("# tasks.py\n")]
EXAMPLES = [block for block in BLOCKS if block not in MODULES]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node, with a worker that runs the tasks of the documentation."""
    folder = tmp_path_factory.mktemp("docs")
    (module,) = MODULES
    (folder / "tasks.py").write_text(module)
    # The shop is not there; the document is about how to ask for it.
    hooks = hooks_file(folder, shop="https://127.0.0.1/")
    with running_node(folder, "--webhooks-file", hooks) as node:
        command = [sys.executable, "-m", "tq", "worker", "--app", "tasks", "-q", "reports", "-q", "default"]
        environ = {**os.environ, "TQ_URL": node.url}
        with (folder / "worker.log").open("wb") as log:
            worker = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environ)
        try:
            yield node
        finally:
            worker.terminate()
            worker.wait(30)


@pytest.fixture(scope="module")
def output(node: NodeProcess) -> str:
    """What the examples print, run one after another as one program."""
    environ = {**os.environ, "TQ_URL": node.url, "PYTHONPATH": str(node.data_dir.parent)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(EXAMPLES)],
        capture_output=True,
        text=True,
        env=environ,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_run_and_print_what_they_say(output: str) -> None:
    lines = output.splitlines()
    assert re.fullmatch(r"[0-9a-f-]{36} ready", lines[0])
    assert "succeeded 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" in lines
    assert any(re.fullmatch(r"2500 [0-9a-f-]{36}", line) for line in lines)
    assert "priority 255" in lines
    assert lines.index("info copy 2 is made") == lines.index("info copy 1 is made") + 1
    assert lines[-1] == "task_not_found"


def test_the_tasks_of_the_examples_do_what_they_say(node: NodeProcess, output: str) -> None:
    assert output
    with tq.Client(node.url) as client:

        def reported() -> list[tq.wire.Task]:
            return list(client.list(kind="report", state="succeeded"))

        rows = eventually(lambda: len(reported()) == 2 and reported(), within_s=30)
        results = {row.id: tq.value(client.get(row.id).result) for row in rows}
        assert {"day": "2026-01-31", "copies": 2} in results.values()
        (later,) = client.list(kind="report", state="scheduled")
        assert later.unique_key == "tomorrow's"
        assert list(client.list(kind="mail.send", state="dead")) == []


def test_the_document_names_every_option_of_a_task() -> None:
    assert {name for name in TaskOptions.__annotations__ if f"`{name}`" not in DOCUMENT} == set()


def test_the_document_names_every_method_of_the_client() -> None:
    methods = {name for name in dir(tq.Client) if not name.startswith("_")} - {"urls", "close"}
    assert {name for name in methods if not re.search(rf"\b{name}\b", DOCUMENT)} == set()


def test_the_document_names_every_error_that_has_no_code_of_the_api() -> None:
    own = {
        kind.__name__ for kind in (tq.errors.TqUnavailable, tq.errors.OutcomeUnknown, tq.errors.WaitTimeout)
    }
    assert {name for name in own if f"`{name}`" not in DOCUMENT} == set()
    used = set(re.findall(r"\berrors\.(\w+)", "\n".join(EXAMPLES)))
    assert used <= {kind.__name__ for kind in CODES.values()}
