"""The score role when the model fails, when there is more than it can do, and when it writes without transactions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.builders import body
from tests.unit.worker.score.role_builders import (
    DEAD,
    GROUP,
    PREDICTIONS,
    Entry,
    Script,
    Worker,
    committed,
    ends,
    fault_free,
    filled,
    only,
    predictions,
    started,
    stream,
    together,
    view,
)
from worker.errors import ContractError, ModelError, ModelErrorReason, TidingsError
from worker.messages import OutRecord, TopicPartition
from worker.ports import TokenBatch
from worker.testing.broker import InMemoryAtLeastOnceSink, InMemoryBroker
from worker.testing.model import FailureOf, FakeModel, hashed_logits

POISON_WORDS = 7
"""Texts of so many words are poison here: they are told by their length, since the model sees no text."""


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes from elsewhere here, so there is nothing to wait for."""
    monkeypatch.setattr("worker.score.role._BUSY_WAIT_S", 0.0)


def is_poison(batch: TokenBatch) -> bool:
    """Whether there is a poison text in the batch; the canary has five words."""
    return bool((batch.attention_mask.sum(axis=1) == POISON_WORDS).any())


def text(number: int, *, poison: bool = False) -> bytes:
    """A message of four words, or a poison one of seven."""
    return body(f"w w Acme {number}" + (" this is poison" if poison else ""), id=f"id-{number}")


def texts(count: int, *poison: int) -> list[Entry]:
    """So many messages over all partitions, those of the given numbers poison."""
    places = [("news", 0), ("news", 1), ("chat", 0)]
    return [(places[n % 3][0], text(n, poison=n in poison), places[n % 3][1]) for n in range(count)]


def refusing(code: ModelErrorReason = "refused") -> FailureOf:
    """Answer each batch that has poison in it with an error."""
    return lambda _call, batch: ModelError(code, "Triton said: bad text") if is_poison(batch) else None


def outcome(broker: InMemoryBroker) -> tuple[list[str], list[tuple[bytes | None, bytes | None]]]:
    """The ids that were predicted, and the dead letters with their reasons."""
    letters = [(record.value, dict(record.headers)["tidings.reason"]) for record in broker.records(DEAD)]
    return sorted(prediction.id for prediction in predictions(broker)), sorted(letters)  # type: ignore[type-var]


def expected(count: int, *poison: int, reason: bytes = b"model_refused") -> tuple[list[str], list[tuple[bytes, bytes]]]:
    """The same, as it should be."""
    good = sorted(f"id-{n}" for n in range(count) if n not in poison)
    return good, sorted((text(n, poison=True), reason) for n in poison)


@pytest.mark.parametrize("poison", [(7,), (0,), (39,), (7, 8), (0, 3, 6), (1, 20, 39), tuple(range(40))], ids=str)
@pytest.mark.parametrize("how", ["errors", "hangs", "no number"])
def test_poison_goes_to_dead_letters_and_the_rest_goes_on(how: str, poison: tuple[int, ...]) -> None:
    """One among many, two in a batch, all of them; answered with an error, not at all, or with no number."""
    broker = filled(texts(40, *poison))
    (worker,) = started(broker, FakeModel())
    if how == "errors":
        worker.model.failure = refusing()
    elif how == "hangs":
        worker.model.hangs = lambda _call, batch: is_poison(batch)
    else:
        worker.model.logits = lambda ids: [float("inf")] * 3 if len(ids) == POISON_WORDS else hashed_logits(ids)
    for _ in range(5):
        worker.now_s += 0.5
        worker.work_off(broker) if how != "hangs" else patiently(worker, broker)
    reason = b"model_output_invalid" if how == "no number" else b"model_refused"
    assert outcome(broker) == expected(40, *poison, reason=reason)
    assert worker.role.breaker.phase == "closed"


def patiently(worker: Worker, broker: InMemoryBroker) -> None:
    """Work off with a clock that goes faster, since each silence lasts until its deadline."""
    for _ in range(5_000):
        worker.now_s += 0.04
        worker.step()
        if committed(broker) == ends(broker):
            return


