"""Tasks of an array become what each of them becomes alone."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tq import wire
from tqnode.api.convert import Conversion
from tqnode.api.hooks import Hooks
from tqnode.clock import SystemClock
from tqnode.config import Config
from tqnode.delivery.courier import Courier
from tqnode.delivery.endpoints import Endpoints
from tqnode.errors import InvalidField

NOW_MS = 1_700_000_000_000
PARENT = "0198c0de-0000-7000-8000-000000000000"
FIELDS: dict[str, list[Any]] = {
    "kind": ["mail", "sms"],
    "queue": ["default", "slow"],
    "priority": [0, 200],
    "delay_s": [0, 5],
    "tags": [["a"], ["a", "b"]],
    "meta": [{"m": 1}, {"m": 1.0}],
    "unique": [{"key": "k"}, {"fields": ["/n"]}],
    "after": [[PARENT]],
    "limit_key": ["tenant"],
    "result_ttl_s": [1.5],
    "retry": [{"type": "fixed", "delay_s": 5}],
}
shapes = st.fixed_dictionaries(
    {"kind": st.sampled_from(FIELDS["kind"])},
    optional={name: st.sampled_from(values) for name, values in FIELDS.items() if name != "kind"},
)
payloads = st.lists(st.sampled_from([{"n": 1}, {"n": 2}, 3]), min_size=1, max_size=3)
alike = st.tuples(shapes, payloads).map(lambda run: [{**run[0], "payload": payload} for payload in run[1]])
arrays = st.lists(alike, min_size=1, max_size=4).map(lambda runs: [one for run in runs for one in run])


def conversion() -> Conversion:
    config = Config(payload_bytes_max=1000)
    courier = Courier(Endpoints(), config=config, clock=SystemClock())
    return Conversion(config, Hooks(config, courier.endpoints, courier.policy))


def decoded(tasks: list[dict[str, Any]]) -> list[wire.NewTask]:
    return msgspec.json.decode(msgspec.json.encode(tasks), type=list[wire.NewTask])


@given(arrays)
def test_tasks_of_an_array_become_what_each_becomes_alone(sent: list[dict[str, Any]]) -> None:
    tasks = decoded(sent)
    convert = conversion()
    assert convert.specs(tasks, NOW_MS) == [convert.spec(task, NOW_MS) for task in tasks]


def test_a_payload_that_is_too_large_is_named_where_the_tasks_are_alike() -> None:
    tasks = decoded([{"kind": "mail", "payload": "x" * size} for size in (10, 10, 1000)])
    with pytest.raises(InvalidField) as caught:
        conversion().specs(tasks, NOW_MS)
    assert (caught.value.field, caught.value.limit) == ("[2].payload", 1000)
