"""Bugs that can be planted into a worker, to show that the harness turns red: each breaks one rule of the design.

They replace parts of the worker at run time, inside the process that `worker_main.py` starts; the product is not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import confluent_kafka as ck

BUGS = ("commit_before_produce", "no_fence", "relay_position_outside")


def offsets_first(base: type[ck.Producer]) -> type[ck.Producer]:
    """A producer that commits the offsets in a transaction of their own, and the records in a second one after it."""

    class OffsetsFirst(base):  # type: ignore[valid-type,misc]
        """See `offsets_first`."""

        def begin_transaction(self) -> None:
            self.kept: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
            super().begin_transaction()

        def produce(self, *args: Any, **kwargs: Any) -> None:
            self.kept.append((args, kwargs))

        def commit_transaction(self, *args: Any) -> None:
            super().commit_transaction(*args)
            kept, self.kept = self.kept, []
            super().begin_transaction()
            for positional, named in kept:
                super().produce(*positional, **named)
            super().commit_transaction(*args)

    return OffsetsFirst


def position_outside(base: type[ck.Producer]) -> type[ck.Producer]:
    """A producer that commits the records first, and the offsets in a second transaction.

    Where there are no records nothing can come twice: that transaction is as it should be, and passes no point of `base` on
    its way, so that a fault at `before_offsets` always falls between the two of one that carries something.
    """
    beneath: Any = base.__base__

    class PositionOutside(base):  # type: ignore[valid-type,misc]
        """See `position_outside`."""

        def begin_transaction(self) -> None:
            self.carries = False
            super().begin_transaction()

        def produce(self, *args: Any, **kwargs: Any) -> None:
            self.carries = True
            super().produce(*args, **kwargs)

        def send_offsets_to_transaction(self, *args: Any) -> None:
            if self.carries:
                self.offsets = args
            else:
                beneath.send_offsets_to_transaction(self, *args)

        def commit_transaction(self, *args: Any) -> None:
            super().commit_transaction(*args)
            if self.carries:
                super().begin_transaction()
                super().send_offsets_to_transaction(*self.offsets)
                super().commit_transaction(*args)

    return PositionOutside


def unfenced(base: type[ck.Producer]) -> type[ck.Producer]:
    """A producer that commits offsets in the name of nobody: a consumer that never joined the group."""

    class Unfenced(base):  # type: ignore[valid-type,misc]
        """See `unfenced`."""

        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__(config)
            servers = config["bootstrap.servers"]
            name = str(config["transactional.id"])
            group = next(f"{name.partition(f'-{role}-')[0]}-{role}" for role in ("score", "alert") if f"-{role}-" in name)
            self.nobody = ck.Consumer({"bootstrap.servers": servers, "group.id": group, "log_level": 0})

        def send_offsets_to_transaction(self, offsets: Any, _metadata: Any, *args: Any) -> None:
            super().send_offsets_to_transaction(offsets, self.nobody.consumer_group_metadata(), *args)

    return Unfenced


def without_fence(script: str) -> str:
    """The Redis script without the check that the stored offset is the expected one.

    Raises:
        ValueError: the script has no such check any more, so this bug can no longer be planted.
    """
    start = script.find("if (stored[1] or '') ~= ARGV[1] then")
    end = script.find("end\n", start)
    if start < 0 or end < 0:
        raise ValueError("the commit script has no fence to remove")
    return script[:start] + script[end + len("end\n") :]


def producer_with(bug: str, role: str, base: type[ck.Producer]) -> type[ck.Producer]:
    """Return the producer of a worker of this role with this bug; without one of its own, `base`."""
    made: dict[tuple[str, str], Callable[[type[ck.Producer]], type[ck.Producer]]] = {
        ("commit_before_produce", "score"): offsets_first,
        ("no_fence", "score"): unfenced,
        ("no_fence", "alert"): unfenced,
        ("relay_position_outside", "alert"): position_outside,
    }
    return made[bug, role](base) if (bug, role) in made else base


def unfence_store(adapter: Any) -> None:
    """Have the Redis adapter (the module) run the script without its fence."""
    adapter._COMMIT = without_fence(adapter._COMMIT)
