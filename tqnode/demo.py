"""The demo: a real node, a real worker, a few hundred real tasks, all gone when it ends."""

import os
import signal
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import tq
from tq.wire import Enqueued, NewTask
from tqnode.child_process import ChildProcess
from tqnode.clock import SystemClock
from tqnode.config import ConfigError, load
from tqnode.data_folder import URL_FILE
from tqnode.demo_handlers import count_primes, fetch, hash_file, stumble
from tqnode.demo_view import say, things_to_try, totals, view
from tqnode.http_server import ListenError, bind

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_MISCONFIGURED: Final = 2
EXIT_INTERRUPTED: Final = 130
START_S: Final = 30.0
TASKS_S: Final = 90.0
GRACE_S: Final = 8.0
LOOK_EVERY_S: Final = 0.1

FILES: Final = 200
FETCHES: Final = 60
STUMBLES: Final = 24
LONG_ONES: Final = 2
PRIMES_BELOW: Final = 150_000
WORKERS_CONCURRENCY: Final = 8
PRIORITIES: Final = (32, 128, 224)


class DemoError(Exception):
    """The demo can't go on; the text says why."""


class Interrupted(Exception):
    """A signal asked the demo to end."""


class Demo:
    """One run of the demo.

    Args:
        listen: the node's address.
        folder: where everything is; removed by the caller.
        environ: the environment the children start from.
        stop: set by signals.
    """

    def __init__(
        self, *, listen: str, folder: Path, environ: Mapping[str, str], stop: threading.Event
    ) -> None:
        self._listen = listen
        self._folder = folder
        # Settings for another node must not reach this one.
        self._environ = {key: text for key, text in environ.items() if not key.startswith(("TQNODE_", "TQ_"))}
        self._stop = stop
        self._clock = SystemClock()
        self._children: dict[str, ChildProcess] = {}

    def start_node(self) -> str:
        """Starts the node and returns its URL.

        Raises:
            DemoError: it did not start.
            Interrupted: a signal came first.
        """
        data = self._folder / "data"
        no_settings = self._folder / "tqnode.toml"
        no_settings.touch()
        arguments = ["--config", str(no_settings), "--data-dir", str(data), "--listen", self._listen]
        self._start("node", [sys.executable, "-m", "tqnode", "run", *arguments])
        until = self._clock.monotonic() + START_S
        file = data / URL_FILE
        while not file.exists():
            self._pause()
            if self._clock.monotonic() > until:
                raise DemoError(f"the node did not start within {START_S:g} s")
        return file.read_text().strip()

    def start_worker(self, url: str) -> None:
        """Starts the worker, which serves all queues of the demo."""
        self._environ["TQ_URL"] = url
        arguments = ["--app", "tqnode.demo_handlers:app", "-c", str(WORKERS_CONCURRENCY)]
        for queue in ("long", "files", "web", "stumbling"):
            arguments += ["-q", queue]
        self._start("worker", [sys.executable, "-m", "tq", "worker", *arguments])

    def _start(self, name: str, argv: list[str]) -> None:
        self._children[name] = ChildProcess(argv, environ=self._environ, log=self._folder / f"{name}.log")

    def _pause(self) -> None:
        """Waits a moment.

        Raises:
            Interrupted: a signal came.
            DemoError: a child has ended by itself.
        """
        if self._stop.wait(LOOK_EVERY_S):
            raise Interrupted
        for name, child in self._children.items():
            if child.exit_code is not None:
                told = "\n  ".join(["", *child.last_lines(20)])
                raise DemoError(f"the {name} has ended with exit code {child.exit_code}:{told}")

    def watch(self, client: tq.Client, tasks: list[Enqueued]) -> float:
        """Shows the counts until all tasks are done; returns the seconds it took.

        Raises:
            DemoError: a task is not done in time, or did not succeed.
            Interrupted: a signal came first.
        """
        began = self._clock.monotonic()
        with view() as shown:
            while True:
                queues = client.queues()
                after_s = self._clock.monotonic() - began
                shown.show(queues, after_s=after_s, progress=_progress(client))
                counts = totals(queues)
                if counts["succeeded"] + counts["dead"] >= len(tasks):
                    break
                if after_s > TASKS_S:
                    raise DemoError(f"not all tasks were done within {TASKS_S:g} s: {counts}")
                self._pause()
        if counts["succeeded"] != len(tasks):
            raise DemoError("\n  ".join([f"{counts['dead']} tasks failed:", *_failures(client)]))
        return after_s

    def stay(self) -> None:
        """Returns when a signal comes.

        Raises:
            DemoError: a child has ended by itself.
        """
        while True:
            try:
                self._pause()
            except Interrupted:
                return

    def end(self) -> None:
        """Ends the worker, then the node."""
        for name in ("worker", "node"):
            if name in self._children:
                self._children.pop(name).end(grace_s=GRACE_S)


