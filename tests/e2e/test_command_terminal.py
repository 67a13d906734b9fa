"""``tq`` on a terminal: colours, progress, questions, Ctrl-C; and nothing hostile gets through."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.command_process import Terminal, Tq
from tests.e2e.processes import NodeProcess
from tests.waiting import eventually
from tq import Client

HOSTILE = "\x9b2J \u202e evil \x7f"
COLOURED = "\x1b[3"
Opens = Callable[..., Terminal]


@pytest.fixture(scope="module")
def client(shared_node: NodeProcess) -> Iterator[Client]:
    with Client(shared_node.url) as made:
        yield made


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W", "_", request.node.name)[:150]


@pytest.fixture
def terminal(shared_node: NodeProcess) -> Iterator[Opens]:
    """Starts ``tq`` on a terminal of its own."""
    opened: list[Terminal] = []

    def start(*argv: str, **how: object) -> Terminal:
        opened.append(Tq(shared_node.url).terminal(*argv, **how))  # type: ignore[arg-type]  # sizes and variables
        return opened[-1]

    yield start
    for one in opened:
        one.end()


@pytest.mark.parametrize(
    "argv",
    [
        "list --payload",
        "list --payload --json",
        "get ID",
        "get ID --json",
        "get ID --only payload",
        "wait ID",
        "wait --json ID",
        "events --after 0-0 --id ID -n 1",
    ],
)
def test_hostile_text_is_shown_as_text(client: Client, terminal: Opens, queue: str, argv: str) -> None:
    task = client.enqueue(
        "k", {"text": f"\x1b]0;pwned\x07{HOSTILE}", HOSTILE: 1}, queue=queue, tags=[HOSTILE]
    )
    (claimed,) = client.claim(HOSTILE, queues=[queue])
    client.fail(claimed.id, claimed.token, error=f"\x1b[2J{HOSTILE}", retry=False)
    words = argv.replace("ID", task.id).split()
    shown = terminal(*words, *(["-q", queue] if words[0] == "list" else []), columns=200)
    code = shown.wait() if words[0] != "events" else None
    if words[0] == "events":
        eventually(lambda: "missed" in shown.text)
    assert code in (0, 1, None)
    text = shown.text
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", text), repr(text)
    assert "pwned" in text or words[0] in ("wait", "events")
    if words[0] != "events":
        assert "\\u202e" in text


def test_colours_are_for_terminals_that_want_them(client: Client, terminal: Opens, queue: str) -> None:
    client.enqueue("k", queue=queue)

    def shown(**environ: str) -> str:
        one = terminal("list", "-q", queue, **environ)
        assert one.wait() == 0
        return one.screen

    assert COLOURED in shown()
    assert COLOURED not in shown(NO_COLOR="1")
    assert COLOURED not in shown(TERM="dumb")


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit_the_terminal_and_never_cut_an_id(
    client: Client, terminal: Opens, queue: str, columns: int
) -> None:
    tasks = [
        client.enqueue("a.kind.with-a-long-name." * 4, queue=queue, priority=number, delay_s=number * 1000)
        for number in range(3)
    ]
    (claimed,) = client.claim("a-worker-with-a-long-name", queues=[queue])
    client.heartbeat(claimed.id, claimed.token, progress={"done": 3, "total": 4, "words": "many " * 50})
    for argv in (
        ["list", "-q", queue],
        ["list", "-q", queue, "--payload"],
        ["queues"],
        ["top", "--once"],
        ["workers"],
    ):
        one = terminal(*argv, columns=columns)
        assert one.wait() == 0
        assert max(len(line) for line in one.text.splitlines()) <= columns
        if argv[0] == "list":
            assert all(task.id in one.text for task in tasks)


def test_wait_shows_progress_and_then_each_end(client: Client, terminal: Opens, queue: str) -> None:
    ids = [client.enqueue("k", queue=queue).id for _ in range(2)]
    one = terminal("wait", *ids)
    eventually(lambda: "0/2" in one.text)
    (claimed,) = client.claim("w", queues=[queue])
    client.heartbeat(claimed.id, claimed.token, progress={"done": 1, "total": 4})
    eventually(lambda: "25%" in one.text)
    client.complete(claimed.id, claimed.token)
    eventually(lambda: "1/2" in one.text and "1 succeeded" in one.text)
    client.cancel(ids[1])
    assert one.wait() == 3
    assert re.search(rf"{ids[0]}  succeeded", one.text)
    assert re.search(rf"{ids[1]}  cancelled  requested", one.text)


def test_interrupt_leaves_the_live_view_quietly(client: Client, terminal: Opens, queue: str) -> None:
    task = client.enqueue("k", queue=queue)
    for argv, seen in (
        (["top"], "/s in"),
        (["wait", task.id], "waited"),
        (["top"], "WORKERS|no workers|ID "),
    ):
        one = terminal(*argv, rows=40)
        eventually(lambda seen=seen, one=one: re.search(seen, one.text))
        one.type("\x03")
        assert one.wait() == 130
        assert "Traceback" not in one.text
        assert "Aborted" not in one.text


def test_purge_asks_and_takes_no_for_an_answer(client: Client, terminal: Opens, queue: str) -> None:
    client.enqueue("k", queue=queue)
    for keys, code in (("n\n", 1), ("\n", 1), ("\x03", 130), ("\x04", 130)):
        one = terminal("queue", "purge", queue)
        eventually(lambda one=one: "[y/N]" in one.text)
        assert "1 ready" in one.text
        one.type(keys)
        assert one.wait() == code
        assert client.queue(queue).counts == {"ready": 1}
    one = terminal("queue", "purge", queue)
    eventually(lambda: "[y/N]" in one.text)
    one.type("y\n")
    assert one.wait() == 0
    assert "deleted 1" in one.text


def test_top_waits_for_a_node_that_went_away(own_node: NodeProcess) -> None:
    one = Tq(own_node.url).terminal("top", "--interval", "0.1s", columns=120)
    try:
        eventually(lambda: "no workers" in one.text)
        own_node.kill()
        eventually(lambda: "not reached" in one.text, within_s=60)
        own_node.restart()
        before = one.screen.count("/s in")
        eventually(lambda: one.read().count("/s in") > before + 3, within_s=60)
        one.type("\x03")
        assert one.wait() == 130
    finally:
        one.end()


def test_import_shows_a_bar_and_tells_what_it_skips(
    client: Client, terminal: Opens, queue: str, tmp_path: object
) -> None:
    path = f"{tmp_path}/tasks.ndjson"
    with open(path, "w") as file:
        file.writelines(f'{{"kind":"k","queue":"{queue}","payload":{n}}}\n' for n in range(5000))
        file.write(f"{HOSTILE}\n")
        file.writelines(f'{{"kind":"k","queue":"{queue}","payload":{n}}}\n' for n in range(5000))
    one = terminal("import", path, "--skip-invalid", columns=120)
    assert one.wait() == 0
    assert "━" in one.text
    assert "skipped line 5001: not JSON" in one.text
    assert "imported 10000 tasks, skipped 1 lines" in one.text
    assert client.queue(queue).counts == {"ready": 10_000}
