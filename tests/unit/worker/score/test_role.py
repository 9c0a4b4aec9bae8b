import json
from collections.abc import Sequence
from threading import Event
from typing import Any, Literal
from unittest.mock import Mock

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.builders import body
from tests.unit.worker.score.role_builders import (
    DEAD,
    GROUP,
    INPUTS,
    LIMITS,
    PREDICTIONS,
    SIGNALS,
    Entry,
    Script,
    Worker,
    away,
    committed,
    fault_free,
    filled,
    only,
    predictions,
    started,
    stream,
    together,
    view,
)
from worker.codec import decode_prediction, decode_signal
from worker.errors import AbortedError, FatalError, RetryableError
from worker.messages import OutRecord, Record, TopicPartition
from worker.score.role import ScorePorts
from worker.testing.broker import GroupMetadata, InMemoryBroker, InMemorySource
from worker.testing.model import FakeModel, LogitsOf, hashed_logits


def test_each_message_ends_once_in_a_prediction_or_a_dead_letter() -> None:
    """Nothing is lost and nothing doubled; signals are those of the messages that name somebody watched."""
    broker = fault_free()
    entries = stream()
    bad = [(topic, value) for number, (topic, value, _) in enumerate(entries) if number % 5 == 3]
    assert sorted(p.id for p in predictions(broker)) == sorted(f"id-{n}" for n in range(len(entries)) if n % 5 != 3)
    assert len(broker.records(DEAD)) == len(bad)
    named = {f"id-{n}" for n in range(len(entries)) if n % 4 == 0 and n % 5 != 3}
    assert {decode_signal(record.value).message_id for record in broker.records(SIGNALS)} == named
    assert len(broker.records(SIGNALS)) == len(named)
    assert all(bytes(p.extra["mine"]).decode() == p.id[3:] for p in predictions(broker))


def test_dead_letters_are_the_records_byte_for_byte() -> None:
    """Key, value and headers are as they came; where from and why stands in headers behind them."""
    broker = fault_free()
    letters = {
        tuple(dict(r.headers)[f"tidings.{name}"] for name in ("topic", "partition", "offset")): r for r in broker.records(DEAD)
    }
    for number, (_, value, _) in enumerate(stream()):
        if number % 5 == 3:
            record = next(r for topic in INPUTS for r in broker.records(topic) if dict(r.headers[:1])["n"] == b"%d" % number)
            letter = letters[record.topic.encode(), b"%d" % record.partition, b"%d" % record.offset]
            assert (letter.key, letter.value, letter.headers[:3]) == (record.key, value, record.headers)
            assert dict(letter.headers)["tidings.reason"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", b"empty_body"),
        (body("x" * 5_000_000), b"body_too_large"),
        (b'{"text": "\xff"}', b"not_utf8"),
        (b"5", b"not_an_object"),
        (b'{"text": "a\x00b"}', b"not_json"),
        (b"\x00", b"not_json"),
        (b'{"text":"x","z":' + b"[" * 100_000, b"too_deep"),
        (body("a\x00b"), None),
        (body("in the future", published_at="9999-12-31T23:59:59Z"), None),
        (body("A"), None),
        (body("🚀" * 8_192), None),
    ],
)
def test_bad_input_is_an_answer_and_the_worker_goes_on(value: bytes, reason: bytes | None) -> None:
    """Each ends in a prediction or a dead letter with its reason; the messages around it are scored."""
    broker = only(body("before", id="before"), value, body("after", id="after"))
    (worker,) = started(broker, FakeModel())
    worker.work_off(broker)
    ids = {prediction.id for prediction in predictions(broker)}
    assert ids == {"before", "after"} | (set() if reason else {"news-0-1"})
    assert [dict(record.headers)["tidings.reason"] for record in broker.records(DEAD)] == ([reason] if reason else [])


