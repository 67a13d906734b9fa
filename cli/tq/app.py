"""Functions as tasks: the decorator, what it makes, and the registry a worker reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import update_wrapper
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

if TYPE_CHECKING:
    from msgspec import Raw, UnsetType

    from tq.calls import TaskOptions
    from tq.client import Client
    from tq.wire import Enqueued, NewTask, Task

P = ParamSpec("P")
R = TypeVar("R")


class TaskFunction(Generic[P, R]):
    """A function that can be called at once, or enqueued for a worker to call.

    Args:
        function: what is called; plain or ``async``.
        app: whose client enqueues it.
        kind: the name by which nodes and workers know it.
        options: how its tasks are run unless a call says otherwise.
    """

    __name__: str

    def __init__(self, function: Callable[P, R], *, app: App, kind: str, options: Mapping[str, Any]) -> None:
        self.function = function
        self.kind = kind
        self._app = app
        self._options = dict(options)
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function here and now."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tq.task {self.kind}>"

    def options(self, **options: Unpack[TaskOptions]) -> TaskFunction[P, R]:
        """The same task, to be run otherwise: ``resize.options(delay_s=60).enqueue(...)``."""
        return TaskFunction(
            self.function, app=self._app, kind=self.kind, options={**self._options, **options}
        )

    def new_task(self, *args: P.args, **kwargs: P.kwargs) -> NewTask:
        """The task for these arguments, not yet enqueued.

        Raises:
            TypeError: the function does not take these arguments, or one of them has no JSON.
            ValueError: an argument holds a NaN, an infinity, or text that is not Unicode.
        """
        import inspect  # only who enqueues pays for it

        from tq.calls import new_task
        from tq.unique_options import by_name, with_unique

        try:
            call = inspect.signature(self.function).bind(*args, **kwargs)
            options = with_unique(self._options)
            unique = options.get("unique")
            if unique is not None and unique.fields:
                passed, named, options["unique"] = by_name(call, unique)
                return new_task(self.kind, {"args": passed, "kwargs": named}, **options)
        except TypeError as error:
            raise TypeError(f"{self.kind}: {error}") from None
        return new_task(self.kind, {"args": args, "kwargs": kwargs}, **self._options)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Task:
        """Enqueues a call of the function with these arguments.

        Raises:
            TypeError: the function does not take these arguments, or one of them has no JSON.
            TqError: the node refused, or could not be reached.
        """
        return self._app.client.enqueue_task(self.new_task(*args, **kwargs))

    def enqueue_many(
        self, calls: Iterable[tuple[Any, ...] | Mapping[str, Any]], *, partial: bool = False
    ) -> list[Enqueued]:
        """Enqueues many calls: a tuple holds one call's positional arguments, a mapping its named ones.

        Args:
            calls: the arguments of each call.
            partial: see :meth:`tq.Client.enqueue_many`.
        """
        return self._app.client.enqueue_many(map(self._new_task_of, calls), partial=partial)

    def arguments(self, payload: Raw | UnsetType) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments a payload holds, made into what the function's annotations ask for.

        A dataclass, struct, date, decimal, … arrives as JSON and becomes itself again where the
        parameter is annotated so. What has no annotation, or one that JSON knows nothing of, stays as
        it is.

        Raises:
            ValueError: the payload is not ``{"args": [...], "kwargs": {...}}``, or a value is not what
                the annotation asks for.
            TypeError: the function does not take these arguments.
        """
        from tq.arguments import restore

        return restore(self.function, payload, kind=self.kind)

    def _new_task_of(self, call: tuple[Any, ...] | Mapping[str, Any]) -> NewTask:
        # What the caller's own types say is checked by binding to the signature.
        make = cast("Callable[..., NewTask]", self.new_task)
        if isinstance(call, tuple):
            return make(*call)
        if isinstance(call, Mapping):
            return make(**call)
        raise TypeError(
            f"{self.kind}: each call is a tuple of positional arguments or a mapping of named ones,"
            f" not {type(call).__name__}"
        )


