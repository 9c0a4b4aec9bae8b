"""The targets on what is known: their corpus, what once broke them, and a short run of random pieces of it."""

import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz import parsers
from tests.fuzz.mutations import ODD_PIECES
from tests.fuzz.parsers import CORPUS, Parsed, run_one
from tests.fuzz.targets import TARGETS

RANDOM_RUNS = 150


def corpus(name: str) -> list[bytes]:
    """The kept inputs of a target."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def spoilt(rng: random.Random, inputs: list[bytes]) -> bytes:
    """One kept input with a few pieces cut out, put in, or taken from another."""
    data = bytearray(rng.choice(inputs))
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) + 1)
        other = rng.choice(inputs)
        cut = rng.randrange(len(other) + 1)
        data[start : start + rng.choice([0, 0, 1, 8])] = rng.choice(
            [b"", rng.choice(ODD_PIECES), rng.randbytes(3), other[cut : cut + 20]]
        )
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_is_answered(name: str) -> None:
    """Each kept input, those that once broke a parser among them, gives a value or the parser's own error."""
    assert corpus(name)
    for data in corpus(name):
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_random_pieces_are_answered(name: str) -> None:
    """So are spoilt copies of them, the same ones each time."""
    rng = random.Random(name)
    for _ in range(RANDOM_RUNS):
        TARGETS[name](spoilt(rng, corpus(name)))


def test_every_corpus_has_a_target() -> None:
    """No folder is left behind when a target goes."""
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed; it is made for Linux")
def test_a_guided_run_counts(tmp_path: Path) -> None:
    """Under atheris a target is executed many times, our code is seen, and nothing crashes."""
    found = run_one("durations", 3, 1, tmp_path)
    assert (found.crashes, found.note) == (0, "")
    assert found.executions > 100
    assert found.coverage > 10
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed; it is made for Linux")
def test_a_parser_that_breaks_is_a_crash(tmp_path: Path) -> None:
    """The run says so and keeps the input: here a target that takes no byte above 127."""
    found = run_one("planted", 20, 1, tmp_path)
    assert found.crashes == 1
    assert "UnicodeDecodeError" in found.note
    assert any(path.name.startswith("planted-crash") for path in tmp_path.iterdir())


def test_without_atheris_the_report_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is claimed to have run."""
    monkeypatch.setattr(parsers, "find_spec", lambda _name: None)
    found = parsers.run_all(1, 1, tmp_path, lambda _: None)
    assert found == [Parsed(name, note="atheris is not installed") for name in TARGETS]
