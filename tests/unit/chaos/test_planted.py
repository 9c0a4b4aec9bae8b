from importlib.resources import files
from typing import Any

import pytest

from tests.chaos import planted


class Producer:
    """Notes what a transactional producer is told."""

    def __init__(self, _config: Any = None) -> None:
        self.told: list[Any] = []

    def begin_transaction(self) -> None:
        """Take note."""
        self.told.append("begin")

    def produce(self, topic: str, value: bytes) -> None:
        """Take note."""
        self.told.append((topic, value))

    def send_offsets_to_transaction(self, offsets: Any, group: Any, timeout_s: float) -> None:
        """Take note."""
        self.told.append((offsets, group, timeout_s))

    def commit_transaction(self, _timeout_s: float) -> None:
        """Take note."""
        self.told.append("commit")


def transact(producer: Any) -> list[Any]:
    """Do what the worker's sink does; return what reached Kafka."""
    producer.begin_transaction()
    producer.produce("t", value=b"1")
    producer.send_offsets_to_transaction([7], "group", 3.0)
    producer.commit_transaction(3.0)
    told: list[Any] = producer.told
    return told


RECORD, OFFSETS = ("t", b"1"), ([7], "group", 3.0)


@pytest.mark.parametrize(
    ("bug", "role", "told"),
    [
        ("", "score", ["begin", RECORD, OFFSETS, "commit"]),
        ("commit_before_produce", "score", ["begin", OFFSETS, "commit", "begin", RECORD, "commit"]),
        ("commit_before_produce", "alert", ["begin", RECORD, OFFSETS, "commit"]),
        ("relay_position_outside", "alert", ["begin", RECORD, "commit", "begin", OFFSETS, "commit"]),
        ("relay_position_outside", "score", ["begin", RECORD, OFFSETS, "commit"]),
    ],
)
def test_bug_breaks_one_transaction_into_two(bug: str, role: str, told: list[Any]) -> None:
    """Each in its role alone, and in the order that its name says."""
    base: Any = Producer
    assert transact(planted.producer_with(bug, role, base)({})) == told


def test_a_relay_that_only_moves_its_position_passes_no_point() -> None:
    """A kill there could do no harm, and the kills of a run could all be such."""

    class Faulty(Producer):
        def send_offsets_to_transaction(self, offsets: Any, group: Any, timeout_s: float) -> None:
            self.told.append("point")
            super().send_offsets_to_transaction(offsets, group, timeout_s)

    base: Any = Faulty
    producer: Any = planted.producer_with("relay_position_outside", "alert", base)({})
    producer.begin_transaction()
    producer.send_offsets_to_transaction(*OFFSETS)
    producer.commit_transaction(3.0)
    assert producer.told == ["begin", OFFSETS, "commit"]
    assert transact(producer)[3:] == ["begin", RECORD, "commit", "begin", "point", OFFSETS, "commit"]


def test_fence_is_taken_out_of_the_real_script() -> None:
    """The check is gone and nothing else: the script still answers `done`, and only that."""
    script = files("worker.adapters").joinpath("commit.lua").read_text()
    without = planted.without_fence(script)
    assert "'fenced'" in script
    assert "'fenced'" not in without
    assert len(script.splitlines()) - len(without.splitlines()) == 3


def test_a_script_without_a_fence_cannot_lose_it() -> None:
    """A planted bug that no longer changes anything is an error, not a green proof."""
    with pytest.raises(ValueError, match="no fence"):
        planted.without_fence("return 'done'")
