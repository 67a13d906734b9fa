"""Whole nodes of a cluster in this process: real files, real connections, real Litestream."""

import asyncio
import contextlib
import dataclasses
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.tqnode.replication.peer_nodes import free_ports
from tests.waiting import eventually_async
from tqnode import node as composition
from tqnode.clock import SystemClock, SystemRng
from tqnode.config import Config
from tqnode.member import Member
from tqnode.node import Node
from tqnode.sd_notify import SdNotify
from tqnode.tenure import Tenure

NAMES = ("a", "b", "c")
SLOW_S = 60.0
LEASE_S = 1.5


class Cluster:
    """Nodes by name, each with its folder; none runs at first.

    Args:
        folder: for all their folders.
        names: of the nodes.
        settings: keys of the configuration of all.
    """

    def __init__(self, folder: Path, names: Sequence[str] = NAMES, **settings: Any) -> None:
        self.folder = folder
        self.names = tuple(names)
        self._settings: dict[str, Any] = {
            "lease_ttl_s": LEASE_S,
            "drain_s": 2.0,
            "connections_max": 200,
        } | settings
        ports = zip(names, free_ports(len(names)), strict=True)
        self._peers = ",".join(f"{name}=127.0.0.1:{port}" for name, port in ports)
        self.nodes: dict[str, Node] = {}
        self.urls: dict[str, str] = {}
        self.http = httpx.AsyncClient(timeout=20)

    def data_dir(self, name: str) -> Path:
        return self.folder / name

    def config(self, name: str, **settings: Any) -> Config:
        usual: dict[str, Any] = {
            "name": name,
            "peers": self._peers,
            "data_dir": self.data_dir(name),
            "listen": "127.0.0.1:0",
        }
        return dataclasses.replace(Config(), **usual | self._settings | settings)

    async def start(self, *names: str, bootstrap: bool = False, **settings: Any) -> None:
        """Starts nodes, one after another; returns without waiting for a leader."""
        for name in names:
            node = Node(
                self.config(name, **settings),
                clock=SystemClock(),
                rng=SystemRng(),
                notify=SdNotify({}),
                environ=os.environ,
                bootstrap=bootstrap,
            )
            self.urls[name] = await node.start()
            self.nodes[name] = node

    async def stop(self, *names: str) -> None:
        """Stops nodes, all at the same time."""
        await asyncio.gather(*(self.nodes.pop(name).stop() for name in names))

    async def wipe(self, name: str) -> None:
        """The disk of a node that does not run is a new one."""
        assert name not in self.nodes
        await asyncio.to_thread(shutil.rmtree, self.data_dir(name))

    def member(self, name: str) -> Member:
        member = self.nodes[name]._member
        assert member is not None
        return member

    async def get(self, name: str, path: str, **options: Any) -> httpx.Response:
        return await self.http.get(self.urls[name] + path, **options)

    async def post(self, name: str, path: str, body: Any = None) -> httpx.Response:
        return await self.http.post(self.urls[name] + path, json=body)

    async def leader(self) -> str:
        """The name of the node that takes writes, once the others that run know it."""

        async def found() -> str | None:
            leads = [name for name in self.nodes if (await self.get(name, "/leader")).status_code == 200]
            if len(leads) != 1:
                return None
            told = [(await self.get(name, "/v1/cluster")).json()["leader"] for name in self.nodes]
            return leads[0] if set(told) == {leads[0]} else None

        name: str = await eventually_async(found, within_s=SLOW_S, every_s=0.05)
        return name

    async def standbys(self) -> list[str]:
        leader = await self.leader()
        return [name for name in self.nodes if name != leader]

    async def enqueue(self, **task: Any) -> str:
        """One task, at whichever node leads; its id. Goes on until it is answered."""

        async def done() -> str | None:
            answer = await self.post(await self.leader(), "/v1/tasks", {"kind": "k", **task})
            return str(answer.json()["id"]) if answer.status_code == 201 else None

        task_id: str = await eventually_async(done, within_s=SLOW_S, every_s=0.1)
        return task_id

    async def has(self, task_id: str) -> bool:
        return (await self.get(await self.leader(), f"/v1/tasks/{task_id}")).status_code == 200

    async def status(self, at: str) -> dict[str, dict[str, Any]]:
        """What a node says of each node."""
        return {node["name"]: node for node in (await self.get(at, "/v1/cluster")).json()["nodes"]}

    async def until_whole(self, *, within_s: float = SLOW_S) -> None:
        """Returns when every node has stored and applied what the leader has committed."""

        async def whole() -> bool:
            nodes = await self.status(await self.leader())
            committed = [node.get("committed") for node in nodes.values() if node["role"] == "leader"]
            assert {node["role"] for node in nodes.values()} <= {"leader", "standby", "witness"}, nodes
            for node in nodes.values():
                assert node.get("last") == committed[0] is not None, nodes
                assert node["role"] == "witness" or node.get("applied") == committed[0], nodes
            return True

        await eventually_async(whole, within_s=within_s, every_s=0.1)

    async def metric(self, name: str, what: str) -> float:
        """A sample's value; 0 if it was not counted yet."""
        lines = (await self.get(name, "/metrics")).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{what} "))


@contextlib.asynccontextmanager
async def cluster_in(folder: Path, names: Sequence[str] = NAMES, **settings: Any) -> AsyncIterator[Cluster]:
    """Nodes that do not run yet; whatever does at the end is stopped. An error of a disk fails the test."""
    cluster = Cluster(folder, names, **settings)
    fatal: list[BaseException] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "end_at_once", fatal.append)
        try:
            yield cluster
        finally:
            await cluster.stop(*cluster.nodes)
            await cluster.http.aclose()
    assert not fatal


@contextlib.asynccontextmanager
async def running_cluster(
    folder: Path, names: Sequence[str] = NAMES, **settings: Any
) -> AsyncIterator[Cluster]:
    """A cluster that was founded and has a leader."""
    async with cluster_in(folder, names, **settings) as cluster:
        await cluster.start(names[0], bootstrap=True)
        await cluster.start(*names[1:])
        await cluster.leader()
        yield cluster


def tenure_of(cluster: Cluster, name: str) -> Tenure:
    tenure = cluster.member(name)._tenure
    assert tenure is not None
    return tenure


def litestream_of(cluster: Cluster, name: str) -> int:
    litestream = tenure_of(cluster, name).log._litestream
    assert litestream is not None
    assert litestream.pid is not None
    return litestream.pid
