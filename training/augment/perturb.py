"""Disturbances that keep the label: what a person reads past, a model should too."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from training.augment import words
from training.finetune.texts import Text

Disturbance = Callable[[str, random.Random], str]
_NAME = re.compile(rf"\b(?:{'|'.join(words.NAMES)})\b")
_PLACE = re.compile(rf"\b(?:{'|'.join(words.PLACES)})\b")


def augment(texts: Sequence[Text], share: float, seed: int) -> list[Text]:
    """Return a disturbed copy, under the same label and targets, of that share of the texts, drawn by `seed`."""
    rng = random.Random(seed)  # noqa: S311 - drawn to be repeated, not to be secret
    drawn = rng.sample(list(texts), round(share * len(texts)))
    return [replace(one, text=perturbed(one.text, rng)) for one in drawn]


def perturbed(text: str, rng: random.Random) -> str:
    """Return the text with one to three disturbances, drawn without repeats."""
    for disturb in rng.sample(DISTURBANCES, rng.randint(1, 3)):
        text = disturb(text, rng)
    return text


def typo(text: str, rng: random.Random) -> str:
    """Swap two neighbouring characters."""
    if len(text) < 2:
        return text
    at = rng.randrange(len(text) - 1)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def casing(text: str, rng: random.Random) -> str:
    """Write everything in capitals, or nothing."""
    return text.upper() if rng.random() < 0.5 else text.lower()


def punctuation(text: str, rng: random.Random) -> str:
    """Take the closing punctuation away, or put some there."""
    bare = text.rstrip(" .!?")
    return (bare or text) + rng.choice(("", ".", "...", " ."))


def address(text: str, rng: random.Random) -> str:
    """Put a handle before the text or a link at either end."""
    link = rng.choice(words.LINKS)
    return rng.choice((f"{rng.choice(words.HANDLES)} {text}", f"{text} {link}", f"{link} {text}"))


def contraction(text: str, rng: random.Random) -> str:
    """Contract what can be contracted, or write it out."""
    joins = rng.random() < 0.5
    for apart, joined in words.CONTRACTIONS:
        text = text.replace(apart, joined) if joins else text.replace(joined, apart)
    return text


def numbers(text: str, rng: random.Random) -> str:
    """Change each number of two digits or more for another of as many digits."""
    return re.sub(r"\d{2,}", lambda found: str(rng.randrange(10 ** (len(found[0]) - 1), 10 ** len(found[0]))), text)


def names(text: str, rng: random.Random) -> str:
    """Change each first name and place that is known for another."""
    text = _NAME.sub(lambda _: rng.choice(words.NAMES), text)
    return _PLACE.sub(lambda _: rng.choice(words.PLACES), text)


DISTURBANCES: tuple[Disturbance, ...] = (typo, casing, punctuation, address, contraction, numbers, names)
