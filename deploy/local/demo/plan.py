"""What is sent and when: real texts, arranged so that one watched topic turns bad and recovers. Pure.

The texts are what people wrote and the ratings what people gave; only the order, and with it the time, is arranged. The
texts that the model was not trained on come first; more messages than there are of those draw on its training texts.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from deploy.local.demo.flaws import Flaw, odd_messages
from training.data import Snippet, Source, Split, normalise


class Phase(StrEnum):
    """The part of the story that a message belongs to."""

    CALM = "calm"
    BAD = "bad"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Story:
    """How the watched topic fares over `minutes` of event time.

    Attributes:
        topic: the name of the topic in the watchlist.
        turns_at: the minute from which every text on it is one that people rated negative.
        recovers_at: the minute from which it is as it was.
        share: the share of all messages that are about it.
        grumbling: the share of negative ones among those while nothing is wrong.
    """

    topic: str = "film"
    minutes: float = 40.0
    turns_at: float = 13.0
    recovers_at: float = 24.0
    share: float = 1 / 6
    grumbling: float = 0.2

    def phase(self, minute: float) -> Phase:
        """Return the phase at a minute of event time."""
        if minute < self.turns_at:
            return Phase.CALM
        return Phase.BAD if minute < self.recovers_at else Phase.RECOVERY


@dataclass(frozen=True, slots=True)
class Pace:
    """How many messages go out at what rate, in seconds of wall clock from `start_ms` (epoch) on."""

    messages: int
    rate_per_s: float
    start_ms: int

    @property
    def duration_s(self) -> float:
        """How long the replay takes."""
        return self.messages / self.rate_per_s

    def event_time_ms(self, share: float, minutes: float) -> int:
        """Return the event time when `share` of the replay is done: `minutes` of it, ending when the replay ends."""
        return int(self.start_ms + self.duration_s * 1000 - (1 - share) * minutes * 60_000)


@dataclass(frozen=True, slots=True)
class Planned:
    """One record to be sent `at_s` seconds into the replay to the input topic of `kind`.

    `id` is None and `flaw` says what is wrong where the body is no message. `rated` is the label that people gave the text.
    """

    id: str | None
    kind: str
    body: bytes
    at_s: float
    phase: Phase
    rated: str | None = None
    flaw: str | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """The texts to draw from, in the order of drawing."""

    watched_negative: Sequence[Snippet]
    watched_other: Sequence[Snippet]
    background: Sequence[Snippet]


def sort_material(snippets: Sequence[Snippet], watched: Callable[[str], bool], seed: int) -> Material:
    """Sort by what `watched` says of each text and by rating; without repeats, shuffled, held-out texts first."""
    unique = list({normalise(snippet.text): snippet for snippet in snippets}.values())
    random.Random(seed).shuffle(unique)  # noqa: S311 - an order to show, not a secret
    unique.sort(key=lambda snippet: snippet.split is Split.TRAIN)
    about = [(snippet, watched(snippet.text)) for snippet in unique]
    return Material(
        [s for s, hit in about if hit and s.label == "negative"],
        [s for s, hit in about if hit and s.label != "negative"],
        [s for s, hit in about if not hit],
    )


def make_plan(material: Material, pace: Pace, story: Story, bad_input: Sequence[Flaw], seed: int) -> list[Planned]:
    """Return every record in order of sending; the same arguments give the same plan.

    `pace.messages` counts the texts and odd messages; bad input comes on top, spread evenly.
    """
    odd = odd_messages()
    texts = pace.messages - len(odd)
    chosen = _choose(material, texts, story, random.Random(seed))  # noqa: S311
    plan = [_planned(snippet, number / texts, pace, story) for number, snippet in enumerate(chosen)]
    extras = [_odd(body) for body in odd] + [_flawed(flaw) for flaw in bad_input]
    return _spread(plan, extras, pace, story)


def _choose(material: Material, count: int, story: Story, rng: random.Random) -> Iterator[Snippet]:
    negative, other, background = map(iter, (material.watched_negative, material.watched_other, material.background))
    for number in range(count):
        phase = story.phase(number / count * story.minutes)
        if rng.random() >= story.share:
            yield next(background)
        elif phase is Phase.BAD or rng.random() < story.grumbling:
            yield next(negative)
        else:
            yield next(other)


def capacity(material: Material, story: Story) -> int:
    """Return how many messages can be made without a text being sent twice, with a margin for the luck of the draw."""
    bad = (story.recovers_at - story.turns_at) / story.minutes
    negative = bad + (1 - bad) * story.grumbling
    limits = (
        len(material.watched_negative) / (story.share * negative),
        len(material.watched_other) / (story.share * (1 - negative)),
        len(material.background) / (1 - story.share),
    )
    return int(0.9 * min(limits))


def _planned(snippet: Snippet, share: float, pace: Pace, story: Story) -> Planned:
    event_time_ms = pace.event_time_ms(share, story.minutes)
    body = {"id": snippet.id, "text": snippet.text, "source": snippet.source.value, "published_at": event_time_ms}
    return Planned(
        id=snippet.id,
        kind="chat" if snippet.source is Source.TWEETS else "news",
        body=json.dumps(body, ensure_ascii=False).encode(),
        at_s=share * pace.duration_s,
        phase=story.phase(share * story.minutes),
        rated=snippet.label,
    )


def _odd(body: dict[str, object]) -> Planned:
    return Planned(str(body["id"]), "chat", json.dumps(body).encode(), 0.0, Phase.CALM)


def _flawed(flaw: Flaw) -> Planned:
    return Planned(None, "news", flaw.body, 0.0, Phase.CALM, flaw=flaw.name)


def _spread(plan: Sequence[Planned], extras: Sequence[Planned], pace: Pace, story: Story) -> list[Planned]:
    """Put the extras between the others at even distances."""
    shares = [(number + 1) / (len(extras) + 1) for number in range(len(extras))]
    placed = [
        replace(extra, at_s=share * pace.duration_s, phase=story.phase(share * story.minutes))
        for extra, share in zip(extras, shares, strict=True)
    ]
    return sorted([*plan, *placed], key=lambda planned: planned.at_s)
