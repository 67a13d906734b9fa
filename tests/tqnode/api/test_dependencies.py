"""Tasks that wait for others, over HTTP."""

from typing import Any

import httpx
import pytest

from tests.tqnode.api.conftest import Serve, Served, problem
from tqnode.api import dependencies

NOBODY = "0198c0de-0000-7000-8000-000000000000"


async def post(served: Served, tasks: Any, **query: str) -> httpx.Response:
    return await served.http.post("/v1/tasks", json=tasks, params=query)


async def enqueue(served: Served, *tasks: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await post(served, [{"kind": "k", **task} for task in tasks])
    assert answer.status_code == 201, answer.text
    rows: list[dict[str, Any]] = answer.json()["results"]
    return rows


async def read(served: Served, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = (await served.http.get(f"/v1/tasks/{task_id}")).json()
    return task


async def finish(served: Served, task: dict[str, Any], how: str, **fields: Any) -> httpx.Response:
    return await served.http.post(f"/v1/tasks/{task['id']}/{how}", json={"token": task["token"], **fields})


async def test_a_single_task_waits_for_stored_ones_and_is_read_back_as_it_was_made(served: Served) -> None:
    first, second = await served.enqueue(), await served.enqueue()
    parents = [first["id"], second["id"].upper(), first["id"]]
    made = await served.enqueue("child", after=[*parents[:2]], after_policy="finished")
    assert (made["state"], made["after_policy"]) == ("blocked", "finished")
    task = await read(served, made["id"])
    assert (task["after"], task["pending"]) == ([first["id"], second["id"]], 2)
    again = await served.enqueue("child", after=parents)
    assert (await read(served, again["id"]))["pending"] == 2


async def test_a_plain_task_says_nothing_of_parents(served: Served) -> None:
    made = await served.enqueue()
    assert not {"after", "after_policy", "pending"} & {*made, *await read(served, made["id"])}


async def test_refs_tie_tasks_of_an_array_whatever_their_order(served: Served) -> None:
    rows = await enqueue(served, {"after": ["#b", "#c"]}, {"ref": "b"}, {"ref": "c", "after": ["#b"]})
    assert [row["state"] for row in rows] == ["blocked", "ready", "blocked"]
    assert (await read(served, rows[0]["id"]))["after"] == [rows[1]["id"], rows[2]["id"]]


async def test_a_list_shows_blocked_tasks_and_how_many_they_wait_for(served: Served) -> None:
    rows = await enqueue(served, {"ref": "a"}, {"after": ["#a"]})
    (task,) = (await served.http.get("/v1/tasks", params={"state": "blocked"})).json()["tasks"]
    assert (task["id"], task["pending"], task["after_policy"]) == (rows[1]["id"], 1, "succeeded")


async def test_a_worker_gets_what_the_parents_came_to(served: Served) -> None:
    rows = await enqueue(served, {"ref": "a"}, {"queue": "next", "after": ["#a"]})
    (task,) = await served.claim()
    assert "inputs" not in task
    await finish(served, task, "complete", result={"n": 1})
    (task,) = await served.claim(queues=["next"])
    assert task["inputs"] == [{"id": rows[0]["id"], "kind": "k", "state": "succeeded", "result": {"n": 1}}]


async def test_then_takes_refs_and_the_task_that_is_completed(served: Served) -> None:
    task = await served.claimed()
    then = [{"kind": "k", "ref": "a", "after": [task["id"]]}, {"kind": "k", "after": ["#a"]}]
    finished = (await finish(served, task, "complete", then=then)).json()
    assert [(await read(served, one))["state"] for one in finished["then"]] == ["ready", "blocked"]


# What is sent, then status, code and field of the answer.
REFUSED: list[tuple[Any, str, str]] = [
    ({"after": [NOBODY]}, "unknown_parent", "after[0]"),
    ([{}, {"after": [NOBODY]}], "unknown_parent", "[1].after[0]"),
    ({"after": ["#a"]}, "unknown_ref", "after[0]"),
    ([{"ref": "a"}, {"after": ["#a", "#b"]}], "unknown_ref", "[1].after[1]"),
    ([{"ref": "a"}, {"ref": "a"}], "duplicate_ref", "[1].ref"),
    ([{"ref": "a", "after": ["#a"]}], "dependency_cycle", "[0].after"),
    (
        [{"ref": "a", "after": ["#c"]}, {"ref": "b", "after": ["#a"]}, {"ref": "c", "after": ["#b"]}],
        "dependency_cycle",
        "[0].after",
    ),
    ({"after": ["not an id"]}, "invalid_field", "after[0]"),
    ({"after": [""]}, "invalid_field", "after[0]"),
    ({"after": "#a"}, "invalid_field", "after"),
    ({"after_policy": "started"}, "invalid_field", "after_policy"),
    ({"ref": "a"}, "invalid_field", "ref"),
    ([{"ref": "not a name"}], "invalid_field", "[0].ref"),
    ({"after": [NOBODY] * 6}, "too_many_parents", "after"),
    ({"after": [NOBODY] * 10_001}, "invalid_field", "after"),
    (
        {"after": [NOBODY], "unique": {"key": "k", "on_conflict": "replace"}},
        "invalid_field",
        "after",
    ),
]


@pytest.mark.parametrize(("tasks", "code", "field"), REFUSED)
async def test_a_wrong_dependency_is_refused_by_its_name(
    serve_with: Serve, tasks: Any, code: str, field: str
) -> None:
    whole = [{"kind": "k", **task} for task in tasks] if isinstance(tasks, list) else {"kind": "k", **tasks}
    async with serve_with(parents_max=5) as served:
        assert problem(await post(served, whole)) == (422, code, field)
        assert (await served.http.get("/v1/tasks")).json()["tasks"] == []


async def test_a_limit_that_is_exceeded_is_named(serve_with: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve_with(parents_max=2) as served:
        answer = await post(served, {"kind": "k", "after": [NOBODY] * 3})
        assert answer.json()["limit"] == 2
        monkeypatch.setattr(dependencies, "PARENTS_OF_REQUEST_MAX", 3)
        tasks = [{"kind": "k", "ref": "a"}, *[{"kind": "k", "after": ["#a", "#a"]}] * 2]
        answer = await post(served, tasks)
        assert problem(answer) == (422, "too_many_parents", "after")
        assert answer.json()["limit"] == 3


async def test_of_a_partial_array_each_wrong_task_is_named_by_its_own_place(served: Served) -> None:
    parent = await served.enqueue()
    tasks = [
        {"kind": "k", "after": [NOBODY]},
        {"kind": "k", "after": [parent["id"]]},
        {"kind": "k", "ref": "a"},
        {"kind": "k", "after": [parent["id"], NOBODY]},
    ]
    answer = await post(served, tasks, partial="true")
    errors = [row.get("error") for row in answer.json()["results"]]
    assert [error and (error["code"], error["field"]) for error in errors] == [
        ("unknown_parent", "[0].after[0]"),
        None,
        ("invalid_field", "[2].ref"),
        ("unknown_parent", "[3].after[1]"),
    ]


async def test_a_wrong_dependency_in_then_is_named_by_its_path_and_the_task_runs_on(served: Served) -> None:
    task = await served.claimed()
    then = [{"kind": "k"}, {"kind": "k", "after": [NOBODY]}]
    assert problem(await finish(served, task, "complete", then=then)) == (
        422,
        "unknown_parent",
        "then[1].after[0]",
    )
    circle = [{"kind": "k", "ref": "a", "after": ["#a"]}]
    answer = await finish(served, task, "complete", then=circle)
    assert problem(answer) == (422, "dependency_cycle", "then[0].after")
    outcome = {"outcome": "complete", "id": task["id"], "token": task["token"], "then": then}
    answer = await served.http.post("/v1/outcomes", json={"outcomes": [outcome]})
    assert answer.json()["results"][0]["error"]["field"] == "outcomes[0].then[1].after[0]"
    assert (await read(served, task["id"]))["state"] == "running"
    assert (await finish(served, task, "complete")).status_code == 200


async def test_the_graph_of_a_task_has_nodes_edges_and_a_limit(served: Served) -> None:
    rows = await enqueue(served, {"ref": "a"}, {"ref": "b", "after": ["#a"]}, {"after": ["#b"]})
    first, second, third = (row["id"] for row in rows)
    path = f"/v1/tasks/{second}/graph"
    graph = (await served.http.get(path)).json()
    assert graph["task"] == second
    assert [node["id"] for node in graph["nodes"]] == [first, second, third]
    assert graph["nodes"][1] == {
        "id": second,
        "queue": "default",
        "kind": "k",
        "state": "blocked",
        "after_policy": "succeeded",
        "pending": 1,
    }
    assert graph["edges"] == [{"parent": first, "child": second}, {"parent": second, "child": third}]
    assert "truncated" not in graph
    cut = (await served.http.get(path, params={"limit": 1})).json()
    assert (len(cut["nodes"]), cut["truncated"]) == (1, True)
    assert problem(await served.http.get(path, params={"limit": 0})) == (422, "invalid_field", "limit")
    assert problem(await served.http.get(path, params={"limit": 1001})) == (422, "invalid_field", "limit")
    assert problem(await served.http.get(path, params={"depth": 1})) == (422, "unknown_field", "depth")
    missing = await served.http.get(f"/v1/tasks/{NOBODY}/graph")
    assert problem(missing) == (404, "task_not_found", None)


async def test_retrying_a_blocked_task_is_refused_and_cancelling_it_is_not(served: Served) -> None:
    rows = await enqueue(served, {"ref": "a"}, {"after": ["#a"]})
    path = f"/v1/tasks/{rows[1]['id']}"
    assert problem(await served.http.post(f"{path}/retry")) == (409, "wrong_state", None)
    assert (await served.http.post(f"{path}/cancel")).json()["reason"] == "requested"


async def test_blocked_tasks_count_for_the_depth_of_their_queue(serve_with: Serve) -> None:
    async with serve_with(queue_depth_max=2) as served:
        await enqueue(served, {"ref": "a"}, {"after": ["#a"]})
        assert problem(await post(served, {"kind": "k"})) == (429, "queue_full", "queue_depth_max")
