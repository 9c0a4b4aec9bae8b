"""The texts that are sent: what people wrote, at the lengths they wrote it, each once.

The 23,703 rated snippets that come with VADER (Hutto and Gilbert, ICWSM 2014): tweets, editorials, film and product reviews.
`training` fetches them with pip and checks their hash, so that everybody measures on the same texts.
"""

import json
import random
from collections.abc import Iterator, Sequence
from functools import cache

from training.data import load_snippets

NAME = "ICWSM 2014 snippets (tweets, New York Times editorials, reviews)"


@cache
def texts() -> tuple[str, ...]:
    """Return all texts that differ, in an order that is random and the same each time."""
    found = list(dict.fromkeys(snippet.text for snippet in load_snippets()))
    random.Random(20140601).shuffle(found)
    return tuple(found)


def some(count: int, start: int = 0) -> list[str]:
    """Return `count` texts from `start` on; past the end they begin again, numbered, so that none repeats."""
    every = texts()
    return [_numbered(every, start + index) for index in range(count)]


def bodies(written: Sequence[str], prefix: str = "m") -> Iterator[bytes]:
    """Yield the message of each text, as a producer sends it."""
    for number, text in enumerate(written):
        yield json.dumps({"id": f"{prefix}{number}", "text": text}).encode()


def _numbered(every: Sequence[str], index: int) -> str:
    turn, place = divmod(index, len(every))
    return f"{every[place]} {turn + 1}" if turn else every[place]
