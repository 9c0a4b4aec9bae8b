"""Faults of the parts that workers live on: Kafka, Redis, Triton, and the network to each."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

from tests.chaos.cluster import NODES, SMALL_DISK_NODE
from tests.chaos.redis_pair import LINK
from tests.chaos.schedule import Kind
from tests.chaos.stage import TRITON_LINK, kafka_link
from tests.chaos.world import Did, Fault, Inject, NotInjectedError, World

_SYNC_S = 40.0
_DISK_S = 45.0


def _whole(world: World) -> None:
    if not world.stage.cluster.await_in_sync(_SYNC_S):
        raise NotInjectedError("Kafka has not caught up since the last fault")


def _node_down(choose: Callable[[World, random.Random], int], *, kill: bool) -> Inject:
    def inject(world: World, rng: random.Random, lasts_s: float) -> Did:
        _whole(world)
        node = choose(world, rng)
        server = world.stage.cluster.nodes[node]
        if kill:
            server.kill()
        else:
            server.stop()
        world.hold(lasts_s)
        world.stage.cluster.start_nodes([node])
        return Did(server.name, f"down for {lasts_s:.1f} s and its start")

    return inject


def _any_node(_world: World, rng: random.Random) -> int:
    return rng.choice(NODES)


def _controller(world: World, _rng: random.Random) -> int:
    return world.stage.cluster.controller()


def _kafka_restarted(world: World, _rng: random.Random, lasts_s: float) -> Did:
    # Not by kill -9: after all three nodes had been killed at one moment, two records of the input were not in the log, for a
    # reason that was not found; the worker cannot be held to what it was never given.
    _whole(world)
    nodes = world.stage.cluster.nodes
    for server in nodes.values():
        server.request_stop()
    for server in nodes.values():
        server.stop()
    world.hold(lasts_s)
    world.stage.cluster.start_nodes(NODES)
    return Did("kafka", "all nodes at one time")


def _leader_moved(world: World, rng: random.Random, _lasts_s: float) -> Did:
    _whole(world)
    moved = world.stage.cluster.move_leaders((*world.names.all, "__transaction_state", "__consumer_offsets"), rng)
    if not moved:
        raise NotInjectedError("no partition has another leader")
    return Did("kafka", f"{moved} partitions have another leader")


def _disk_full(world: World, _rng: random.Random, lasts_s: float) -> Did:
    _whole(world)
    cluster = world.stage.cluster
    server = cluster.nodes[SMALL_DISK_NODE]
    cluster.fill_disk()
    deadline = time.monotonic() + _DISK_S
    while server.alive and time.monotonic() < deadline and not world.over.is_set():
        time.sleep(0.2)
    gave_up = not server.alive
    world.hold(lasts_s)
    server.kill()
    cluster.free_disk()
    cluster.start_nodes([SMALL_DISK_NODE])
    if not gave_up:
        raise NotInjectedError("the node did not notice that its disk was full")
    return Did(server.name, "gave up on its full disk; freed and started again")


def _links(what: str, rng: random.Random) -> list[str]:
    if what == "kafka":
        every = [kafka_link(node) for node in NODES]
        return every if rng.random() < 0.5 else [rng.choice(every)]
    return [{"redis": LINK, "triton": TRITON_LINK}[what]]


def _cut(what: str) -> Inject:
    def inject(world: World, rng: random.Random, lasts_s: float) -> Did:
        mode = rng.choice(("cut", "hold"))
        links = _links(what, rng)
        for link in links:
            world.stage.proxy.set(link, mode=mode)
        world.hold(lasts_s)
        for link in links:
            world.stage.proxy.set(link, mode="pass")
        return Did(",".join(links), {"cut": "refused", "hold": "black hole"}[mode])

    return inject


def _latency(what: str) -> Inject:
    def inject(world: World, rng: random.Random, lasts_s: float) -> Did:
        delay_s, jitter_s = rng.uniform(0.02, 0.2), rng.uniform(0.0, 0.2)
        links = _links(what, rng)
        for link in links:
            world.stage.proxy.set(link, delay_s=delay_s, jitter_s=jitter_s)
        world.hold(lasts_s)
        for link in links:
            world.stage.proxy.set(link, delay_s=0, jitter_s=0)
        return Did(",".join(links), f"{delay_s * 1000:.0f} ms and up to {jitter_s * 1000:.0f} more")

    return inject


def _redis_killed(world: World, _rng: random.Random, lasts_s: float) -> Did:
    world.stage.redis.kill()
    world.hold(lasts_s)
    world.stage.redis.restart()
    return Did("redis", "started again with its append-only file")


def _redis_emptied(world: World, _rng: random.Random, lasts_s: float) -> Did:
    world.stage.redis.kill()
    world.hold(lasts_s)
    world.stage.redis.restart_empty()
    return Did("redis", "started again with nothing")


def _redis_failover(world: World, _rng: random.Random, lasts_s: float) -> Did:
    lost = world.stage.redis.fail_over(lasts_s)
    detail = f"the replica lagged {lasts_s:.1f} s or more; {lost.size} bytes lost, commits of {lost.partitions} partitions"
    return Did("redis", detail, effective=lost.partitions > 0)


def _triton_killed(world: World, _rng: random.Random, lasts_s: float) -> Did:
    world.stage.triton.server.kill()
    world.hold(lasts_s)
    world.stage.triton.server.restart()
    return Did("triton")


def _triton_hangs(world: World, _rng: random.Random, lasts_s: float) -> Did:
    world.stage.triton.server.pause()
    world.hold(lasts_s)
    world.stage.triton.server.resume()
    return Did("triton", f"no answer for {lasts_s:.1f} s")


def _triton_slow(world: World, rng: random.Random, lasts_s: float) -> Did:
    delay_s = rng.uniform(0.2, 4.0)
    return _ordered(world, lasts_s, f"{delay_s:.1f} s a batch", delay_s=delay_s)


def _triton_errors(world: World, rng: random.Random, lasts_s: float) -> Did:
    every = rng.randint(2, 5)
    return _ordered(world, lasts_s, f"one request in {every} fails", fail_every=every)


def _ordered(world: World, lasts_s: float, detail: str, **order: float) -> Did:
    world.stage.triton.order(**order)
    world.hold(lasts_s)
    world.stage.triton.order()
    return Did("triton", detail)


def _model_reloaded(world: World, _rng: random.Random, lasts_s: float) -> Did:
    world.stage.triton.unload()
    world.hold(lasts_s)
    world.stage.triton.load(1)
    return Did("triton", f"unloaded for {lasts_s:.1f} s")


def _model_replaced(world: World, _rng: random.Random, lasts_s: float) -> Did:
    world.stage.triton.load(2)
    world.hold(lasts_s)
    world.stage.triton.load(1)
    return Did("triton", f"another version served for {lasts_s:.1f} s")


def kafka_faults() -> Iterator[Fault]:
    """Yield every fault of Kafka and the way to it."""
    yield Fault(Kind("broker_kill", "kafka", (1, 8), 22, 0.8), _node_down(_any_node, kill=True))
    yield Fault(Kind("broker_term", "kafka", (1, 8), 22, 0.5), _node_down(_any_node, kill=False))
    yield Fault(Kind("controller_killed", "kafka", (1, 8), 22, 0.5), _node_down(_controller, kill=True))
    yield Fault(Kind("kafka_restarted", "kafka", (0, 3), 40, 0.3), _kafka_restarted)
    yield Fault(Kind("disk_full", "kafka", (0, 5), 40, 0.3), _disk_full)
    yield Fault(Kind("leader_moved", "kafka", (0, 0), 6, 1.0), _leader_moved)
    yield Fault(Kind("kafka_cut", "kafka-net", (1, 10), 8, 1.0), _cut("kafka"))
    yield Fault(Kind("kafka_latency", "kafka-net", (5, 15), 2, 1.0), _latency("kafka"))


def store_and_model_faults() -> Iterator[Fault]:
    """Yield every fault of Redis and Triton and the ways to them."""
    yield Fault(Kind("redis_cut", "redis-net", (1, 8), 4), _cut("redis"))
    yield Fault(Kind("redis_latency", "redis-net", (5, 15), 1), _latency("redis"))
    yield Fault(Kind("redis_killed", "redis", (0, 5), 5), _redis_killed)
    yield Fault(Kind("redis_emptied", "redis", (0, 3), 8, 0.7), _redis_emptied)
    yield Fault(Kind("redis_failover", "redis", (0.5, 3), 10, 0.7), _redis_failover)
    yield Fault(Kind("triton_cut", "triton-net", (1, 8), 3), _cut("triton"))
    yield Fault(Kind("triton_latency", "triton-net", (5, 15), 1), _latency("triton"))
    yield Fault(Kind("triton_killed", "triton", (0, 4), 12, 0.7), _triton_killed)
    yield Fault(Kind("triton_hangs", "triton", (2, 10), 3), _triton_hangs)
    yield Fault(Kind("triton_slow", "triton", (4, 10), 2), _triton_slow)
    yield Fault(Kind("triton_errors", "triton", (4, 10), 2), _triton_errors)
    yield Fault(Kind("model_reloaded", "triton", (0, 4), 4), _model_reloaded)
    yield Fault(Kind("model_replaced", "triton", (1, 5), 5), _model_replaced)