def test_predictions_follow_the_order_of_their_partition() -> None:
    """Whatever buckets and batches they went through, what one partition gave in leaves in its order."""
    places: dict[tuple[TopicPartition, int], list[int]] = {}
    for record in fault_free().records(PREDICTIONS):
        origin = decode_prediction(record.value or b"").origin
        places.setdefault((TopicPartition(origin.topic, origin.partition), record.partition), []).append(origin.offset)
    assert len(places) == 2 * sum(INPUTS.values())
    assert all(offsets == sorted(offsets) for offsets in places.values())


def test_nothing_is_committed_past_what_is_not_done() -> None:
    """Answers out of order: offsets and outputs wait for the first."""
    broker = only(*(body(f"{'w ' * 3}{number}") for number in range(8)))
    (worker,) = started(broker, FakeModel(manual=True))
    worker.step(3)
    assert worker.model.waiting == 2
    worker.model.release(1)
    worker.step(10)
    assert (committed(broker), broker.records(PREDICTIONS)) == ({}, [])
    worker.model.release(0)
    worker.step(10)
    assert committed(broker) == {TopicPartition("news", 0): 8}
    assert view(broker) == view(fault_free([("news", body(f"{'w ' * 3}{number}"), 0) for number in range(8)]))


@pytest.mark.parametrize("failures", [{0}, {1}, {0, 1, 2}, set(range(7))], ids=str)
def test_an_abort_loses_and_doubles_nothing(failures: set[int]) -> None:
    """Rolled back, read again from the committed offsets, published once."""
    broker = filled()
    worker = Worker(broker, sink=Script(broker, dict.fromkeys(failures, "abort")), commit_messages=5)
    worker.role.start()
    worker.work_off(broker)
    assert worker.role.counts.aborted == len(failures)
    assert view(broker) == view(fault_free())


def test_an_abort_drops_what_is_in_flight() -> None:
    """Answers to what was sent before the abort do not stand for what was read after it."""
    broker = filled()
    worker = Worker(broker, FakeModel(manual=True), Script(broker, {0: "abort", 3: "abort"}), in_flight=3)
    worker.role.start()
    for _ in range(8):
        worker.step(7)
        if worker.model.waiting:
            worker.model.release(worker.model.waiting - 1)
    worker.work_off(broker)
    assert view(broker) == view(fault_free())


def test_transactions_that_never_succeed_end_the_worker() -> None:
    """A record that the broker will never take must not be tried for ever in silence: the cause is told."""
    broker = filled()
    worker = Worker(broker, sink=Script(broker, dict.fromkeys(range(1_000), "abort")))
    worker.role.start()
    with pytest.raises(FatalError, match="transactions in a row were aborted; the last: the group has gone on"):
        worker.step(1_000)
    assert view(broker) == {PREDICTIONS: [], SIGNALS: [], DEAD: []}


@pytest.mark.parametrize("at", [0, 1, 3])
def test_after_a_fatal_error_the_next_worker_goes_on(at: int) -> None:
    """The process ends; what it had not committed, another reads again."""
    broker = filled()
    worker = Worker(broker, sink=Script(broker, {at: "fatal"}), commit_messages=5)
    with pytest.raises(FatalError, match="fenced"):
        worker.role.run(Event())
    worker.source.close()
    (second,) = started(broker, FakeModel())
    second.work_off(broker)
    assert view(broker) == view(fault_free())


def test_a_revoked_partition_is_published_before_it_goes() -> None:
    """What is done goes out with its offsets while the partition is still ours; what is not, the next owner reads."""
    broker = filled()
    first, second = started(broker, FakeModel(manual=True), FakeModel())
    first.step(3)
    first.model.release()
    first.role.step()
    before = committed(broker)
    broker.rebalance(GROUP)
    first.step()
    together(broker, first, second)
    assert all(committed(broker)[partition] >= offset for partition, offset in before.items())
    assert view(broker) == view(fault_free())


