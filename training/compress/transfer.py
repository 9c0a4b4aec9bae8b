"""More texts for a student to hear its teacher on, made from those there are; the teacher's answer is their label.

What a teacher says of a text with a word hidden, of a piece of it, or of two texts in a row tells a student more than the text
alone, and needs no person. Tang et al., "Distilling Task-Specific Knowledge from BERT into Simple Neural Networks", 2019,
section 3.2 (masking and n-gram sampling, with its probabilities).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

HIDE, PIECE, JOIN = 0.1, 0.25, 0.1
"""How probable it is that a word is hidden, that a text becomes a piece of itself, and that another one follows it."""
SHORTEST = 2
MASK = "[MASK]"


def transfer_texts(texts: Sequence[str], count: int, seed: int = 7) -> list[str]:
    """Return `count` texts made from `texts`, none of which is among them and no two of which are equal.

    Fewer come back where the texts do not give as many. The same seed gives the same texts.
    """
    made, known = dict[str, None](), set(texts)
    for text in _variations(texts, random.Random(seed)):  # noqa: S311 - not for secrets
        if len(made) == count:
            break
        if text not in known:
            made[text] = None
    return list(made)


def _variations(texts: Sequence[str], draw: random.Random) -> Iterator[str]:
    """Yield variations for some rounds over the texts: short ones have few, and nobody waits for what never comes."""
    split = [words for text in texts if len(words := text.split()) >= SHORTEST]
    for _ in range(64):
        for words in split:
            yield " ".join(_vary(words, split, draw))


def _vary(words: Sequence[str], split: Sequence[Sequence[str]], draw: random.Random) -> list[str]:
    varied = [MASK if draw.random() < HIDE else word for word in words]
    if draw.random() < PIECE:
        length = draw.randint(SHORTEST, len(varied))
        start = draw.randint(0, len(varied) - length)
        varied = varied[start : start + length]
    if draw.random() < JOIN:
        varied += draw.choice(split)
    return varied
