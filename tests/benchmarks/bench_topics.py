"""How well topics known by their meaning are found. Not a test; run it: `python -m tests.benchmarks.bench_topics`.

AG News, whose four classes are described here as a person would who has not seen it, with five examples each, written for this.
How topics are looked for (`worker.score.meaning`) was chosen on rows that are left out here. The background is the model's own,
which has nothing of AG News. `TIDINGS_DATA_DIR` is the folder of the measuring data; `make embedding` makes the model.
"""

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.benchmarks.nab.data import ROOT
from worker import app
from worker.ports import Model
from worker.score.batching import Batch, Tokenised, pad
from worker.score.matching import WatchedTopic
from worker.score.meaning import Meaning, Vectors, calibrated, passages
from worker.score.tokenizer import Tokenizer
from worker.settings import ModelSettings, Settings
from worker.topics import Encoder, Tools, background, find_encoder, understand

T = TypeVar("T")
CHOSEN_ON = 4_000
"""Rows, shuffled by seed 1, on which the method was chosen."""
SHARES = (0.01, 0.02, 0.05)
BATCH = 64
TOPICS = (
    WatchedTopic(
        name="World",
        description="International politics and conflict: wars, elections, diplomacy and terrorism around the world.",
        examples=(
            "Two soldiers were killed when a bomb exploded near their convoy.",
            "The president met foreign ministers to discuss a peace agreement.",
            "Thousands of voters went to the polls in the first free election in years.",
            "Rebels and government troops clashed near the border for a third day.",
            "The United Nations called for an end to the violence against refugees.",
        ),
    ),
    WatchedTopic(
        name="Sports",
        description="Sport: matches, players, teams, championships and results.",
        examples=(
            "The striker scored twice as the home side won the cup final.",
            "The champion beat the third seed in straight sets to reach the semifinals.",
            "The coach said his quarterback will miss the rest of the season with a knee injury.",
            "She won the gold medal in the 200 metres at the Olympics.",
            "The pitcher struck out nine and the team took the series.",
        ),
    ),
    WatchedTopic(
        name="Business",
        description="Business and finance: companies, markets, earnings, jobs and the economy.",
        examples=(
            "The company reported quarterly profit above analysts' estimates.",
            "Shares fell after the retailer cut its forecast for the year.",
            "Oil prices rose to a record on worries about supply.",
            "The central bank raised interest rates by a quarter point.",
            "The two banks agreed to a merger worth four billion dollars.",
        ),
    ),
    WatchedTopic(
        name="Sci/Tech",
        description="Science and technology: computers, software, the internet, gadgets, space and research.",
        examples=(
            "The company released a security patch for its web browser.",
            "Scientists found evidence of water on the surface of Mars.",
            "The new phone has a faster chip and a better camera.",
            "Researchers sequenced the genome of an ancient plant.",
            "A worm is spreading through e-mail and infecting computers running Windows.",
        ),
    ),
)


def main() -> None:
    """Print precision and recall by class: as shipped, with other shares of the background, and described by less."""
    console, folder = Console(width=160), os.environ.get("TIDINGS_DATA_DIR")
    if folder is None or not (Path(folder) / "agnews" / "test.tsv").is_file():
        sys.exit("bench_topics: skipped: TIDINGS_DATA_DIR names no folder with agnews/test.tsv")
    if not (ROOT / "triton_repo" / "embedding" / "contract.json").is_file():
        sys.exit("bench_topics: skipped: there is no triton_repo/embedding; tidings export --embedding makes it")
    texts, classes = zip(*_held_out(Path(folder) / "agnews" / "test.tsv"), strict=True)
    settings = Settings(model=ModelSettings(backend="onnx", repository=ROOT / "triton_repo"))
    contract = app.load_contract(settings)
    encoder, tokenizer = find_encoder(settings, contract), app.load_tokenizer(settings, contract)
    begun = time.monotonic()
    shipped = understand(settings, encoder, TOPICS, Tools(tokenizer, partial(app.connect_model, settings), _once))
    console.print(f"calibrated on {len(background(settings, encoder)):,} texts in {time.monotonic() - begun:.1f} s")
    with closing(app.connect_model(settings, encoder.contract, (encoder.embedding.output,))) as model:
        ask = partial(_vectors, model, tokenizer, encoder)
        known, rows = ask(background(settings, encoder)), ask(texts)
        console.print(_table("as shipped", {"2 %": shipped}, rows, classes))
        whole = [ask(passages(topic)) for topic in TOPICS]
        console.print(_table("by share of the background", _by_share(whole, known), rows, classes))
        less = {f"{n} examples": calibrated(TOPICS, [some[: n + 1] for some in whole], known, 0.02) for n in (0, 1, 2, 5)}
        console.print(_table("by number of examples, at 2 %", less, rows, classes))
    console.print(f"finding: {_cost(shipped, rows):.2f} µs a text beside the second model's own time")


def _held_out(path: Path) -> Iterator[tuple[str, str]]:
    rows = [line.rstrip("\n").split("\t") for line in path.read_text(encoding="utf-8").splitlines(keepends=True)]
    random.Random(1).shuffle(rows)
    yield from ((text, label) for text, label in rows[CHOSEN_ON:])


def _once(call: Callable[[], T]) -> T:
    return call()


def _vectors(model: Model, tokenizer: Tokenizer, encoder: Encoder, texts: Sequence[str]) -> Vectors:
    ids = tokenizer.encode(texts)
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    found = np.empty((len(ids), encoder.embedding.dimensions), np.float32)
    for start in track(range(0, len(order), BATCH), f"{len(texts):,} texts", transient=True):
        some = order[start : start + BATCH]
        batch = Batch(len(ids[some[-1]]), tuple(Tokenised(ids[index], 0, index) for index in some))
        found[some] = model.submit(pad(batch, encoder.contract.pad_id)).result()
    return found


def _by_share(whole: Sequence[Vectors], known: Vectors) -> dict[str, Meaning]:
    return {f"{share:.0%}": calibrated(TOPICS, whole, known, share) for share in SHARES}


def _table(title: str, meanings: dict[str, Meaning], rows: Vectors, classes: Sequence[str]) -> Table:
    table = Table("", *(topic.name for topic in TOPICS), title=f"{title}: precision / recall, threshold")
    for name, meaning in meanings.items():
        found = meaning.find(rows)
        table.add_row(name, *(_quality(found, classes, topic.topic, topic.threshold) for topic in meaning.thresholds))
    return table


def _quality(found: Sequence[dict[str, float]], classes: Sequence[str], topic: str, threshold: float) -> str:
    right = sum(topic in topics and label == topic for topics, label in zip(found, classes, strict=True))
    called, there = sum(topic in topics for topics in found), sum(label == topic for label in classes)
    return f"{right / max(1, called):.2f} / {right / there:.2f}  ({threshold:.3f})"


def _cost(meaning: Meaning, rows: Vectors) -> float:
    begun = time.perf_counter()
    for start in range(0, len(rows), BATCH):
        meaning.find(rows[start : start + BATCH])
    return (time.perf_counter() - begun) / len(rows) * 1e6


if __name__ == "__main__":
    main()