def test_lost_partitions_are_dropped_and_nothing_committed() -> None:
    """The worker finds out after another has them; its transaction is fenced, its answers are for nobody."""
    broker = filled()
    first = started(broker, FakeModel(manual=True))[0]
    first.step(3)
    while first.model.waiting:
        first.model.release()
    second = started(broker, FakeModel())[0]
    broker.rebalance(GROUP, lost=True)
    second.step(20)
    together(broker, first, second)
    assert view(broker) == view(fault_free())


def test_a_fenced_commit_is_read_again_by_its_new_owner() -> None:
    """A worker that does not yet know of the rebalance commits with an old generation: nothing of it is visible."""
    broker = filled()
    (first,) = started(broker, FakeModel(manual=True))
    first.step(3)
    first.model.release()
    (second,) = started(broker, FakeModel())
    records = [OutRecord(PREDICTIONS, b"ghost", b"{}")]
    with pytest.raises(AbortedError):
        first.sink.commit(records, {TopicPartition("news", 0): 1}, GroupMetadata(GROUP, 1))
    together(broker, first, second)
    assert view(broker) == view(fault_free())


@settings(max_examples=60)
@given(st.data())
def test_whatever_happens_the_outcome_is_that_of_a_quiet_run(data: st.DataObject) -> None:
    """Two workers, rebalances, losses, aborts, a failing model, answers in any order, slow commits: every output once."""
    broker = filled()
    failing = st.sets(st.integers(0, 12), max_size=4)
    workers = []
    for _ in range(2):
        calls, aborted = data.draw(failing), data.draw(failing)
        worker = Worker(
            broker,
            FakeModel(manual=True, failure=away(*calls)),
            Script(broker, dict.fromkeys(aborted, "abort")),
            commit_messages=4,
            max_pending=12,
        )
        worker.commits.held = data.draw(st.booleans())
        workers.append(worker)
    workers[0].role.start()
    actions = st.sampled_from(
        ["step", "step", "step", "release", "release last", "rebalance", "lose", "join", "pause", "commit"]
    )
    joined = 1
    for action in data.draw(st.lists(actions, max_size=60)):
        worker = workers[data.draw(st.integers(0, joined - 1))]
        if action == "step":
            worker.step()
        elif action.startswith("release") and worker.model.waiting:
            worker.model.release(worker.model.waiting - 1 if action == "release last" else 0)
        elif action in {"rebalance", "lose"}:
            broker.rebalance(GROUP, lost=action == "lose")
        elif action == "join" and joined == 1:
            workers[1].role.start()
            joined = 2
        elif action == "pause":
            worker.now_s += 6
        elif action == "commit":
            worker.commits.finish()
    together(broker, *workers[:joined])
    assert view(broker) == view(fault_free())


def test_a_full_worker_pauses_and_resumes() -> None:
    """Past `max_pending` nothing more is read, and nothing dropped; when half is done, reading goes on."""
    broker = only(*(body(f"text {number}") for number in range(40)))
    worker = Worker(broker, FakeModel(manual=True), max_pending=10, in_flight=1, commit_messages=1)
    worker.role.start()
    worker.step(20)
    worker.now_s += 1
    worker.step()
    assert worker.source.paused == {TopicPartition("news", 0), TopicPartition("news", 1), TopicPartition("chat", 0)}
    assert worker.role.counts.messages == 10
    worker.model.release()
    worker.step(2)
    assert worker.source.paused
    for _ in range(2):
        worker.model.release()
        worker.step(2)
    assert worker.role.counts.messages > 10
    worker.work_off(broker)
    assert [prediction.id for prediction in predictions(broker)] != []
    assert len(broker.records(PREDICTIONS)) == 40


