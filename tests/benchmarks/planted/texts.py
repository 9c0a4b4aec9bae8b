"""Real texts that people labelled, as the shipped model reads them: what messages on a key say."""

import csv
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console

from tests.benchmarks import sentiments
from tests.benchmarks.nab.data import FOLDER as NAB
from tests.benchmarks.sentiments import Read

FOLDER = NAB.parent
_FINANCE = 2_500
"""Of 9,543, so that the model is done with them in half a minute."""
_SOURCES = {"tweets": "tweeteval/val.tsv", "finance": "twitter_financial/train.tsv"}
PRESENT = all((FOLDER / path).is_file() for path in (*_SOURCES.values(), "airline/tweets.csv"))
MISSING = "labelled tweets are not here: put them into ../shared/data, or set TIDINGS_DATA_DIR"


class Pool(NamedTuple):
    """The texts of one source: what people called negative, and all others, as the model reads them."""

    source: str
    negative: tuple[Read, ...]
    other: tuple[Read, ...]


class Labelled(NamedTuple):
    """A text, and whether people called it negative."""

    source: str
    text: str
    negative: bool


def read_labelled() -> list[Labelled]:
    """Read the texts of all sources."""
    found = [labelled for source, path in _SOURCES.items() for labelled in _tsv(source, path)]
    with (FOLDER / "airline" / "tweets.csv").open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        return found + [Labelled("airline", row["text"], row["airline_sentiment"] == "negative") for row in rows]


def _tsv(source: str, path: str) -> list[Labelled]:
    lines = (FOLDER / path).read_text(encoding="utf-8").splitlines()[1 : 1 + _FINANCE]
    rows = (line.split("\t", 1) for line in lines)
    return [Labelled(source, text, label == "neg") for label, text in rows]


def pools(half: int, console: Console) -> list[Pool]:
    """Return, by source, one half of the texts: 0 to choose by, 1 to report on."""
    mine = [labelled for labelled in read_labelled() if half_of(labelled.text) == half]
    reads = sentiments.read((labelled.text for labelled in mine), console)
    sources = sorted({labelled.source for labelled in mine})
    return [_pool(source, [one for one in mine if one.source == source], reads) for source in sources]


def half_of(text: str) -> int:
    """Return 0 or 1, the same for the same text."""
    return hashlib.sha256(text.encode()).digest()[0] & 1


def _pool(source: str, mine: list[Labelled], reads: dict[str, Read]) -> Pool:
    def of(negative: bool) -> Iterator[Read]:
        return (reads[one.text] for one in mine if one.negative is negative)

    return Pool(source, tuple(of(True)), tuple(of(False)))
