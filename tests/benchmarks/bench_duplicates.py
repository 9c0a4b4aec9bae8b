"""How well near-duplicates are found, and what that costs. Not a test; run it: `python -m tests.benchmarks.bench_duplicates`.

Real texts, and copies of them as syndication makes them: under an agency's name, cut, in capitals, with a link, without
punctuation, retweeted, quoted. A copy is found if it names its own original. All else that is called a near-duplicate counts
against precision, also where two originals really are nearly the same, as wire stories and slogans are: those are printed with
`--show`, for a person to judge. `TIDINGS_DATA_DIR` is the folder of the measuring data; without it the snippets alone are used.
"""

import csv
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from tests.unit.worker.builders import message
from training.data import Source, load_snippets
from worker.score.dedupe import HALF_A_DAY_MS, DuplicateIndex
from worker.score.near import NearIndex, NearLimits

COPIED = 1_000
REMEMBERED = 20_000
EDITS: dict[str, Callable[[str], str]] = {
    "agency": lambda text: f"LONDON (Reuters) - {text}",
    "cut by a fifth": lambda text: _beginning(text, 0.8),
    "cut by a third": lambda text: _beginning(text, 0.67),
    "cut by half": lambda text: _beginning(text, 0.5),
    "capitals": str.upper,
    "link": lambda text: f"{text} https://t.co/Ab3dEf",
    "punctuation": lambda text: re.sub(r"[^\w\s]", "", text),
    "retweet": lambda text: f"RT @newsdesk24: {text}",
    "quoted": lambda text: f'"{text}" via @alerts',
    "retweet, cut": lambda text: f"RT @newsdesk24: {_beginning(text, 0.8)}",
}


def main() -> None:
    """Print, per source, the share of copies found by edit; precision by minimum of words; then time and memory."""
    sources = {name: list(dict.fromkeys(texts)) for name, texts in _sources()}
    console = Console(width=200)
    console.print(_quality(sources))
    console.print(_false(sources))
    texts = [text for several in sources.values() for text in several]
    console.print("µs/text: {:.1f} exact ones only, {:.1f} with near ones; {:.0f} bytes a story".format(*_cost(texts)))
    console.print(f"µs/text where all are made from one template: {_flood():.1f}")
    if "--show" in sys.argv:
        for name, several in sources.items():
            for first, second in _called_near(several, 8):
                console.print(f"[{name}] {first!r}\n    {second!r}", markup=False)


def _sources() -> Iterator[tuple[str, list[str]]]:
    snippets = load_snippets()
    for source in (Source.TWEETS, Source.NYT):
        yield f"ICWSM {source}", [snippet.text for snippet in snippets if snippet.source is source]
    if folder := os.environ.get("TIDINGS_DATA_DIR"):
        data = Path(folder)
        with (data / "airline" / "tweets.csv").open(encoding="utf-8") as file:
            yield "airline tweets", [row["text"] for row in csv.DictReader(file)]
        rows = (data / "tweeteval" / "val.tsv").read_text("utf-8").splitlines()[1:]
        yield "tweeteval", [row.partition("\t")[2] for row in rows]
        rows = (data / "agnews" / "test.tsv").read_text("utf-8").splitlines()
        yield "AG News", [row.rpartition("\t")[0] for row in rows]


def _quality(sources: dict[str, list[str]]) -> Table:
    table = Table("copies that name their original", *sources)
    table.add_row("originals of 8 words or more", *(f"{len(_long(texts, 8)):,}" for texts in sources.values()))
    outcomes = {name: _outcome(texts) for name, texts in sources.items()}
    for edit in EDITS:
        table.add_row(edit, *(f"{right[edit] / COPIED:.1%}" for right, _ in outcomes.values()))
    table.add_row(
        "precision", *(f"{sum(right.values()) / (sum(right.values()) + wrong):.2%}" for right, wrong in outcomes.values())
    )
    return table


def _outcome(texts: list[str]) -> tuple[dict[str, int], int]:
    """How many copies name their own original, by edit; and how many texts name another one."""
    originals, index = _long(texts, 8), _index(8)
    names = [_first(index, text, number) for number, text in enumerate(originals)]
    wrong = sum(name is not None for name in names)
    right = dict.fromkeys(EDITS, 0)
    for place in random.Random(5).choices(range(len(originals)), k=COPIED):
        for number, (edit, change) in enumerate(EDITS.items()):
            found = _first(index, change(originals[place]), 1_000_000 + place * 100 + number)
            right[edit] += found == (names[place] or f"m{place}")
            wrong += found not in {None, names[place] or f"m{place}"}
    return right, wrong


def _false(sources: dict[str, list[str]]) -> Table:
    table = Table("distinct texts said to repeat another, by their number of words", *sources)
    for least, most in ((3, 4), (5, 7), (8, 11), (12, 10_000)):
        row = [[text for text in texts if least <= len(text.split()) <= most] for texts in sources.values()]
        table.add_row(f"{least} to {most}", *(f"{len(list(_called_near(texts, 3))):,} of {len(texts):,}" for texts in row))
    return table


def _called_near(texts: Iterable[str], min_words: int) -> Iterator[tuple[str, str]]:
    index, known = _index(min_words), {}
    for number, text in enumerate(texts):
        known[f"m{number}"] = text
        if (first := _first(index, text, number)) is not None:
            yield known[first], text


def _cost(texts: list[str]) -> tuple[float, float, float]:
    numbered = [f"{text} {' '.join(random.Random(n).sample(text.split(), k=3))}" for n, text in enumerate(_long(texts, 8))]
    taken = [message(text, offset=offset) for offset, text in enumerate(islice(numbered, REMEMBERED))]
    alone, both = DuplicateIndex(REMEMBERED), _index(8)
    alone_s = _seconds(lambda: [alone.look_up(one) for one in taken])
    before = psutil.Process().memory_info().rss
    both_s = _seconds(lambda: [both.look_up(one) for one in taken])
    grown = psutil.Process().memory_info().rss - before
    return alone_s / len(taken) * 1e6, both_s / len(taken) * 1e6, grown / len(taken)


def _flood() -> float:
    text = "The share of Acme fell on Monday and stands at {} dollars, after it had risen for a week and more"
    taken, index = [message(text.format(number), offset=number) for number in range(REMEMBERED)], _index(8)
    return _seconds(lambda: [index.look_up(one) for one in taken]) / len(taken) * 1e6


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _index(min_words: int) -> DuplicateIndex:
    return DuplicateIndex(REMEMBERED, HALF_A_DAY_MS, NearIndex(NearLimits(REMEMBERED, min_words=min_words), HALF_A_DAY_MS))


def _first(index: DuplicateIndex, text: str, number: int) -> str | None:
    one = message(text, offset=number, event_time_ms=0)
    return index.look_up(one).duplicate_of(one)


def _long(texts: list[str], words: int) -> list[str]:
    return [text for text in texts if len(re.findall(r"\w+", text)) >= words]


def _beginning(text: str, share: float) -> str:
    words = text.split()
    return " ".join(words[: round(len(words) * share)]) + "..."


if __name__ == "__main__":
    main()
