"""A node and the workers of one test, with the questions the tests ask of them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import tq
from tests.e2e.processes import NodeProcess
from tests.e2e.worker_process import APP, WorkerProcess
from tests.waiting import eventually
from tq.wire import Task

T = TypeVar("T")
FINAL = ("succeeded", "dead", "cancelled")


class WorkerBench:
    """What one test has to do with.

    Args:
        node: to work with.
        folder: of the test; workers log there and handlers leave their marks there.
    """

    def __init__(self, node: NodeProcess, folder: Path) -> None:
        self.node = node
        self.folder = folder
        self.queue = f"q{folder.name}"
        self.client = tq.Client(node.url)
        self._workers: list[WorkerProcess] = []

    def worker(self, *flags: str, app: bool = True, claims: bool = True) -> WorkerProcess:
        """Starts a worker on the test's queue."""
        handlers = ("--app", APP) if app else ()
        worker = WorkerProcess(self.folder, self.node.url, *handlers, "-q", self.queue, *flags, claims=claims)
        self._workers.append(worker)
        return worker

    def program(self, text: str, *flags: str, arguments: Sequence[str] = ()) -> WorkerProcess:
        """Starts a worker whose tasks are run by a program made of ``text``."""
        file = self.folder / "program"
        file.write_text(text)
        file.chmod(0o755)
        after = ("--", *arguments) if arguments else ()
        return self.worker("--exec", str(file), *flags, *after, app=False)

    def enqueue(self, kind: str, *args: object, **options: object) -> str:
        """Enqueues a call of a handler and returns the task's id."""
        payload = {"args": args, "kwargs": {}}
        return self.client.enqueue(kind, payload, queue=self.queue, **options).id  # type: ignore[arg-type]  # the options of one test or another

    def task(self, task_id: str) -> Task:
        return self.client.get(task_id)

    def ended(self, task_id: str, *, within_s: float = 20.0) -> Task:
        """The task once it is final."""

        def final() -> Task | None:
            task = self.client.get(task_id)
            return task if task.state in FINAL else None

        return self._look(final, within_s)

    def in_state(self, task_id: str, state: str, *, within_s: float = 20.0) -> Task:
        """The task once it is in ``state``."""

        def there() -> Task | None:
            task = self.client.get(task_id)
            return task if task.state == state else None

        return self._look(there, within_s)

    def mark(self, name: str, *, within_s: float = 20.0) -> str:
        """What a handler left under ``name``, once it has."""
        file = self.folder / name
        self._look(file.exists, within_s)
        return file.read_text()

    def release(self, name: str) -> None:
        """Lets a handler go on that waits for it."""
        (self.folder / f"{name}.go").touch()

    def value(self, task: Task) -> object:
        return tq.value(task.result)

    def end(self) -> None:
        for worker in self._workers:
            worker.end()
        self.client.close()

    def _look(self, check: Callable[[], T | None], within_s: float) -> T:
        try:
            found = eventually(check, within_s=within_s)
        except AssertionError:
            for worker in self._workers:
                print(worker.log)
            raise
        assert found is not None
        return found


def bench(node: NodeProcess, folder: Path) -> Iterator[WorkerBench]:
    """A fixture's body."""
    made = WorkerBench(node, folder)
    try:
        yield made
    finally:
        made.end()


def gone(pid: int) -> bool:
    """Whether a process runs no more; one that nobody has waited for yet counts as gone."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"
