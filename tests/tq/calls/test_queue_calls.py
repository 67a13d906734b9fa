"""The calls that steer queues, as they are sent."""

import datetime

import msgspec
import pytest

import tq
from tq.calls import Repeat, queue_calls
from tq.wire import QueueSettings

UNTIL = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


def test_a_pause_says_only_what_it_was_told() -> None:
    assert queue_calls.pause("q", for_s=None, until=None, reason=None).body is None
    call = queue_calls.pause("a b", for_s=None, until=UNTIL, reason="so")
    assert (call.method, call.path) == ("POST", "/v1/queues/a%20b/pause")
    assert call.body is not None
    assert msgspec.json.decode(call.body) == {"until": "2100-01-01T00:00:00Z", "reason": "so"}
    assert queue_calls.pause_all(for_s=5, until=None, reason=None).body == b'{"for_s":5}'


def test_a_pause_to_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        queue_calls.pause("q", for_s=None, until=UNTIL.replace(tzinfo=None), reason=None)


def test_settings_that_are_none_are_sent_and_others_are_not() -> None:
    call = queue_calls.set_queue("q", {"lease_s": None, "depth_max": 5, "retry": tq.Fixed(delay_s=1)})
    assert (call.method, call.path, call.repeat) == ("PATCH", "/v1/queues/q", Repeat.SAFE)
    assert call.body is not None
    retry = {"type": "fixed", "delay_s": 1}
    assert msgspec.json.decode(call.body) == {"lease_s": None, "depth_max": 5, "retry": retry}


def test_priority_that_grows_is_set_and_read() -> None:
    call = queue_calls.set_queue("q", {"age_per_minute": 0.5})
    assert call.body == b'{"age_per_minute":0.5}'
    answer = b'{"queue":"q","paused":false,"counts":{},"settings":{"age_per_minute":0.5}}'
    assert queue_calls.settings("q").read(answer).age_per_minute == 0.5


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError):
        queue_calls.set_queue("q", {"colour": "red"})  # type: ignore[typeddict-unknown-key] # the point


def test_settings_of_a_queue_without_any_are_all_none() -> None:
    call = queue_calls.settings("q")
    assert call.read(b'{"queue":"q","paused":false,"counts":{}}') == QueueSettings()
    assert call.read(b'{"queue":"q","paused":false,"counts":{},"settings":{"priority":1}}').priority == 1
