from pathlib import Path

from tests.chaos.cluster import NODES, node_properties

PORTS = {
    f"{name}-{node}": 1000 * number + node
    for number, name in enumerate(("direct", "workers", "controller"), 1)
    for node in NODES
}


def test_workers_are_told_of_the_proxy_and_brokers_of_each_other() -> None:
    """Who comes through the proxy is sent on through it; what brokers say to each other, no fault of the network touches."""
    properties = node_properties(2, PORTS, {1: 71, 2: 72, 3: 73}, Path("/data"))
    assert properties["advertised.listeners"] == "DIRECT://127.0.0.1:1002,WORKERS://127.0.0.1:72"
    assert "WORKERS://127.0.0.1:2002" in properties["listeners"]
    assert properties["inter.broker.listener.name"] == "DIRECT"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:3001,2@127.0.0.1:3002,3@127.0.0.1:3003"
    assert properties["node.id"] == "2"


def test_nothing_acknowledged_depends_on_one_disk() -> None:
    """Three replicas, two of which must have a record: of the topics, the offsets and the transactions."""
    properties = node_properties(1, PORTS, {1: 71, 2: 72, 3: 73}, Path("/data"))
    for name in ("default", "offsets.topic", "transaction.state.log"):
        assert properties[f"{name}.replication.factor"] == "3"
    assert properties["min.insync.replicas"] == properties["transaction.state.log.min.isr"] == "2"


def test_every_listener_is_on_loopback() -> None:
    """Nothing of the harness can be reached from outside."""
    properties = node_properties(1, PORTS, {1: 71, 2: 72, 3: 73}, Path("/data"))
    listeners = ",".join(properties[name] for name in ("listeners", "advertised.listeners")).split(",")
    assert all("://127.0.0.1:" in listener for listener in listeners)