def _progress(client: tq.Client) -> str:
    """How far the long tasks are that run, as they have told the node."""
    told = [
        tq.value(task.progress)
        for task in client.list(kind=count_primes.kind, state="running", limit=LONG_ONES)
        if task.progress is not tq.UNSET
    ]
    shares = ", ".join(f"{100 * step['tested'] // step['of']} %" for step in told)
    return f"{count_primes.kind} {shares}" if shares else ""


def _failures(client: tq.Client) -> list[str]:
    lines = []
    for task in client.list(state=["dead", "cancelled"], limit=10):
        error = client.get(task.id).errors[-1:]
        why = f"{error[0].type}: {error[0].message}" if error else task.reason
        lines.append(f"{task.kind} {task.id}: {why}")
    return lines


def make_tasks(url: str) -> list[NewTask]:
    """A few hundred tasks for the handlers, at different priorities."""
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(library.glob("*.py"))[:FILES] or [Path(sys.executable)]
    pages = ("/livez", "/openapi.json", "/v1/stats", "/v1/queues")
    made = [hash_file.new_task(str(files[index % len(files)])) for index in range(FILES)]
    made += [fetch.new_task(url + pages[index % len(pages)]) for index in range(FETCHES)]
    made += [stumble.new_task() for _ in range(STUMBLES)]
    made += [count_primes.new_task(PRIMES_BELOW) for _ in range(LONG_ONES)]
    for index, task in enumerate(made):
        task.priority = PRIORITIES[index % len(PRIORITIES)]
    return made


def run_demo(*, listen: str, once: bool, environ: Mapping[str, str]) -> int:
    """Runs the demo in this process and two children.

    Args:
        listen: the node's address.
        once: end when the tasks are done.
        environ: the environment the children start from.

    Returns:
        The exit code: 0, or 1 if a task did not succeed or the demo could not run.
    """
    try:
        config = load(file=Path(os.devnull), environ={}, flags={"listen": listen}).config
        # Asked before anything is started: the usual reason why a demo cannot run.
        bind(config).close()
    except ConfigError as error:
        say(f"tqnode demo: {error}")
        return EXIT_MISCONFIGURED
    except ListenError as error:
        say(f"tqnode demo: {error}\n(any free port: tqnode demo --listen 127.0.0.1:0)")
        return EXIT_FAILED
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="tqnode-demo-") as folder:
        demo = Demo(listen=listen, folder=Path(folder), environ=environ, stop=stop)
        try:
            return _perform(demo, folder=folder, once=once)
        except Interrupted:
            say("interrupted")
            return EXIT_INTERRUPTED
        except (DemoError, tq.TqError) as error:
            say(f"tqnode demo: {error}")
            return EXIT_FAILED
        finally:
            demo.end()


def _perform(demo: Demo, *, folder: str, once: bool) -> int:
    say(f"starting a node, its data in {folder}")
    url = demo.start_node()
    say(f"the node listens on {url}; starting a worker")
    demo.start_worker(url)
    with tq.Client(url, token="") as client:  # no token, whatever the user's files say
        tasks = client.enqueue_many(make_tasks(url))
        say(f"{len(tasks)} tasks enqueued: files to hash, pages to fetch, some that fail twice, a few long")
        took_s = demo.watch(client, tasks)
        say(f"all {len(tasks)} tasks succeeded in {took_s:.1f} s")
    if once:
        return EXIT_DONE
    say("\nThe node and its worker stay up until Ctrl-C. In another terminal, try:\n")
    for line in things_to_try(url, Path(os.__file__)):
        say(f"  {line}")
    say()
    demo.stay()
    return EXIT_DONE
