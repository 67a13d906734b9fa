"""Functions as tasks."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import tq
from tq.app import default_app, load_app


def test_a_task_is_still_the_function() -> None:
    @tq.App().task
    def add(one: int, two: int = 2) -> int:
        """Adds."""
        return one + two

    assert add(1) == 3
    assert add(1, two=5) == 6
    assert (add.__name__, add.__doc__, add.kind) == ("add", "Adds.", "add")
    assert "add" in repr(add)


async def test_a_coroutine_function_is_still_one() -> None:
    @tq.App().task
    async def add(one: int) -> int:
        await asyncio.sleep(0)
        return one + 1

    assert await add(1) == 2


def test_the_payload_holds_the_arguments() -> None:
    @tq.App().task(kind="math.add", queue="q", priority=200)
    def add(one: int, two: int = 2) -> int:
        return one + two

    task = add.new_task(1, two=3)
    assert (task.kind, task.queue, task.priority) == ("math.add", "q", 200)
    assert tq.value(task.payload) == {"args": [1], "kwargs": {"two": 3}}


def test_options_of_a_call_win_over_those_of_the_task_and_leave_it_as_it_is() -> None:
    app = tq.App()

    @app.task(queue="q", max_attempts=3)
    def add(one: int) -> int:
        return one

    later = add.options(queue="other", delay_s=5.0)
    task = later.new_task(1)
    assert (task.queue, task.max_attempts, task.delay_s) == ("other", 3, 5.0)
    assert add.new_task(1).queue == "q"
    assert app.tasks == {"add": add}


def test_arguments_that_the_function_does_not_take_fail_before_anything_is_sent() -> None:
    @tq.App().task
    def add(one: int, *, two: int = 2) -> int:
        return one + two

    with pytest.raises(TypeError, match="add: missing a required argument: 'one'"):
        add.enqueue()  # type: ignore[call-arg]  # the mistake itself
    with pytest.raises(TypeError, match="too many positional"):
        add.enqueue(1, 2)  # type: ignore[call-arg]  # the mistake itself
    with pytest.raises(TypeError, match="unexpected keyword"):
        add.enqueue(1, three=3)  # type: ignore[call-arg]  # the mistake itself
    with pytest.raises(TypeError, match="payload: "):
        add.enqueue(object())  # type: ignore[arg-type]  # the mistake itself


def test_two_tasks_of_one_kind_in_one_app_are_refused() -> None:
    app = tq.App()

    @app.task(kind="k")
    def one() -> None: ...

    with pytest.raises(ValueError, match=r"two tasks of kind 'k'.*one.*two"):

        @app.task(kind="k")
        def two() -> None: ...


def test_an_app_knows_a_function_that_was_imported_twice() -> None:
    app = tq.App()

    def one() -> None: ...

    app.task(one)
    app.task(one)
    assert list(app.tasks) == ["one"]


MODULE = """
import tq

@tq.task
def resize(path: str) -> str:
    return path

@tq.task(kind="mail.send")
def send() -> None: ...

class Box:
    app = tq.App()

@Box.app.task
def inside() -> None: ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, empty; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_is_an_app_of_all_the_tasks_it_holds(folder: Path) -> None:
    (folder / "handlers_a.py").write_text(MODULE)
    assert set(load_app("handlers_a").tasks) == {"resize", "mail.send", "inside"}
    assert load_app("handlers_a").tasks["resize"]("p") == "p"


def test_an_app_is_found_by_its_name_also_inside_something(folder: Path) -> None:
    (folder / "handlers_b.py").write_text(MODULE)
    assert set(load_app("handlers_b:Box.app").tasks) == {"inside"}


def test_the_app_named_app_is_the_one_of_its_module(folder: Path) -> None:
    (folder / "handlers_c.py").write_text(MODULE + "\napp = Box.app\n")
    assert set(load_app("handlers_c").tasks) == {"inside"}
    (folder / "handlers_d.py").write_text("import handlers_c as jobs\n")
    assert set(load_app("handlers_d:jobs").tasks) == {"inside"}


def test_modules_that_know_nothing_of_each_other_may_use_one_kind(folder: Path) -> None:
    for name in ("handlers_e", "handlers_f"):
        (folder / f"{name}.py").write_text(MODULE)
    one, other = load_app("handlers_e"), load_app("handlers_f")
    assert one.tasks["resize"].function.__module__ == "handlers_e"
    assert other.tasks["resize"].function.__module__ == "handlers_f"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("handlers_g:nothing", "has no nothing"),
        ("handlers_g:resize", "neither a tq.App nor a module"),
        (":app", "not of the form module"),
        ("handlers_empty", "holds no tasks"),
    ],
)
def test_a_target_that_names_no_tasks_says_why(folder: Path, target: str, words: str) -> None:
    (folder / "handlers_g.py").write_text(MODULE)
    (folder / "handlers_empty.py").write_text("")
    with pytest.raises(ValueError, match=words):
        load_app(target)


def test_a_module_that_does_not_exist_is_an_import_error(folder: Path) -> None:
    with pytest.raises(ImportError, match="handlers_nowhere"):
        load_app("handlers_nowhere")


def test_the_default_app_makes_its_client_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQ_URL", "http://elsewhere:1,http://elsewhere:2")
    app = tq.App()
    assert app.client.urls == ["http://elsewhere:1", "http://elsewhere:2"]
    assert app.client is app.client
    assert default_app.task == tq.task


def test_each_call_of_many_is_a_tuple_or_a_mapping() -> None:
    @tq.App().task
    def add(one: int, two: int = 2) -> int:
        return one + two

    with pytest.raises(TypeError, match="not int"):
        add.enqueue_many([1])  # type: ignore[list-item]  # the mistake itself
    with pytest.raises(TypeError, match="missing a required argument"):
        add.enqueue_many([(1,), {"two": 3}])


def test_a_payload_is_raw_json_and_so_is_sent_as_made() -> None:
    @tq.App().task
    def add(one: int) -> int:
        return one

    assert isinstance(add.new_task(1).payload, msgspec.Raw)
