import numpy as np
import pytest
from numpy.typing import NDArray

from worker.score.matching import WatchedTopic
from worker.score.meaning import Meaning, Vectors, calibrated, passages

DIMENSIONS = 32
FLOODS = WatchedTopic(name="floods", description="Water where it should not be.")
TRAINS = WatchedTopic(name="trains", description="Trains that do not run.", threshold=0.5)


def unit(vectors: NDArray[np.float64]) -> Vectors:
    """The vectors at length 1, as the model gives them."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def around(direction: int, count: int, *, seed: int = 0, common: float = 0.0) -> Vectors:
    """Texts whose meaning lies around one axis; `common` is what all texts have in common."""
    noise = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)) * 0.4
    noise[:, direction] += 5.0
    noise[:, -1] += common
    return unit(noise)


def anything(count: int, *, seed: int = 1, common: float = 0.0) -> Vectors:
    """Texts of all kinds."""
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSIONS))
    vectors[:, -1] += common
    return unit(vectors)


def ready(*, share: float = 0.02, common: float = 0.0) -> Meaning:
    """Both topics, calibrated on a thousand texts."""
    own = [around(0, 3, common=common), around(1, 3, common=common)]
    return calibrated((FLOODS, TRAINS), own, anything(1_000, common=common), share)


@pytest.mark.parametrize("common", [0.0, 3.0, 30.0])
def test_a_text_belongs_to_the_topics_whose_meaning_is_its_own(common: float) -> None:
    """Whatever all texts have in common, which alone would make any two of them similar."""
    meaning = ready(common=common)
    assert [set(topics) for topics in meaning.find(around(0, 20, seed=7, common=common))] == [{"floods"}] * 20
    assert [set(topics) for topics in meaning.find(around(1, 20, seed=8, common=common))] == [{"trains"}] * 20
    assert [set(topics) for topics in meaning.find(around(2, 20, seed=9, common=common))] == [set()] * 20


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_a_topic_takes_in_the_stated_share_of_the_background(share: float) -> None:
    """Its threshold follows from that."""
    meaning, background = ready(share=share), anything(1_000)
    floods, _ = meaning.thresholds
    found = sum("floods" in topics for topics in meaning.find(background))
    assert found == pytest.approx(share * 1_000, abs=1)
    assert floods.share == pytest.approx(found / 1_000)
    assert not floods.is_given


def test_a_threshold_that_is_given_is_kept() -> None:
    """And it is told what it takes in of the background."""
    _, trains = ready().thresholds
    assert (trains.topic, trains.threshold, trains.is_given) == ("trains", 0.5, True)
    assert trains.share < 0.02


def test_similarities_are_cosines_of_those_that_pass() -> None:
    """From the threshold to 1, and each text has its own, whatever stands beside it."""
    meaning, texts = ready(), around(0, 50, seed=4)
    together = meaning.find(texts)
    assert all(meaning.thresholds[0].threshold <= topics["floods"] <= 1 for topics in together)
    assert [meaning.find(texts[index : index + 1])[0] for index in range(50)] == together


def test_a_text_without_any_meaning_of_its_own_belongs_nowhere() -> None:
    """One that is the background's mean has no direction; that is no division by zero."""
    background = anything(1_000)
    meaning = calibrated((FLOODS,), [around(0, 3)], background, 0.02)
    assert meaning.find(background.mean(axis=0, keepdims=True)) == [{}]
    assert meaning.find(np.empty((0, DIMENSIONS), np.float32)) == []
    assert meaning.dimensions == DIMENSIONS


def test_a_topics_passages_are_its_description_and_its_examples() -> None:
    """In this order; keywords are none of it."""
    topic = WatchedTopic(name="floods", keywords=("flood",), description="Water.", examples=("The river rose.", "It rains."))
    assert passages(topic) == ("Water.", "The river rose.", "It rains.")
