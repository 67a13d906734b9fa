"""Tasks as they are made to be enqueued: whom they wait for."""

import msgspec
import pytest

import tq
from tests.tq.driving import task_row
from tq import wire

ID = "018f0000-0000-7000-8000-000000000001"


def test_after_takes_ids_answers_and_new_tasks_that_have_a_ref() -> None:
    stored = msgspec.convert(task_row(ID), wire.Task)
    named = tq.new_task("k", ref="a")
    task = tq.new_task("k", after=[ID, stored, wire.Enqueued(id=ID), named, "#b"], after_policy="finished")
    assert task.after == [ID, ID, ID, "#a", "#b"]
    assert task.after_policy == "finished"


@pytest.mark.parametrize("parent", [ID, msgspec.convert(task_row(ID), wire.Task)])
def test_a_single_parent_needs_no_list(parent: str | wire.Task) -> None:
    assert tq.new_task("k", after=parent).after == [ID]


def test_a_new_task_without_a_ref_cannot_be_waited_for() -> None:
    with pytest.raises(ValueError, match="needs a ref"):
        tq.new_task("k", after=[tq.new_task("k")])


@pytest.mark.parametrize("parent", [7, wire.Enqueued(error=None), None])
def test_what_is_no_task_cannot_be_waited_for(parent: object) -> None:
    with pytest.raises(TypeError, match="after: takes ids and tasks"):
        tq.new_task("k", after=[parent])


def test_a_webhook_is_a_url_or_the_name_of_one_that_the_node_has() -> None:
    assert tq.new_task("k", webhook="https://a.example/x").webhook == wire.Webhook(url="https://a.example/x")
    assert tq.new_task("k", webhook="shop").webhook == "shop"
    whole = wire.Webhook(url="https://a.example", secret="s", on=["dead"])
    assert tq.new_task("k", webhook=whole).webhook is whole
    assert tq.new_task("k", webhook=None).webhook is None