def test_a_full_worker_that_soon_has_room_pauses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fetched of a paused partition is lost, and fetched again: for a moment the worker just does not poll."""
    broker = only(*(body(f"text {number}") for number in range(40)))
    worker = Worker(broker, FakeModel(manual=True), max_pending=10, in_flight=1, commit_messages=1)
    poll = Mock(side_effect=worker.source.poll)
    monkeypatch.setattr(worker.source, "poll", poll)
    worker.role.start()
    worker.step(20)
    assert (worker.role.holding, worker.role.counts.messages) == ("too_many_messages", 10)
    asked = poll.call_count
    worker.now_s += 0.5
    worker.step(5)
    assert (poll.call_count, worker.source.paused) == (asked, frozenset())
    while worker.role.holding:
        worker.model.release()
        worker.step(2)
    assert (worker.role.counts.messages > 10, worker.source.paused) == (True, frozenset())
    worker.work_off(broker)
    assert len(broker.records(PREDICTIONS)) == 40


def test_a_full_worker_stays_full_through_a_rebalance() -> None:
    """New partitions come unpaused, and a rebalance may resume the old ones; a full worker pauses them all again."""
    broker = filled()
    worker = Worker(broker, FakeModel(manual=True), max_pending=6, in_flight=1)
    worker.role.start()
    worker.step(10)
    worker.now_s += 1
    in_hand = worker.role.counts.messages
    for _ in range(5):
        broker.rebalance(GROUP)
        worker.step(3)
    assert worker.source.paused == frozenset(worker.source._positions)
    assert worker.role.counts.messages <= max(in_hand, 6) + 5


@pytest.mark.parametrize("max_pending", [1, 2, 3])
def test_the_smallest_bounds_hold(max_pending: int) -> None:
    """Never more in hand than allowed, and never stuck."""
    broker = filled()
    worker = Worker(broker, max_pending=max_pending)
    worker.role.start()
    for _ in range(30):
        worker.step()
        assert len(worker.role._progress) <= max_pending
    worker.work_off(broker)
    assert view(broker) == view(fault_free())


@pytest.mark.parametrize("calls", [(0,), (0, 1, 2, 3, 4), (2, 5, 7)])
def test_a_model_that_comes_back_loses_nothing(calls: tuple[int, ...]) -> None:
    """While it is away messages wait; the worker polls on, and nothing is sent to dead letters."""
    broker = filled()
    (worker,) = started(broker, FakeModel(failure=away(*calls)))
    worker.work_off(broker)
    assert view(broker) == view(fault_free())


def not_finite(value: float) -> LogitsOf:
    """Logits that are no numbers for texts of three words."""
    return lambda ids: [value, 0.0, 1.0] if len(ids) == 3 else hashed_logits(ids)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_text_that_the_model_cannot_score_is_a_dead_letter(value: float) -> None:
    """Its neighbours in the batch are scored as ever; the record is kept byte for byte with the reason."""
    odd = body("one two three", id="odd")
    entries: list[Entry] = [("news", value, 0) for value in (body("one two", id="a"), odd, body("one two 3 4", id="b"))]
    broker = fault_free(entries, not_finite(value))
    assert sorted(prediction.id for prediction in predictions(broker)) == ["a", "b"]
    (letter,) = broker.records(DEAD)
    assert letter.value == odd
    assert dict(letter.headers)["tidings.reason"] == b"model_output_invalid"


def test_logits_near_the_largest_float_are_numbers() -> None:
    """Each logit is finite, though their sum is not."""
    huge = float(np.finfo(np.float32).max)
    broker = fault_free([("news", body("big"), 0)], lambda _ids: [huge, huge, -huge])
    assert len(broker.records(PREDICTIONS)) == 1


def test_a_repeat_takes_the_known_score() -> None:
    """The model sees a text once; every later message says whose repeat it is, with the very same probabilities."""
    values = [body("Acme fell", id="first"), body("Acme  fell", id="second"), body("Acme fell", id="third", source="wire")]
    broker = only(*values)
    (worker,) = started(broker, FakeModel())
    worker.work_off(broker)
    broker.send("news", body("Acme fell", id="fourth"))
    worker.work_off(broker)
    by_id = {prediction.id: prediction for prediction in predictions(broker)}
    assert {name: p.duplicate_of for name, p in by_id.items()} == {
        "first": None,
        "second": "first",
        "third": "first",
        "fourth": "first",
    }
    assert len({p.probabilities for p in by_id.values()}) == 1
    assert worker.role.counts.duplicates == 3
    assert sum(shape[0] for shape in worker.model.shapes) <= 3
    assert {decode_signal(r.value).duplicate_of for r in broker.records(SIGNALS)} == {None, "first"}


def test_a_near_duplicate_names_the_first_and_has_a_sentiment_of_its_own() -> None:
    """The model sees it, for it may say the opposite; its signal says whose repeat it is, as its prediction does."""
    story = "Acme said that it would close its oldest plant in Ohio by spring"
    broker = only(body(story, id="first"), body(story.replace("would", "would not"), id="second"))
    (worker,) = started(broker, FakeModel())
    worker.work_off(broker)
    first, second = predictions(broker)
    assert (first.duplicate_of, second.duplicate_of) == (None, "first")
    assert first.probabilities != second.probabilities
    assert sum(shape[0] for shape in worker.model.shapes) >= 2
    assert [decode_signal(r.value).duplicate_of for r in broker.records(SIGNALS)] == [None, "first"]


def test_an_abort_makes_no_duplicates() -> None:
    """Records that are read again are not repeats of themselves."""
    values = [body(text, id=f"id-{number}") for number, text in enumerate(["a", "b", "a", "c", "b"])]
    entries: list[Entry] = [("news", value, 0) for value in values]
    broker = filled(entries)
    worker = Worker(broker, sink=Script(broker, {0: "abort", 1: "abort"}))
    worker.role.start()
    worker.work_off(broker)
    assert view(broker) == view(fault_free(entries))
    assert {p.id: p.duplicate_of for p in predictions(broker)} == {
        "id-0": None,
        "id-1": None,
        "id-2": "id-0",
        "id-3": None,
        "id-4": "id-1",
    }


class Stopping(Worker):
    """Sets `stop` after so many looks at the clock; from then on the model answers one batch per look, or never."""

    def __init__(self, broker: InMemoryBroker, looks: int, *, answers: bool) -> None:
        super().__init__(broker, FakeModel(manual=True), drain_timeout_s=2.0)
        self.stop = Event()
        self._looks = looks
        self._answers = answers
        self.role._monotonic = self._look
        self.role._inference._monotonic = self._look

    def _look(self) -> float:
        self.now_s += 0.01
        self._looks -= 1
        if self._looks <= 0:
            self.stop.set()
            if self._answers and self.model.waiting:
                self.model.release()
        return self.now_s


@pytest.mark.parametrize("looks", [1, 6, 12, 40])
def test_a_stop_publishes_what_is_in_hand(looks: int) -> None:
    """Everything that was read is finished and committed, nothing new is read, and the next worker goes on from there."""
    broker = filled()
    worker = Stopping(broker, looks, answers=True)
    worker.role.run(worker.stop)
    assert worker.role.idle
    assert sum(committed(broker).values()) == worker.role.counts.messages
    worker.source.close()
    (second,) = started(broker, FakeModel())
    second.work_off(broker)
    assert view(broker) == view(fault_free())


class Hastened(Stopping):
    """A worker that is hastened as it is asked to stop."""

    def __init__(self, broker: InMemoryBroker, looks: int) -> None:
        super().__init__(broker, looks, answers=False)
        self.role.hasten()


def test_a_stop_in_haste_drops_what_is_in_hand() -> None:
    """No waiting for the model: what is done is published as the source is closed, the next worker reads the rest again."""
    broker = filled()
    worker = Hastened(broker, 30)
    worker.role.run(worker.stop)
    assert worker.now_s < 1_000 + 20
    assert worker.role.in_hand > 0
    worker.source.close()
    (second,) = started(broker, FakeModel())
    second.work_off(broker)
    assert view(broker) == view(fault_free())


def test_a_stop_waits_only_so_long() -> None:
    """A model that does not answer keeps nobody from leaving; what was in hand is read again by the next worker."""
    broker = filled()
    worker = Stopping(broker, 30, answers=False)
    worker.role.run(worker.stop)
    assert not worker.role.idle
    worker.source.close()
    (second,) = started(broker, FakeModel())
    second.work_off(broker)
    assert view(broker) == view(fault_free())


class Fallible(InMemorySource):
    """Raises what it is told to, once each."""

    def __init__(self, broker: InMemoryBroker) -> None:
        super().__init__(broker, GROUP)
        self.poll_errors: list[Exception] = []
        self.rewind_errors: list[Exception] = []

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """See `ports.Source`."""
        if self.poll_errors:
            raise self.poll_errors.pop()
        return super().poll(max_records, timeout_s)

    def rewind(self, partitions: Sequence[TopicPartition]) -> None:
        """See `ports.Source`."""
        if self.rewind_errors:
            raise self.rewind_errors.pop()
        super().rewind(partitions)


def fallible(broker: InMemoryBroker, failures: dict[int, Literal["abort", "fatal"]] | None = None) -> tuple[Worker, Fallible]:
    """A worker over a source that fails when told."""
    worker = Worker(broker, sink=Script(broker, failures))
    source = Fallible(broker)
    worker.source = source
    worker.role._ports = ScorePorts(source, worker.sink, worker.model)
    worker.role.start()
    return worker, source


def test_a_broker_that_is_away_for_a_while_is_asked_again() -> None:
    """Reading that fails in a way that may pass is tried again in the next round."""
    broker = filled()
    worker, source = fallible(broker)
    source.poll_errors = [RetryableError("the broker is away")] * 3
    worker.work_off(broker)
    assert view(broker) == view(fault_free())


def test_a_source_that_cannot_go_on_ends_the_worker() -> None:
    """FatalError is not for the loop to swallow."""
    worker, source = fallible(filled())
    source.poll_errors = [FatalError("out of the group")]
    with pytest.raises(FatalError, match="out of the group"):
        worker.step()


@pytest.mark.parametrize("failures", [1, 5])
def test_rewinding_is_tried_again(failures: int) -> None:
    """The committed offsets may be out of reach for a while after an abort: polling goes on, and nothing is taken meanwhile."""
    broker = filled()
    worker, source = fallible(broker, {0: "abort"})
    source.rewind_errors = [RetryableError("away")] * failures
    worker.work_off(broker)
    assert view(broker) == view(fault_free())


def test_while_rewinding_the_group_is_kept_and_nothing_taken() -> None:
    """Partitions that a rebalance brings in the meantime are paused too, and rewound with the others."""
    broker = filled()
    worker, source = fallible(broker, {0: "abort"})
    source.rewind_errors = [RetryableError("away")] * 1_000
    worker.step(20)
    assert worker.role.counts.aborted == 1
    taken = worker.role.counts.messages
    broker.rebalance(GROUP)
    worker.step(20)
    assert (worker.role.holding, worker.role.counts.messages) == ("rewinding", taken)
    assert source.paused == frozenset(source._positions)
    source.rewind_errors = []
    worker.work_off(broker)
    assert view(broker) == view(fault_free())


def test_a_worker_that_leaves_rewinds_nothing() -> None:
    """The last transaction may be rolled back as the partitions go: there is nothing to read again, and nobody to ask."""
    broker = only(b"5", body("later"))
    worker, source = fallible(broker, {0: "abort"})
    worker.role._accept(worker.role._read())
    source.rewind_errors = [AssertionError("rewound while leaving")]
    source.close()
    assert worker.role.counts.aborted == 1
    (second,) = started(broker, FakeModel())
    second.work_off(broker)
    assert view(broker) == view(fault_free([("news", b"5", 0), ("news", body("later"), 0)]))


def test_rewinding_that_never_works_ends_the_worker() -> None:
    """To read on from anywhere else would lose or double messages; two minutes are given to it."""
    worker, source = fallible(filled(), {0: "abort"})
    source.rewind_errors = [RetryableError("away")] * 1_000
    worker.step(20)
    worker.now_s += 119
    worker.step()
    worker.now_s += 10
    with pytest.raises(FatalError, match="committed offsets could not be read"):
        worker.step()


def test_a_poll_that_failed_loses_nothing() -> None:
    """A real consumer may have passed over records as it failed: they are read again."""
    broker = filled()
    worker, source = fallible(broker)
    worker.step()
    worker.source._positions = {partition: len(broker.logs[partition]) for partition in worker.source._positions}
    source.poll_errors = [RetryableError("in the middle of a poll")]
    worker.work_off(broker)
    assert view(broker) == view(fault_free())


def test_the_kind_is_that_of_the_topic_unless_the_message_says() -> None:
    """Options map each input topic to its kind."""
    broker = filled(
        [("chat", body("a", id="a"), 0), ("news", body("b", id="b", kind="chat"), 0), ("news", body("c", id="c"), 1)]
    )
    (worker,) = started(broker, FakeModel())
    worker.work_off(broker)
    assert {p.id: p.kind for p in predictions(broker)} == {"a": "chat", "b": "chat", "c": "news"}


@pytest.mark.parametrize(
    ("options", "steps"),
    [({"commit_interval_s": 0.05, "commit_messages": 1_000}, 8), ({"commit_interval_s": 60.0, "commit_messages": 4}, 3)],
)
def test_what_is_done_is_published_by_time_or_by_count(options: dict[str, Any], steps: int) -> None:
    """Behind a slow batch, finished messages do not wait for it: they leave at the interval, or when there are enough."""
    broker = filled([("news", b"5", 0)] * 4 + [("chat", body("slow"), 0)])
    worker = Worker(broker, FakeModel(manual=True), **options)
    worker.role.start()
    worker.step(steps)
    assert committed(broker) == {TopicPartition("news", 0): 4}
    assert worker.model.waiting == 1


@pytest.mark.parametrize(("max_pending", "steps"), [(100, 12), (5, 32)])
def test_a_worker_that_is_behind_commits_less_often(max_pending: int, steps: int) -> None:
    """What comes waits for a full worker's hands anyway: five intervals pass before finished messages leave."""
    broker = filled([("news", b"5", 0)] * 4 + [("chat", body("slow"), 0)])
    worker = Worker(broker, FakeModel(manual=True), commit_interval_s=0.1, commit_messages=1_000, max_pending=max_pending)
    worker.role.start()
    worker.step(steps - 3)
    assert committed(broker) == {}
    worker.step(30)
    assert committed(broker) == {TopicPartition("news", 0): 4}


