"""A training split with more to learn from: disturbed copies and behavioural templates beside the rated snippets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.augment.perturb import augment
from training.augment.templates import Behaviour, behavioural
from training.data import Snippet, Source, Split, label_of


@dataclass(frozen=True, slots=True)
class Enlargement:
    """How much is added to a training split, and the seed that draws it."""

    disturbed_share: float = 0.25
    """Disturbed copies, as a share of the rated snippets."""
    behavioural: int = 5000
    """Sentences from templates."""
    seed: int = 7


def enlarge(snippets: Sequence[Snippet], how: Enlargement) -> list[Snippet]:
    """Return the snippets, disturbed copies of a share of them, and behavioural sentences, in that order."""
    made = [_snippet(n, behaviour) for n, behaviour in enumerate(behavioural(how.behavioural, how.seed))]
    return [*snippets, *augment(snippets, how.disturbed_share, how.seed), *made]


def _snippet(number: int, behaviour: Behaviour) -> Snippet:
    """A sentence of a template has no source; tweets are nearest to it, and training looks at text and rating alone."""
    name = f"behaviour-{number}"
    label = label_of(behaviour.rating)
    return Snippet(name, Source.TWEETS, name, behaviour.text, behaviour.rating, label, Split.TRAIN)
