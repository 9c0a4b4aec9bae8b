"""The plan: real texts, each once, in an order that tells the story."""

import json
from collections import Counter
from itertools import pairwise

import pytest

from deploy.local.demo.flaws import flaws, odd_messages
from deploy.local.demo.plan import Material, Pace, Phase, Planned, Story, capacity, make_plan, sort_material
from tests.unit.deploy.demo.builders import START_MS, a_snippet, snippets

STORY = Story()
PACE = Pace(messages=600, rate_per_s=50.0, start_ms=START_MS)
FLAWS = flaws(1_000)


def about_film(text: str) -> bool:
    """The stand-in for the matcher."""
    return "film" in text


@pytest.fixture(scope="module")
def material() -> Material:
    """Enough texts for the plan."""
    return sort_material(snippets(3_000), about_film, seed=1)


@pytest.fixture(scope="module")
def plan(material: Material) -> list[Planned]:
    """The plan under test."""
    return make_plan(material, PACE, STORY, FLAWS, seed=1)


def film(plan: list[Planned], phase: Phase) -> Counter[str]:
    """Ratings of the texts on film in a phase."""
    return Counter(p.rated for p in plan if p.rated and p.phase is phase and about_film(p.body.decode()))


def test_counts(plan: list[Planned]) -> None:
    """As many messages as asked for, and every flaw once on top."""
    assert sum(planned.id is not None for planned in plan) == PACE.messages
    assert [planned.flaw for planned in plan if planned.flaw] == [flaw.name for flaw in FLAWS]


def test_no_id_and_no_text_twice(plan: list[Planned]) -> None:
    """Ids and texts are different, so that the worker takes none for a repeat."""
    named = [planned for planned in plan if planned.id]
    assert len({planned.id for planned in named}) == len(named)
    assert len({json.loads(planned.body)["text"] for planned in named}) == len(named)


def test_same_seed_same_plan(material: Material, plan: list[Planned]) -> None:
    """The seed decides, and nothing else."""
    assert make_plan(material, PACE, STORY, FLAWS, seed=1) == plan
    assert make_plan(material, PACE, STORY, FLAWS, seed=2) != plan


def test_the_watched_topic_turns_and_recovers(plan: list[Planned]) -> None:
    """All of it is negative in the bad phase, a small part of it before and after."""
    assert film(plan, Phase.BAD).keys() == {"negative"}
    for phase in (Phase.CALM, Phase.RECOVERY):
        ratings = film(plan, phase)
        assert 0 < ratings["negative"] / ratings.total() < 0.4


def test_sending_times_keep_the_pace(plan: list[Planned]) -> None:
    """Times and phases never go back, and the last time is what the rate says."""
    times = [planned.at_s for planned in plan]
    phases = [planned.phase for planned in plan]
    assert times == sorted(times)
    assert phases == sorted(phases, key=list(Phase).index)
    assert 0 <= times[0] <= times[-1] <= PACE.duration_s


def test_event_time_ends_with_the_replay(plan: list[Planned]) -> None:
    """The story's minutes of event time end when the replay ends, so that none of them lies in the future."""
    stamps = [json.loads(planned.body)["published_at"] for planned in plan if planned.rated]
    end_ms = START_MS + PACE.duration_s * 1000
    assert stamps == sorted(stamps)
    assert stamps[0] == end_ms - STORY.minutes * 60_000
    assert end_ms - 60_000 < stamps[-1] <= end_ms


def test_tweets_are_chat_and_the_rest_is_news(plan: list[Planned]) -> None:
    """The kind follows the source."""
    kinds = {(json.loads(planned.body)["source"], planned.kind) for planned in plan if planned.rated}
    assert kinds == {("tweets", "chat"), ("nyt", "news")}


def test_bad_input_is_spread() -> None:
    """Extras stand at even distances, none of them at the ends."""
    lonely = make_plan(sort_material(snippets(3_000), about_film, 1), PACE, STORY, FLAWS, seed=1)
    extras = [planned.at_s for planned in lonely if planned.rated is None]
    gaps = {round(later - sooner, 6) for sooner, later in pairwise(extras)}
    assert len(extras) == len(FLAWS) + len(odd_messages())
    assert len(gaps) == 1
    assert extras[0] > 0


def test_held_out_texts_come_first() -> None:
    """Texts that the model was trained on are drawn last."""
    sorted_out = sort_material(snippets(300), about_film, seed=1)
    for texts in (sorted_out.watched_negative, sorted_out.watched_other, sorted_out.background):
        splits = [text.split for text in texts]
        assert splits == sorted(splits)


def test_a_repeated_text_is_taken_once() -> None:
    """Texts that differ in case and punctuation alone count as one."""
    repeated = [a_snippet(1, text="The film!"), a_snippet(2, text="the film"), a_snippet(3, text="another film")]
    sorted_out = sort_material(repeated, about_film, seed=1)
    assert len(sorted_out.watched_other) == 2


def test_capacity_is_enough(material: Material) -> None:
    """The largest plan that capacity allows can be made, for many seeds."""
    most = capacity(material, STORY)
    for seed in range(20):
        pace = Pace(most, 50.0, START_MS)
        assert len(make_plan(material, pace, STORY, (), seed)) == most


@pytest.mark.parametrize(("minute", "phase"), [(0, "calm"), (12.9, "calm"), (13, "bad"), (24, "recovery"), (39, "recovery")])
def test_phases(minute: float, phase: str) -> None:
    """A phase begins at its minute."""
    assert STORY.phase(minute) == phase