class App:
    """A set of tasks and the client that enqueues them.

    Args:
        client: made from the environment and the configuration files when first needed if absent.
    """

    def __init__(self, client: Client | None = None) -> None:
        self.tasks: dict[str, TaskFunction[..., Any]] = {}
        self._client = client

    @property
    def client(self) -> Client:
        """What enqueues the tasks."""
        if self._client is None:
            from tq.client import Client

            self._client = Client()
        return self._client

    @client.setter
    def client(self, client: Client | None) -> None:
        self._client = client

    @overload
    def task(self, function: Callable[P, R], /) -> TaskFunction[P, R]: ...

    @overload
    def task(
        self, function: None = None, /, *, kind: str | None = None, **options: Unpack[TaskOptions]
    ) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...

    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        kind: str | None = None,
        **options: Unpack[TaskOptions],
    ) -> Any:
        """Makes a function a task, as ``@app.task`` or ``@app.task(queue="mail", max_attempts=3)``.

        Args:
            function: the function, when used without parentheses.
            kind: the name by which nodes and workers know it; default: the function's own.
            options: see :class:`tq.calls.TaskOptions`.

        Raises:
            ValueError: another function of this app has that kind.
        """
        if function is None:
            return lambda decorated: self._add(decorated, kind, options)
        return self._add(function, kind, options)

    def add(self, task: TaskFunction[..., Any]) -> None:
        """Adds a task that another app made.

        Raises:
            ValueError: another function of this app has that kind.
        """
        known = self.tasks.get(task.kind)
        if known is not None and not _is_same(known.function, task.function):
            raise ValueError(
                f"two tasks of kind {task.kind!r}: {_place(known.function)} and {_place(task.function)};"
                " give one another kind="
            )
        self.tasks[task.kind] = task

    def _add(
        self, function: Callable[..., Any], kind: str | None, options: Mapping[str, Any]
    ) -> TaskFunction[..., Any]:
        task = TaskFunction(function, app=self, kind=kind or function.__name__, options=options)
        self.add(task)
        return task


class _DefaultApp(App):
    """Where :func:`tq.task` belongs to. Modules that know nothing of each other share it, so that two
    of them may use one kind: a worker serves the tasks of the module it was given."""

    def add(self, task: TaskFunction[..., Any]) -> None:
        self.tasks[task.kind] = task


default_app: App = _DefaultApp()
task = default_app.task


def load_app(target: str) -> App:
    """The app that ``module:attribute`` names.

    Args:
        target: the attribute is an :class:`App`, or a module whose tasks are meant; without one, it is
            the module's ``app`` if that is an :class:`App`, else all tasks the module holds. Modules
            are looked for in the current directory too.

    Raises:
        ValueError: the target names nothing of that kind, or there are no tasks in it.
        ImportError: the module, or one that it needs, does not exist.
    """
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module_name, _, attribute = target.partition(":")
    if not module_name:
        raise ValueError(f"{target!r} is not of the form module or module:attribute")
    module = import_module(module_name)
    found: Any = module
    for name in attribute.split(".") if attribute else ():
        if not hasattr(found, name):
            raise ValueError(f"{target}: {module_name} has no {attribute}")
        found = getattr(found, name)
    if isinstance(found, ModuleType):
        inner = getattr(found, "app", None)
        found = inner if isinstance(inner, App) else _collect(found)
    if not isinstance(found, App):
        raise ValueError(f"{target} is a {type(found).__name__}, neither a tq.App nor a module of tasks")
    if not found.tasks:
        raise ValueError(f"{target} holds no tasks: decorate functions with @tq.task")
    return found


def _collect(module: ModuleType) -> App:
    app = App()
    for found in vars(module).values():
        if isinstance(found, TaskFunction):
            app.add(found)
    return app


def _is_same(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether two functions are one, perhaps imported twice."""
    return one is other or _place(one) == _place(other)


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
