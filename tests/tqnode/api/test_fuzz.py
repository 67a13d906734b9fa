"""Whatever comes, the node never answers 5xx, and what it took comes back as it was."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tqnode.api.conftest import Served, serve
from tqnode.api.routes import ROUTES

SOME_ID = "0198c0de-0000-7000-8000-000000000000"


class Fuzzed:
    """A served node on a loop of its own, driven from a test that is not asynchronous."""

    def __init__(self, folder: Path) -> None:
        self._runner = asyncio.Runner()
        # A claim that waits would only hold the test up.
        self._serving = serve(folder, claim_wait_s_max=0)
        self.served: Served = self._runner.run(self._serving.__aenter__())

    def send(self, method: str, path: str, content: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        async def send() -> tuple[int, bytes]:
            answer = await self.served.http.request(method, path, content=content, headers=headers)
            return answer.status_code, answer.content

        return self._runner.run(send())

    def close(self) -> None:
        self._runner.run(self._serving.__aexit__(None, None, None))
        self._runner.close()


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    node = Fuzzed(tmp_path_factory.mktemp("fuzz"))
    yield node
    node.close()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(
        [SOME_ID, "1-0000000000000000", "2030-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "ready"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = [
    *("kind", "queue", "payload", "priority", "delay_s", "run_at", "max_attempts", "retry"),
    *("lease_s", "timeout_s", "expires_at", "tags", "meta", "unique", "type", "base_s"),
    *("delays_s", "jitter", "key", "states", "on_conflict", "worker", "queues", "kinds", "max"),
    *("wait_s", "min_priority", "token", "progress", "result", "then", "error", "outcomes"),
    *("cron", "every_s", "time_zone", "dst_gap", "task", "missed", "overlap", "paused"),
    *("action", "filter", "all", "dry_run", "state", "text", "error_type", "created_after"),
    *("outcome", "id", "leases", "name", "host", "pid", "concurrency", "message", "trace"),
]
# Field names that exist, with values that mostly do not fit.
nearly_right = st.recursive(
    json_values,
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=10,
)
bodies = st.one_of(
    st.binary(max_size=60),
    nearly_right.map(lambda value: json.dumps(value).encode()),
    nearly_right.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
)
# All but the stream of events, whose answer has no end.
calls = [(route.method, route.path) for route in ROUTES if route.path != "/v1/events"]
parameters = st.sampled_from([SOME_ID, "default", "x", "%00", "%C3%A9"]) | st.from_regex(
    r"[!-~]{1,8}", fullmatch=True
)
JSON = {"content-type": "application/json"}


@settings(max_examples=300)
@given(
    call=st.sampled_from(calls),
    parameter=st.sampled_from([SOME_ID, "default", "x", "%00", "%C3%A9"])
    | st.from_regex(r"[!-~]{1,8}", fullmatch=True),
    query=st.text(st.sampled_from("abcqueue=&%1;+ "), max_size=12),
    content=bodies,
)
def test_no_call_ever_fails_whatever_it_is_sent(
    fuzzed: Fuzzed, call: tuple[str, str], parameter: str, query: str, content: bytes
) -> None:
    method, path = call
    safe = parameter.replace("?", "%3F").replace("#", "%23").replace("/", "%2F")
    path = path.replace("{id}", safe).replace("{queue}", safe).replace("{name}", safe)
    status, answer = fuzzed.send(
        method, f"{path}?{query}" if query else path, content, {"content-type": "application/json"}
    )
    assert status < 500, answer


sound_text = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
plain_values: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(sound_text, max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(sound_text, max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=150)
@given(value=plain_values, escaped=st.booleans(), indent=st.sampled_from([None, 1]))
def test_any_payload_comes_back_byte_for_byte(
    fuzzed: Fuzzed, value: Any, escaped: bool, indent: int | None
) -> None:
    payload = json.dumps(value, ensure_ascii=escaped, indent=indent).encode()
    status, answer = fuzzed.send("POST", "/v1/tasks", b'{"kind":"k","payload":%s}' % payload, JSON)
    assert status == 201, answer
    status, whole = fuzzed.send("GET", f"/v1/tasks/{json.loads(answer)['id']}", b"", {})
    assert b'"payload":' + payload in whole
