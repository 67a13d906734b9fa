"""Why a task runs or does not, over HTTP."""

from typing import Any

from tests.tqnode.api.conftest import Served, problem
from tests.tqnode.api.test_tasks import SOME_ID, STAMP
from tqnode.api.explain import facts_of


async def explained(served: Served, task_id: str) -> dict[str, Any]:
    answer = await served.http.get(f"/v1/tasks/{task_id}/explain")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_task_is_explained_in_words_and_with_facts(served: Served) -> None:
    task_id = (await served.enqueue(queue="mail", delay_s=100))["id"]
    await served.http.post("/v1/queues/mail/pause")
    found = await explained(served, task_id)
    assert (found["id"], found["state"]) == (task_id, "scheduled")
    delayed, paused = found["reasons"]
    assert found["summary"] == f"Scheduled. {delayed['text']}"
    assert (delayed["code"], paused["code"]) == ("delayed", "queue_paused")
    assert STAMP.fullmatch(delayed["facts"]["run_at"])
    assert 90 < delayed["facts"]["wait_s"] <= 100
    assert paused["facts"] == {"queue": "mail"}


async def test_the_last_error_comes_with_its_moment(served: Served) -> None:
    task = await served.claimed()
    error = {"type": "E", "message": "m"}
    await served.http.post(
        f"/v1/tasks/{task['id']}/fail", json={"token": task["token"], "error": error, "delay_s": 50}
    )
    facts = (await explained(served, task["id"]))["reasons"][0]["facts"]
    at = facts["error"].pop("at")
    assert STAMP.fullmatch(at)
    assert facts["error"] == {"type": "E", "message": "m", "attempt": 1}


async def test_progress_comes_with_the_digits_it_had(served: Served) -> None:
    task = await served.claimed()
    beat = b'{"token":"%s","progress":{"done":0.50}}' % task["token"].encode()
    headers = {"content-type": "application/json"}
    await served.http.post(f"/v1/tasks/{task['id']}/heartbeat", content=beat, headers=headers)
    answer = await served.http.get(f"/v1/tasks/{task['id']}/explain")
    assert b'"progress":{"done":0.50}' in answer.content


async def test_there_is_no_explanation_of_a_task_that_is_not_there(served: Served) -> None:
    answer = await served.http.get(f"/v1/tasks/{SOME_ID}/explain")
    assert problem(answer) == (404, "task_not_found", None)


def test_facts_are_told_in_the_units_of_answers() -> None:
    facts = {"run_at_ms": 0, "wait_ms": 1_500, "error": {"at_ms": 1}, "count": 3, "host": None}
    assert facts_of(facts) == {
        "run_at": "1970-01-01T00:00:00.000Z",
        "wait_s": 1.5,
        "error": {"at": "1970-01-01T00:00:00.001Z"},
        "count": 3,
    }