def test_the_dead_letter_says_what_the_model_said() -> None:
    """The record is kept byte for byte; where it came from and why stands in its headers."""
    broker = only(text(0), text(1, poison=True))
    (worker,) = started(broker, FakeModel(failure=refusing()))
    worker.work_off(broker)
    (letter,) = broker.records(DEAD)
    headers = dict(letter.headers)
    assert (letter.value, headers["tidings.offset"]) == (text(1, poison=True), b"1")
    assert (headers["tidings.reason"], headers["tidings.detail"]) == (b"model_refused", b"Triton said: bad text")


def test_poison_that_is_all_there_is() -> None:
    """With nothing else in hand the canary shows that the model is well."""
    broker = only(text(0, poison=True))
    (worker,) = started(broker, FakeModel(failure=refusing()))
    worker.work_off(broker)
    assert outcome(broker) == expected(1, 0)


OUTAGES: dict[str, Callable[[FakeModel], None]] = {
    "down": lambda model: setattr(model, "failure", lambda _c, _b: ModelError("unavailable", "connection refused")),
    "hangs": lambda model: setattr(model, "hangs", lambda _c, _b: True),
    "errors to everything": lambda model: setattr(model, "failure", lambda _c, _b: ModelError("refused", "INTERNAL")),
    "unloaded": lambda model: setattr(model, "failure", lambda _c, _b: ModelError("not_loaded", "unknown model")),
    "another shape": lambda model: setattr(model, "logits", lambda _ids: [0.0, 1.0]),
    "no numbers": lambda model: setattr(model, "logits", lambda _ids: [float("nan")] * 3),
    "not permitted": lambda model: setattr(model, "failure", lambda _c, _b: ContractError("permission denied")),
}


@pytest.mark.parametrize("when", ["from the start", "in the middle"])
@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_makes_no_dead_letters(outage: str, when: str) -> None:
    """Ten minutes of it, with poison in hand: nothing is given up or published, partitions are paused, polling goes on."""
    broker = filled(texts(40, 4))
    (worker,) = started(broker, FakeModel(failure=refusing()))
    if when == "in the middle":
        worker.step(12)
    OUTAGES[outage](worker.model)
    before = len(broker.records(DEAD))
    for _ in range(1_200):
        worker.now_s += 0.5
        worker.step()
    assert len(broker.records(DEAD)) == before
    assert (worker.role.breaker.phase != "closed", worker.role.holding) == (True, "model_away")
    assert worker.source.paused == frozenset(worker.source._positions)
    worker.model.failure, worker.model.hangs, worker.model.logits = refusing(), (lambda _c, _b: False), hashed_logits
    worker.now_s += 60
    worker.work_off(broker)
    assert outcome(broker) == expected(40, 4)
    assert worker.role.holding is None


def test_an_open_breaker_takes_nothing_new() -> None:
    """Not through a rebalance either, which brings partitions unpaused; when the model is back they are read."""
    broker = filled(texts(12))
    (worker,) = started(broker, FakeModel(failure=lambda _c, _b: ModelError("unavailable", "away")))
    while worker.role.breaker.phase == "closed":
        worker.now_s += 0.5
        worker.step()
    worker.step(2)
    for entry in texts(40)[12:]:
        broker.send(entry[0], entry[1])
    in_hand = worker.role.counts.messages
    for _ in range(5):
        broker.rebalance(GROUP)
        worker.step(3)
    assert worker.role.counts.messages <= in_hand + 5
    worker.model.failure = refusing()
    worker.now_s += 60
    worker.work_off(broker)
    assert outcome(broker)[0] == expected(40)[0]


def test_a_model_that_fails_at_random_costs_no_message() -> None:
    """One request in five is answered with an error, poison or not, and nothing is given up for it."""
    broker = filled(texts(600))

    def moody(call: int, _batch: TokenBatch) -> TidingsError | None:
        return ModelError("refused", "INTERNAL") if call * 2_654_435_761 % 2**32 < 2**32 / 5 else None

    worker = Worker(broker, FakeModel(failure=moody), max_pending=30)
    worker.role.start()
    for _ in range(30_000):
        worker.step()
        if committed(broker) == ends(broker):
            break
    assert outcome(broker) == expected(600)