def test_counts_add_up() -> None:
    """Messages are predictions and dead letters; padding is what was sent beyond tokens."""
    broker = filled()
    (worker,) = started(broker, FakeModel())
    worker.work_off(broker)
    counts = worker.role.counts
    assert counts.messages == counts.predictions + counts.dead_letters == len(stream())
    assert counts.signals == len(broker.records(SIGNALS))
    assert counts.batches == len(worker.model.shapes)
    assert counts.padded == sum(texts * tokens for texts, tokens in worker.model.shapes)
    assert 0 < counts.tokens <= counts.padded
    assert counts.ceiling_s == 0


def test_the_ceiling_of_what_was_scored_is_added_up() -> None:
    """Whatever the padding: by a cost of a second a token alone it is the tokens."""
    broker = filled()
    worker = Worker(broker, limits=msgspec.structs.replace(LIMITS, cost=(0.0, 1.0, 0.0)))
    worker.role.start()
    worker.work_off(broker)
    assert worker.role.counts.ceiling_s == worker.role.counts.tokens > 0


def test_predictions_are_json_for_anyone() -> None:
    """A consumer without our code reads them."""
    for record in fault_free().records(PREDICTIONS):
        prediction = json.loads(record.value or b"")
        assert record.key == prediction["id"].encode()
        assert sum(prediction["probabilities"].values()) == pytest.approx(1)
        assert prediction["score"] == pytest.approx(
            prediction["probabilities"]["positive"] - prediction["probabilities"]["negative"]
        )
