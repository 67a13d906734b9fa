"""One whole run: clients at work, faults among the nodes, recovery, and judgement."""

import random
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from tests.cluster.aftermath import all_tasks, drain, order_kept
from tests.cluster.checker import ReclaimBound, acknowledged_without_majority, judge
from tests.cluster.cluster import TTL_S, Cluster, cluster, now
from tests.cluster.load import Load
from tests.cluster.majority import Window, fitting, lose_majority
from tests.cluster.member import Shape
from tests.cluster.nemesis import Nemesis
from tests.cluster.records import FaultRecord
from tests.cluster.report import Report, summed_up
from tests.e2e.database_file import inspect

BOUND = ReclaimBound(ttl_s=TTL_S, election_s=3 * TTL_S, sweep_s=4.0)
LOSSES_EVERY_S = 600.0
"""The majority is taken away this often in a long run; each way once at least in any run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run does.

    Args:
        seconds: how long faults go on.
        seed: of all choices.
        nodes: how many there are.
        kinds: of faults; all if empty.
        losses: whether the majority is taken away now and then, too.
        power: whether the nodes' disks can lose their power.
    """

    seconds: float
    seed: str
    nodes: int = 3
    kinds: Sequence[str] = ()
    losses: bool = True
    power: bool = False


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> Report:
    """Does as planned.

    Args:
        plan: what to do.
        folder: for all files; it is left as it is, to be looked at.
        say: told of what happens.

    Returns:
        The report, violations included; one of them is that nodes did not recover, which ends the faults.
    """
    names = [chr(ord("a") + number) for number in range(plan.nodes)]
    with cluster(folder, Shape(names=names, power=plan.power)) as nodes:
        began = now()

        def told(what: str) -> None:
            say(f"{now() - began:8.1f} s  {what}")

        nodes.start()
        told(f"{plan.nodes} nodes serve")
        load = Load(folder, nodes.urls, plan.seed)
        try:
            nemesis = Nemesis(nodes, plan.seed, loaded=load.await_acknowledgement, kinds=plan.kinds, say=told)
            windows: list[Window] = []
            stuck = ""
            try:
                _harm(plan, nodes, nemesis, load, windows, told)
            except (AssertionError, RuntimeError) as error:
                stuck = f"not recovered: {error}"
                told(f"{stuck}\n{_disks(nodes)}")
            load.stop()
            return _judged(plan, folder, nodes, load, nemesis.records, windows, stuck, told)
        finally:
            load.end()


def _disks(nodes: Cluster) -> str:
    """What is on the nodes' disks, which go with the run."""
    folders = [str(member.data_dir) for member in nodes.members.values()]
    listed = subprocess.run(["du", "-d", "2", "-m", *folders], capture_output=True, text=True, check=False)
    free = subprocess.run(["df", "-m", *folders], capture_output=True, text=True, check=False)
    return listed.stdout + free.stdout


def _harm(
    plan: Plan,
    nodes: Cluster,
    nemesis: Nemesis,
    load: Load,
    windows: list[Window],
    say: Callable[[str], None],
) -> None:
    """All faults; what was done without a majority is added to ``windows``."""
    chance = random.Random(f"{plan.seed}-majority")
    ends = now() + plan.seconds
    known = fitting(nodes) if plan.losses else []
    count = max(len(known), round(plan.seconds / LOSSES_EVERY_S)) if known else 0
    ways = [known[number % len(known)] for number in range(count)]
    while ways or now() < ends:
        nemesis.run(min(ends, now() + plan.seconds / (len(ways) + 1) if ways else ends))
        say(f"{load.acknowledged()} acknowledged")
        if ways:
            load.await_acknowledgement()
            windows.append(lose_majority(nodes, ways.pop(0), chance, say))


def _judged(
    plan: Plan,
    folder: Path,
    nodes: Cluster,
    load: Load,
    faults: list[FaultRecord],
    windows: list[Window],
    stuck: str,
    say: Callable[[str], None],
) -> Report:
    say("clients have ended; draining")
    clients_ended = now()
    ops = load.history() + drain(nodes.urls, folder / "drain.jsonl")
    ops.sort(key=lambda op: op.invoked)
    left = all_tasks(nodes.wait_for_leader().url)
    say(f"judging {len(ops)} ops, {len(left)} tasks")
    stretched = [*faults, *(window.as_fault() for window in windows)]
    violations = judge(ops, left, stretched, BOUND)
    for window in windows:
        violations += acknowledged_without_majority(ops, began=window.began, ended=window.ended)
    if stuck:
        violations.append(stuck)
    else:
        violations += order_kept(nodes.urls, plan.seed, lambda: _another_leader(nodes))
        violations += _files_agree(nodes)
    return summed_up(
        ops,
        left,
        stretched,
        seed=plan.seed,
        nodes=plan.nodes,
        clients_ended=clients_ended,
        violations=violations,
    )


def _another_leader(nodes: Cluster) -> None:
    """The leader is killed, so that another one is."""
    leader = nodes.wait_for_leader()
    leader.kill_both()
    leader.start()
    nodes.wait_until_whole(nodes.names)


def _files_agree(nodes: Cluster) -> list[str]:
    """Stops all nodes, the leader last, and looks into their files: each sound, and all the same."""
    nodes.wait_until_applied()
    leader = nodes.wait_for_leader()
    found = []
    for name in [*nodes.others([leader.name]), leader.name]:
        member = nodes.members[name]
        member.terminate()
        if code := member.wait():
            found.append(f"{name} stopped with exit code {code}")
    contents = {}
    for name, member in nodes.members.items():
        inspect(member.data_dir / "tq.db")
        database = apsw.Connection(str(member.data_dir / "tq.db"), flags=apsw.SQLITE_OPEN_READONLY)
        contents[name] = set(database.execute("SELECT id, state, grants FROM task"))
        database.close()
    everything = set.union(*contents.values())
    return found + [
        f"{name} lacks {len(everything - held)} rows of the others"
        for name, held in contents.items()
        if everything - held
    ]