def test_a_repeat_of_a_refused_text_points_to_nobody() -> None:
    """There is no prediction of the first; the model is asked afresh, and may know better by then."""
    broker = only(text(0, poison=True))
    (worker,) = started(broker, FakeModel(failure=refusing()))
    worker.work_off(broker)
    worker.model.failure = lambda _c, _b: None
    broker.send("news", body("w w Acme 0 this is poison", id="again"))
    worker.work_off(broker)
    assert [(prediction.id, prediction.duplicate_of) for prediction in predictions(broker)] == [("again", None)]


def test_the_model_may_be_replaced_by_one_that_takes_smaller_batches() -> None:
    """What is too large for it is halved until it fits."""
    broker = filled(texts(40))
    small: FailureOf = lambda _c, batch: ModelError("refused", "at most 1 text") if len(batch.input_ids) > 1 else None  # noqa: E731
    (worker,) = started(broker, FakeModel(failure=small))
    worker.work_off(broker)
    assert outcome(broker) == expected(40)


@pytest.mark.parametrize("aborts", [{0}, {1, 2}, {0, 3, 4, 5}], ids=str)
def test_an_abort_amid_a_bisection_loses_and_doubles_nothing(aborts: set[int]) -> None:
    """Parts in hand belong to what was dropped; what is read again is tried from the start."""
    poison = (3, 9, 10, 30)
    broker = filled(texts(40, *poison))
    worker = Worker(broker, FakeModel(failure=refusing()), Script(broker, dict.fromkeys(aborts, "abort")), commit_messages=4)
    worker.role.start()
    worker.work_off(broker)
    assert worker.role.counts.aborted == len(aborts)
    assert outcome(broker) == expected(40, *poison)


@settings(max_examples=60)
@given(st.data())
def test_whatever_the_model_does_each_message_ends_once_and_rightly(data: st.DataObject) -> None:
    """Two workers, outages of every kind, poison, rebalances, losses, aborts: good texts are predicted, poison alone is not."""
    poison = data.draw(st.sets(st.integers(0, 29), max_size=3))
    broker = filled(texts(30, *poison))
    aborted = dict.fromkeys(data.draw(st.sets(st.integers(0, 8), max_size=3)), "abort")
    workers = [
        Worker(broker, FakeModel(failure=refusing()), Script(broker, aborted), commit_messages=4, max_pending=12)  # type: ignore[arg-type]
        for _ in range(2)
    ]
    for worker in workers:
        worker.role.start()
    actions = st.sampled_from([*OUTAGES, "step", "step", "wait", "well", "rebalance", "lose"])
    for action in data.draw(st.lists(actions, max_size=40)):
        worker = workers[data.draw(st.integers(0, 1))]
        if action in OUTAGES:
            OUTAGES[action](worker.model)
        elif action == "well":
            recover(worker)
        elif action in {"rebalance", "lose"}:
            broker.rebalance(GROUP, lost=action == "lose")
        else:
            worker.now_s += 7 if action == "wait" else 0
            worker.step(4)
    for worker in workers:
        recover(worker)
        worker.now_s += 60
    together(broker, *workers)
    assert outcome(broker) == expected(30, *poison)


def recover(worker: Worker) -> None:
    """Let the model be itself again."""
    worker.model.failure, worker.model.hangs, worker.model.logits = refusing(), (lambda _c, _b: False), hashed_logits


def in_hand(worker: Worker) -> int:
    """Messages held anywhere in the worker: waiting, at the model, or done and not yet committed."""
    waiting = len(worker.role._batcher) + sum(len(t.batch.texts) for t in worker.role._inference._again)
    return max(len(worker.role._progress), waiting)


def test_at_ten_times_the_capacity_memory_is_bounded_and_the_worker_catches_up() -> None:
    """4 texts a step go through the model and 40 come in: what is in hand stays flat as long as it lasts; then all is read."""
    broker = filled([("news", text(-1), 0)])
    worker = Worker(broker, FakeModel(manual=True), max_pending=50, in_flight=1, commit_messages=10)
    worker.role.start()
    most, sent = 0, 0
    for _ in range(300):
        for _ in range(40):
            broker.send("news" if sent % 2 else "chat", text(sent))
            sent += 1
        if worker.model.waiting:
            worker.model.release()
        worker.step()
        most = max(most, in_hand(worker))
    behind = sum(ends(broker).values()) - sum(committed(broker).values())
    assert behind > 10_000
    assert most <= 50
    for _ in range(20_000):
        if worker.model.waiting:
            worker.model.release()
        worker.step()
        if committed(broker) == ends(broker):
            break
    assert len(predictions(broker)) == len({p.id for p in predictions(broker)}) == sent + 1


