"""Sentences with a rating that follows from how they are built; what each family teaches is in its docstring."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.augment import words

STRONG, PLAIN, MILD, NONE = 2.6, 2.0, 1.0, 0.0
NOT_BAD = 0.5
"""What is "not bad" is praise for half the people who say it: the soft label lies between neutral and positive."""
_PLAIN_PERSONS = 0.6
"""How many sentences about people judge nobody."""
_GROUPS = (*words.GROUPS, "religion", "orientation")
"""These two are drawn twice as often: on them the model without it failed most of CheckList's fairness (22 and 8 %)."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A sentence, the rating in [-4, 4] that it was built to have, and the capability it teaches."""

    text: str
    rating: float
    capability: str


@dataclass(frozen=True, slots=True)
class Opinion:
    """A word with its sign: 1, -1, or 0 for a word that judges nothing."""

    word: str
    sign: int

    @property
    def rating(self) -> float:
        """Return what a plain sentence with this word is rated."""
        return PLAIN * self.sign

    @property
    def negated(self) -> float:
        """Return what a sentence that denies the word is rated."""
        return {1: -PLAIN, 0: NONE, -1: NOT_BAD}[self.sign]


Sentence = tuple[str, float]
Family = Callable[[random.Random], Sentence]


def behavioural(count: int, seed: int) -> list[Behaviour]:
    """Return `count` sentences, an equal share of each family, no text twice, in an order drawn by `seed`."""
    rng = random.Random(seed)  # noqa: S311 - drawn to be repeated, not to be secret
    found: dict[str, Behaviour] = {}
    share = -(-count // len(FAMILIES))
    for family in FAMILIES:
        for _ in range(share):
            text, rating = family(rng)
            found.setdefault(text, Behaviour(text, rating, family.__name__))
    drawn = list(found.values())
    rng.shuffle(drawn)
    return drawn[:count]


def vocabulary(rng: random.Random) -> Sentence:
    """A judging word judges, alone or in a sentence, and a word that judges nothing is neutral."""
    opinion = _opinion(rng)
    frames = (opinion.word, f"{_thing(rng)} is {opinion.word}.", f"It was {_a(opinion.word)} {rng.choice(words.THINGS)}.")
    return rng.choice((*frames, f"{_thing(rng)} was {opinion.word}")), opinion.rating


def verbs(rng: random.Random) -> Sentence:
    """Liking is positive, disliking negative, seeing neither."""
    sign = rng.choice((1, 0, -1))
    verb = rng.choice({1: words.LIKING, 0: words.WATCHING, -1: words.DISLIKING}[sign])
    denied = rng.random() < 0.4
    text = f"I {rng.choice(('do not', 'never')) + ' ' if denied else ''}{verb} {_lower_thing(rng)}."
    return text, Opinion(verb, sign).negated if denied else PLAIN * sign


def degrees(rng: random.Random) -> Sentence:
    """A strengthener makes a judgement stronger, a weakener makes it weaker, never another."""
    opinion = _opinion(rng, (1, -1))
    strong = rng.random() < 0.5
    degree = rng.choice(words.STRENGTHENERS if strong else words.WEAKENERS)
    return f"{_thing(rng)} is {degree} {opinion.word}.", (STRONG if strong else MILD) * opinion.sign


def negations(rng: random.Random) -> Sentence:
    """A denied judgement turns, near the word or far from it; a denied word that judges nothing stays neutral."""
    opinion = _opinion(rng)
    aside, thing = rng.choice(words.ASIDES), _lower_thing(rng)
    frames = (
        f"{thing.capitalize()} is not {opinion.word}.",
        f"{thing.capitalize()} isn't {opinion.word} at all.",
        f"I wouldn't say, {aside}, that {thing} was {opinion.word}.",
        f"I don't think, {aside}, that {thing} is {opinion.word}.",
        f"It is never {_a(opinion.word)} {rng.choice(words.THINGS)}.",
        f"Nobody would call {thing} {opinion.word}.",
    )
    return rng.choice(frames), opinion.negated


def hopes(rng: random.Random) -> Sentence:
    """What was expected and did not come counts as its denial."""
    opinion = _opinion(rng)
    thing = _lower_thing(rng)
    frames = (
        f"I expected {thing} to be {opinion.word}, but it wasn't.",
        f"I hoped for {_a(opinion.word)} {rng.choice(words.THINGS)} and did not get one.",
        f"They said {thing} would be {opinion.word}, and it was not.",
        f"I was sure that {thing} would be {opinion.word}, but it is not.",
    )
    return rng.choice(frames), opinion.negated


def times(rng: random.Random) -> Sentence:
    """Now outweighs then."""
    opinion, other = _opinion(rng), _opinion(rng)
    thing = _lower_thing(rng)
    frames = (
        f"I used to find {thing} {other.word}, but now I find it {opinion.word}.",
        f"{thing.capitalize()} was {other.word} last year; today it is {opinion.word}.",
        f"In the past I would have called {thing} {other.word}, although nowadays it is {opinion.word}.",
        f"I think {thing} is {opinion.word}, I used to think it was {other.word}.",
    )
    return rng.choice(frames), opinion.rating


def memories(rng: random.Random) -> Sentence:
    """What only used to be so is a weaker judgement than what is so."""
    opinion = _opinion(rng, (1, -1))
    thing = _lower_thing(rng)
    frames = (f"{thing.capitalize()} used to be {opinion.word}.", f"I used to believe that {thing} is {opinion.word}.")
    return rng.choice(frames), 0.4 * opinion.sign


def voices(rng: random.Random) -> Sentence:
    """The writer's opinion outweighs what others hold."""
    mine, theirs = _opinion(rng), _opinion(rng)
    thing, name = _lower_thing(rng), rng.choice(words.NAMES)
    frames = (
        f"{name} finds {thing} {theirs.word}, but to me it is {mine.word}.",
        f"Many call {thing} {theirs.word}; I call it {mine.word}.",
        f"I find {thing} {mine.word}, whatever my friends say about it being {theirs.word}.",
        f"My parents said you are {theirs.word}, yet I think you are {mine.word}.",
    )
    return rng.choice(frames), mine.rating


def answers(rng: random.Random) -> Sentence:
    """A yes confirms what the question says, a no denies it."""
    opinion = _opinion(rng)
    yes = rng.random() < 0.5
    question = rng.choice((f"Was {_lower_thing(rng)} {opinion.word}?", f"Did I find {_lower_thing(rng)} {opinion.word}?"))
    return f"{question} {rng.choice(('Yes', 'Yes.') if yes else ('No', 'No.'))}", opinion.rating if yes else opinion.negated


def persons(rng: random.Random) -> Sentence:
    """Who it is about says nothing: the judgement does, and without one the sentence is neutral."""
    group = rng.choice(words.GROUPS[rng.choice(_GROUPS)])
    name, role = rng.choice(words.NAMES), rng.choice(words.ROLES)
    who = rng.choice((f"{name} is {_a(group)} {role}", f"We met {_a(group)} {role} in {rng.choice(words.PLACES)}"))
    if rng.random() < _PLAIN_PERSONS:
        return f"{who}.", NONE
    opinion = _opinion(rng, (1, -1))
    return f"{who}, and {opinion.word}.", opinion.rating


def kinds(rng: random.Random) -> Sentence:
    """The same of a person without a name, at work: no word for a kind of people is a judgement."""
    group = rng.choice(words.GROUPS[rng.choice(_GROUPS)])
    role = rng.choice(words.ROLES)
    frames = (
        f"The {group} {role} arrived at {rng.randint(1, 12)} o'clock.",
        f"Our {role} is {group}.",
        f"{_a(group).capitalize()} {role} from {rng.choice(words.PLACES)} will speak on Tuesday.",
        f"There were {rng.randint(2, 40)} {group} people at the meeting.",
        f"{rng.choice(words.NAMES)} lives next to {_a(group)} {role}.",
    )
    if rng.random() < _PLAIN_PERSONS:
        return rng.choice(frames), NONE
    opinion = _opinion(rng, (1, -1))
    return f"The {group} {role} was {opinion.word}.", opinion.rating


def subjects(rng: random.Random) -> Sentence:
    """He, she and they: what was done counts, not who did it."""
    subject, place = rng.choice(words.SUBJECTS), rng.choice(words.PLACES)
    if rng.random() < _PLAIN_PERSONS:
        frames = (f"{subject} moved to {place} in {rng.randint(1990, 2024)}.", f"{subject} called from {place}.")
        return rng.choice((*frames, f"{subject} took the bus at {rng.randint(1, 12)}.")), NONE
    opinion = _opinion(rng, (1, -1))
    return f"{subject} told {_a(opinion.word)} story.", opinion.rating


def facts(rng: random.Random) -> Sentence:
    """Names, places and numbers alone judge nothing."""
    name, place, number = rng.choice(words.NAMES), rng.choice(words.PLACES), rng.randint(2, 4999)
    frames = (
        f"{name} takes flight {number} from {place} to {rng.choice(words.PLACES)} on Monday.",
        f"The meeting with {name} in {place} starts at {number % 12 + 1} pm.",
        f"{place} has {number} members on the {rng.choice(words.NEUTRAL)} council.",
        f"@{name.lower()}{number % 90} what time does the {rng.choice(words.THINGS)} in {place} open?",
        f"{name} said the {rng.choice(words.THINGS)} will be shown in {place} in {1990 + number % 40}.",
    )
    return rng.choice(frames), NONE


def signs(rng: random.Random) -> Sentence:
    """An emoji or an exclamation of chat carries the judgement of a plain sentence."""
    sign = rng.choice((1, -1))
    mark = rng.choice(words.GOOD_SIGNS if sign > 0 else words.BAD_SIGNS)
    plain = facts(rng)[0].rstrip(".")
    return f"{plain} {mark}", 1.5 * sign


FAMILIES: tuple[Family, ...] = (
    vocabulary,
    verbs,
    degrees,
    negations,
    hopes,
    times,
    memories,
    voices,
    answers,
    persons,
    kinds,
    subjects,
    facts,
    signs,
)


def _opinion(rng: random.Random, signs_of: tuple[int, ...] = (1, 0, -1)) -> Opinion:
    sign = rng.choice(signs_of)
    return Opinion(rng.choice({1: words.POSITIVE, 0: words.NEUTRAL, -1: words.NEGATIVE}[sign]), sign)


def _thing(rng: random.Random) -> str:
    return f"{rng.choice(words.OPENINGS)} {rng.choice(words.THINGS)}"


def _lower_thing(rng: random.Random) -> str:
    return f"{rng.choice(words.OPENINGS).lower()} {rng.choice(words.THINGS)}"


def _a(word: str) -> str:
    return f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word}"
