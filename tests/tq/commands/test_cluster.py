"""``tq cluster`` and ``tq cluster handover``, against servers that answer as the nodes of a cluster."""

import json
from typing import Any

import pytest

from tests.tq.commands.test_main import run
from tests.tq.scripted_server import Say, Server, free_port, serving

ID = "0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70"
EMPTY_PAGE = Say(value={"tasks": []})


def node(name: str, role: str, **facts: Any) -> dict[str, Any]:
    return {"name": name, "role": role, **facts}


NODES = [
    node("a", "leader", term=7, last={"term": 7, "txid": 41}, url="http://a:7333", version="0.1.0"),
    node(
        "b",
        "standby",
        term=7,
        last={"term": 7, "txid": 40},
        lag_entries=3,
        last_contact_s=0.2,
        url="http://b:7333",
        version="0.1.0",
    ),
    node("c", "witness", term=7, last_contact_s=75.0),
    node("d", "unreachable", trouble="connection refused"),
    node("e", "joining"),
]


def cluster(leader: str | None = "a", *, term: int = 7, nodes: list[dict[str, Any]] = NODES) -> Say:
    return Say(
        value={"cluster_id": ID, "term": term, "leader": leader, "asked": "b", "nodes": nodes},
    )


def problem(status: int, code: str, detail: str = "so") -> Say:
    body = {"type": f"/docs/api#{code}", "title": code, "status": status, "code": code, "detail": detail}
    return Say(status=status, value=body)


def handed(leader: str = "b") -> Say:
    return Say(value={"leader": leader, "term": 8, "took_s": 0.314})


def asked(server: Server) -> list[str]:
    return [f"{got.method} {got.path.partition('?')[0]}" for got in server.got]


def test_table_shows_what_each_node_is_and_how_far(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(cluster()) as server:
        code, out, err = run(capsys, "cluster", "--url", server.url)
    lines = [line.split() for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert out.startswith("term 7, led by a, as b sees it\n")
    assert lines[1] == ["NAME", "ROLE", "TERM", "LAST", "LAG", "SEEN", "VERSION", "URL", "TROUBLE"]
    assert lines[2] == ["a", "leader", "7", "7:41", "0.1.0", "http://a:7333"]
    assert lines[3] == ["b", "standby", "7", "7:40", "3", "200ms", "0.1.0", "http://b:7333"]
    assert lines[4] == ["c", "witness", "7", "1m15s"]
    assert lines[5] == ["d", "unreachable", "connection", "refused"]


def test_json_is_what_the_node_says(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(cluster()) as server:
        code, out, _ = run(capsys, "cluster", "--json", "--url", server.url)
    assert code == 0
    assert json.loads(out) == cluster().value


def test_cluster_without_a_leader_is_shown_and_told_by_the_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(cluster(None)) as server:
        code, out, err = run(capsys, "cluster", "--url", server.url)
        code_json, out_json, _ = run(capsys, "cluster", "--json", "--url", server.url)
    assert (code, code_json) == (5, 5)
    assert "without a leader" in out
    assert "a majority of the nodes must run" in err
    assert json.loads(out_json)["leader"] is None


@pytest.mark.parametrize("joined", [False, True])
def test_node_that_is_away_is_passed_over_whether_urls_are_repeated_or_joined(
    capsys: pytest.CaptureFixture[str], joined: bool
) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    with serving(cluster()) as server:
        urls = ("--url", f"{gone},{server.url}") if joined else ("--url", gone, "--url", server.url)
        assert run(capsys, *urls, "cluster")[0] == 0
        assert run(capsys, "cluster", *urls)[0] == 0
        assert len(server.got) == 2


def test_handover_tells_who_leads_and_how_long_nobody_served(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(cluster(), handed(), EMPTY_PAGE) as server:
        code, out, _ = run(capsys, "cluster", "handover", "b", "--url", server.url)
        assert (code, out) == (0, "b leads in term 8; nobody served for 0.31 s\n")
        assert asked(server) == ["GET /v1/cluster", "POST /v1/cluster/handover", "GET /v1/tasks"]
        assert json.loads(server.got[1].body) == {"to": "b"}


def test_handover_leaves_the_choice_to_the_leader(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(cluster(), handed(), EMPTY_PAGE) as server:
        code, out, _ = run(capsys, "cluster", "handover", "--json", "--url", server.url)
        assert (code, json.loads(out)) == (0, handed().value)
        assert json.loads(server.got[1].body) == {}


def test_handover_to_the_leader_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(cluster()) as server:
        code, out, err = run(capsys, "cluster", "handover", "a", "--url", server.url)
        assert (code, out) == (0, "")
        assert "a leads already" in err
        assert asked(server) == ["GET /v1/cluster"]


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("c", 1, "c is a witness, which never leads"),
        ("d", 1, "d cannot be reached"),
        ("e", 1, "e has not got all of the log yet"),
        ("z", 6, "no node z; there are a, b, c, d, e"),
    ],
)
def test_node_that_cannot_lead_is_refused_before_anything_is_done(
    capsys: pytest.CaptureFixture[str], name: str, code: int, told: str
) -> None:
    with serving(cluster()) as server:
        ended, _, err = run(capsys, "cluster", "handover", name, "--url", server.url)
        assert (ended, asked(server)) == (code, ["GET /v1/cluster"])
    assert told in err


def test_handover_without_a_leader_or_without_others_says_why_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(cluster(None), cluster(nodes=NODES[:1])) as server:
        code, _, err = run(capsys, "cluster", "handover", "--url", server.url)
        assert (code, "no node leads" in err) == (5, True)
        code, _, err = run(capsys, "cluster", "handover", "--url", server.url)
        assert (code, "this node has no others" in err) == (1, True)


def test_handover_that_failed_says_so_and_what_to_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(
        cluster(), problem(409, "handover_failed", "b did not get all of the log in time")
    ) as server:
        code, _, err = run(capsys, "cluster", "handover", "b", "--url", server.url)
    assert code == 1
    assert "b did not get all of the log in time" in err
    assert "`tq cluster`" in err


def test_handover_whose_answer_was_lost_is_told_by_who_leads_then(capsys: pytest.CaptureFixture[str]) -> None:
    lost = Say(cut_after=0)
    with serving(
        cluster(), lost, cluster(), cluster(None, term=8), cluster("b", term=8), EMPTY_PAGE
    ) as server:
        code, out, _ = run(capsys, "cluster", "handover", "--url", server.url)
        assert asked(server).count("POST /v1/cluster/handover") == 1
    assert code == 0
    assert out.startswith("b leads in term 8; nobody served for ")


def test_handover_of_which_nobody_knows_the_end_is_unknown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tq.commands.cluster.WATCHED_S", 0.5)
    with serving(cluster(), Say(cut_after=0), cluster()) as server:
        code, _, err = run(capsys, "cluster", "handover", "--url", server.url)
    assert code == 7
    assert "may or may not have been carried out" in err
