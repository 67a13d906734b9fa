"""The registry of workers, and the queues, over HTTP."""

from tests.tqnode.api.conftest import Served

SOME_ID = "0198c0de-0000-7000-8000-000000000000"


async def test_a_worker_registers_is_listed_and_leaves(served: Served) -> None:
    new = {
        "name": "w1",
        "host": "h",
        "pid": 42,
        "queues": ["a", "b"],
        "kinds": ["k"],
        "concurrency": 8,
        "version": "1",
    }
    answer = await served.http.post("/v1/workers", json=new)
    assert answer.status_code == 201
    registered = answer.json()
    assert (registered["state"], registered["heartbeat_s"]) == ("run", 10.0)
    (worker,) = (await served.http.get("/v1/workers")).json()["workers"]
    assert {key: worker[key] for key in new} == new
    assert worker["id"] == registered["id"]
    await served.enqueue()
    await served.claim(worker=registered["id"])
    assert (await served.http.get("/v1/workers")).json()["workers"][0]["running"] == 1
    assert (await served.http.delete(f"/v1/workers/{registered['id']}")).status_code == 204
    assert (await served.http.get("/v1/workers")).json() == {"workers": []}


async def test_one_heartbeat_keeps_all_leases_and_brings_orders(served: Served) -> None:
    worker = (await served.http.post("/v1/workers", json={"name": "w"})).json()["id"]
    await served.http.post("/v1/tasks", json=[{"kind": "k"}] * 2)
    first, second = await served.claim(worker=worker, max=2)
    await served.http.post(f"/v1/tasks/{second['id']}/cancel")
    leases = [
        {"id": first["id"], "token": first["token"], "progress": {"n": 1}},
        {"id": second["id"], "token": second["token"]},
        {"id": first["id"], "token": "1-0000000000000000"},
        {"id": SOME_ID, "token": "t"},
        {"id": "nonsense", "token": "t"},
    ]
    for order in ("run", "quiet", "terminate", "run"):
        steered = await served.http.post(f"/v1/workers/{worker}/{order}")
        assert steered.json()["state"] == order
        answer = (await served.http.post(f"/v1/workers/{worker}/heartbeat", json={"leases": leases})).json()
        assert answer["state"] == order
        assert [lease["status"] for lease in answer["leases"]] == ["ok", "cancel", "lost", "lost", "lost"]
        assert answer["leases"][0]["lease_expires_at"]
    assert (await served.http.get(f"/v1/tasks/{first['id']}")).json()["progress"] == {"n": 1}


async def test_queues_show_their_counts(served: Served) -> None:
    assert (await served.http.get("/v1/queues")).json() == {"queues": []}
    await served.enqueue(queue="a")
    await served.enqueue(queue="a", delay_s=100)
    await served.enqueue(queue="a.b:c@d+e-f_g")
    rows = {row["queue"]: row for row in (await served.http.get("/v1/queues")).json()["queues"]}
    assert rows["a"]["counts"] == {"ready": 1, "scheduled": 1}
    assert rows["a"]["oldest_ready_age_s"] >= 0
    assert rows["a"]["paused"] is False
    for path in ("a.b:c@d+e-f_g", "a.b%3Ac%40d%2Be-f_g"):
        assert (await served.http.get(f"/v1/queues/{path}")).json()["queue"] == "a.b:c@d+e-f_g"


async def test_pause_and_resume_are_told_and_kept(served: Served) -> None:
    await served.enqueue()
    for call, paused in (("pause", True), ("pause", True), ("resume", False)):
        assert (await served.http.post(f"/v1/queues/default/{call}")).json()["paused"] is paused
        assert (await served.http.get("/v1/queues/default")).json()["paused"] is paused


async def test_purge_deletes_what_waits_and_never_what_runs(served: Served) -> None:
    await served.http.post("/v1/tasks", json=[{"kind": "k"}] * 3 + [{"kind": "k", "delay_s": 99}] * 2)
    (held,) = await served.claim()
    await served.http.post(f"/v1/tasks/{held['id']}/fail", json={"token": held["token"], "retry": False})
    await served.claim()
    only = await served.http.post("/v1/queues/default/purge", json={"states": ["scheduled", "scheduled"]})
    assert only.json() == {"deleted": 2}
    assert (await served.http.post("/v1/queues/default/purge")).json() == {"deleted": 1}
    assert (await served.http.get("/v1/queues/default")).json()["counts"] == {"running": 1, "dead": 1}
    dead = await served.http.post("/v1/queues/default/purge", json={"states": ["dead"]})
    assert dead.json() == {"deleted": 1}
