from tests.tq.worker.claims import attempt, task_id
from tq.worker.held import Held


def test_second_claim_of_a_task_shows_that_the_first_is_lost() -> None:
    held = Held()
    first, second, other = attempt(1), attempt(1, token="newer"), attempt(2)
    assert held.add([first, other]) == []
    assert held.add([second]) == [first]
    assert held.get(task_id(1)) is second
    assert set(held.all()) == {second, other}


def test_end_of_a_replaced_attempt_leaves_its_successor() -> None:
    held = Held()
    first, second = attempt(1), attempt(1, token="newer")
    held.add([first])
    held.add([second])
    held.remove([first])
    assert held.all() == [second]
    held.remove([second])
    assert len(held) == 0
