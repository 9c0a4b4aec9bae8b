import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from worker.messages import OutRecord, TopicPartition
from worker.score.progress import Progress

A, B = TopicPartition("news", 0), TopicPartition("news", 1)


def out(partition: TopicPartition, offset: int) -> OutRecord:
    """What the message at this place produced."""
    return OutRecord("out", None, f"{partition.partition}-{offset}".encode())


def begun(*offsets: int) -> Progress:
    """Messages of one partition in hand."""
    progress = Progress()
    for offset in offsets:
        progress.begin(A, offset)
    return progress


def test_what_is_finished_behind_a_gap_waits() -> None:
    """Offsets are given out up to the first unfinished message, and as the next one to read."""
    progress = begun(5, 6, 7)
    progress.finish(A, 6, [out(A, 6)])
    assert progress.take() == ([], {})
    progress.finish(A, 5, [out(A, 5)])
    assert progress.take() == ([out(A, 5), out(A, 6)], {A: 7})
    assert (len(progress), progress.finished) == (1, 0)


def test_offsets_may_have_gaps() -> None:
    """Transaction markers take offsets; the next one to read is the last done plus one, not the next in hand."""
    progress = begun(5, 9, 30)
    for offset in (5, 9):
        progress.finish(A, offset, ())
    assert progress.take() == ([], {A: 10})


def test_a_message_that_produced_nothing_is_done_all_the_same() -> None:
    """No outputs is an outcome; its offset counts."""
    progress = begun(5)
    progress.finish(A, 5, ())
    assert progress.finished == 1
    assert progress.take() == ([], {A: 6})


def test_a_second_answer_changes_nothing() -> None:
    """What a message produced first is what it produced."""
    progress = begun(5)
    progress.finish(A, 5, [out(A, 5)])
    progress.finish(A, 5, [out(A, 99)])
    assert progress.finished == 1
    assert progress.take()[0] == [out(A, 5)]


@pytest.mark.parametrize("place", [(A, 4), (A, 6), (B, 5)])
def test_an_answer_for_what_is_not_in_hand_is_ignored(place: tuple[TopicPartition, int]) -> None:
    """Its partition was lost or rewound meanwhile."""
    progress = begun(5)
    progress.finish(*place, [out(*place)])
    assert (progress.finished, progress.take()) == (0, ([], {}))


@pytest.mark.parametrize("offset", [4, 5])
def test_offsets_only_grow(offset: int) -> None:
    """A source that goes back without a rewind would make a commit skip messages; better to stop."""
    with pytest.raises(ValueError, match=f"news-0: offset {offset} after 5"):
        begun(5, offset)


def test_a_dropped_partition_begins_anew() -> None:
    """After a rewind the same offsets come again; other partitions keep what they have."""
    progress = begun(5, 6)
    progress.begin(B, 1)
    progress.finish(A, 5, [out(A, 5)])
    progress.finish(B, 1, [out(B, 1)])
    progress.drop([A, TopicPartition("unheard", 7)])
    assert (len(progress), progress.finished) == (1, 1)
    progress.begin(A, 5)
    assert progress.take() == ([out(B, 1)], {B: 2})


@given(st.permutations(range(8)))
def test_outputs_come_in_the_order_of_offsets(order: list[int]) -> None:
    """Whatever the order of the answers, what is published is in the order of the input, each once."""
    progress = begun(*range(8))
    published, committed = [], 0
    for offset in order:
        progress.finish(A, offset, [out(A, offset)])
        records, offsets = progress.take()
        published += records
        committed = offsets.get(A, committed)
        assert len(published) == committed
    assert published == [out(A, offset) for offset in range(8)]


class AgainstBruteForce(RuleBasedStateMachine):
    """Progress against a list of (partition, offset, done) that is searched from the start each time."""

    @initialize()
    def start(self) -> None:
        """Nothing in hand, nothing published."""
        self.progress = Progress()
        self.next_offset = {A: 0, B: 0}
        self.model: list[tuple[TopicPartition, int, bool]] = []

    @rule(partition=st.sampled_from([A, B]), gap=st.integers(0, 3))
    def begin(self, partition: TopicPartition, gap: int) -> None:
        """A record arrives, perhaps behind a marker."""
        offset = self.next_offset[partition] + gap
        self.next_offset[partition] = offset + 1
        self.progress.begin(partition, offset)
        self.model.append((partition, offset, False))

    @rule(partition=st.sampled_from([A, B]), offset=st.integers(0, 60))
    def finish_any(self, partition: TopicPartition, offset: int) -> None:
        """An answer arrives, late or for nothing in hand perhaps."""
        self.progress.finish(partition, offset, [out(partition, offset)])
        self.model = [(p, o, done or (p, o) == (partition, offset)) for p, o, done in self.model]

    @rule(data=st.data())
    def finish_one(self, data: st.DataObject) -> None:
        """An answer arrives for something in hand."""
        if self.model:
            self.finish_any(*data.draw(st.sampled_from(self.model))[:2])

    @rule()
    def take(self) -> None:
        """What may be published is published."""
        records, offsets = self.progress.take()
        waiting = {p: min((o for q, o, done in self.model if q == p and not done), default=1_000_000) for p in (A, B)}
        taken = [(p, o) for p, o, _ in self.model if o < waiting[p]]
        assert sorted(record.value for record in records) == sorted(out(*place).value for place in taken)  # type: ignore[type-var]
        assert offsets == {p: max(o for q, o in taken if q == p) + 1 for p in {p for p, _ in taken}}
        for partition in (A, B):
            mine = [record for record in records if (record.value or b"").startswith(f"{partition.partition}-".encode())]
            assert mine == [out(*place) for place in taken if place[0] == partition]
        self.model = [(p, o, done) for p, o, done in self.model if (p, o) not in taken]

    @rule(partition=st.sampled_from([A, B]), back=st.integers(0, 5))
    def drop(self, partition: TopicPartition, back: int) -> None:
        """The partition is lost, or rewound some way."""
        self.progress.drop([partition])
        self.model = [entry for entry in self.model if entry[0] != partition]
        self.next_offset[partition] = max(0, self.next_offset[partition] - back)

    @invariant()
    def counts(self) -> None:
        """What is in hand and what of it is done are counted right."""
        if hasattr(self, "model"):
            assert len(self.progress) == len(self.model)
            assert self.progress.finished == sum(done for _, _, done in self.model)


TestAgainstBruteForce = AgainstBruteForce.TestCase