@pytest.mark.parametrize("limit", [1, 5_000, 60_000])
def test_what_is_in_hand_is_bounded_in_bytes(limit: int) -> None:
    """Long texts are held back by their size, whatever their number; even one larger than the limit gets through."""
    entries: list[Entry] = [("news", body("long " * 1_000 + str(number), id=f"id-{number}"), 0) for number in range(40)]
    broker = filled(entries)
    worker = Worker(broker, max_pending_bytes=limit, max_poll_records=1)
    worker.role.start()
    record_size = max(len(value or b"") for _, value, _ in entries) + 10
    for _ in range(60):
        worker.step()
        assert worker.role._progress.size <= limit + record_size
    worker.work_off(broker)
    assert len(predictions(broker)) == 40
    assert worker.role._progress.size == 0


def test_partitions_that_come_and_go_leave_nothing_behind() -> None:
    """While the model is slow, a group in unrest makes a worker read the same messages again and again: they do not pile up."""
    broker = filled(texts(60))
    worker = Worker(broker, FakeModel(manual=True), max_pending=20, in_flight=1)
    worker.role.start()
    for _ in range(30):
        worker.step(2)
        worker.role.on_lost(sorted(worker.source._positions))
        worker.source.rewind(sorted(worker.source._positions))
        worker.role.on_assigned(sorted(worker.source._positions))
        worker.step(2)
        assert in_hand(worker) <= 20 + 4
    worker.work_off(broker)
    assert outcome(broker) == expected(60)


class Unsure(InMemoryAtLeastOnceSink):
    """Fails the commits whose number it is told to, after some of it has already become visible."""

    def __init__(self, broker: InMemoryBroker, failures: dict[int, Literal["delivery", "commit"]]) -> None:
        super().__init__(broker)
        self.failures = failures
        self.attempts = 0

    def commit(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object) -> None:
        """See `ports.Sink`."""
        self.fail_next = self.failures.get(self.attempts)
        self.attempts += 1
        super().commit(records, offsets, group)


@pytest.mark.parametrize("how", ["delivery", "commit"])
@pytest.mark.parametrize("failures", [set(), {0}, {1, 2}, {0, 3, 6}], ids=str)
def test_at_least_once_loses_nothing(how: Literal["delivery", "commit"], failures: set[int]) -> None:
    """Without a fault it is the very same as in transactions; after one, some of it comes twice, byte for byte the same."""
    broker = filled()
    worker = Worker(broker, sink=Unsure(broker, dict.fromkeys(failures, how)), commit_messages=5)
    worker.role.start()
    worker.work_off(broker)
    quiet, seen = view(fault_free()), view(broker)
    assert {topic: sorted(set(records)) for topic, records in seen.items()} == quiet  # type: ignore[type-var]
    doubled = sum(map(len, seen.values())) - sum(map(len, quiet.values()))
    assert (doubled > 0) == bool(failures)


def test_at_least_once_through_rebalances() -> None:
    """A worker that lost its partitions commits nothing for them; what it wrote comes twice at most."""
    broker = filled()
    workers = [Worker(broker, sink=InMemoryAtLeastOnceSink(broker), commit_messages=3) for _ in range(2)]
    for number, worker in enumerate(workers):
        worker.role.start()
        workers[0].step(2)
        broker.rebalance(GROUP, lost=bool(number))
    together(broker, *workers)
    assert {topic: sorted(set(records)) for topic, records in view(broker).items()} == view(fault_free())  # type: ignore[type-var]


def test_the_outcome_of_the_stream_is_not_touched_by_the_breaker() -> None:
    """Bad input goes to dead letters while the model is away, once it is its turn to be committed."""
    broker = filled()
    (worker,) = started(broker, FakeModel(failure=lambda _c, _b: ModelError("unavailable", "away")))
    for _ in range(100):
        worker.now_s += 0.5
        worker.step()
    assert len(broker.records(PREDICTIONS)) == 0
    worker.model.failure = lambda _c, _b: None
    worker.now_s += 60
    worker.work_off(broker)
    assert view(broker) == view(fault_free(stream()))
