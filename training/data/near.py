"""Which texts of a set are the same, or nearly: MinHash finds the pairs worth comparing, their words decide.

Two texts are near if they have `SIMILARITY` of their pairs of neighbouring words in common (Jaccard), by A. Broder, "On the
resemblance and containment of documents", 1997. With 42 bands of 3 a pair at that line is overlooked once in 27,000 times,
and any pair more alike less often. Texts of less than `MIN_WORDS` words are the same or not: one word more may turn them round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from rensa import RMinHash, RMinHashLSH

from training.data.icwsm import normalise
from training.data.roots import Roots

SIMILARITY = 0.6
MIN_WORDS = 6
_PERMUTATIONS, _BANDS, _SEED = 126, 42, 1
_BATCH = 1_000

Done = Callable[[int], None]


def clusters(texts: Sequence[str], done: Done | None = None) -> list[int]:
    """Return for each text the index of the first text that it is the same as, or nearly, by whatever chain of others.

    `done` is told of each batch of texts that was gone through, for a progress bar.
    """
    roots = Roots(len(texts))
    for one, other in near_pairs(texts, done):
        roots.merge(one, other)
    return [roots.find(index) for index in range(len(texts))]


def near_pairs(texts: Sequence[str], done: Done | None = None) -> Iterator[tuple[int, int]]:
    """Yield pairs of indices of texts that are the same or nearly; of texts that are the same, each with the first of them."""
    firsts: dict[str, int] = {}
    for index, text in enumerate(texts):
        first = firsts.setdefault(normalise(text), index)
        if first != index:
            yield first, index
    yield from _similar([(index, shingles(words)) for words, index in firsts.items()], done)


def shingles(words: str) -> frozenset[str]:
    """Return the pairs of neighbouring words of a normalised text; none if it is too short to be nearly like another."""
    found = words.split()
    return frozenset(" ".join(pair) for pair in pairwise(found)) if len(found) >= MIN_WORDS else frozenset()


def _similar(entries: list[tuple[int, frozenset[str]]], done: Done | None) -> Iterator[tuple[int, int]]:
    index = RMinHashLSH(threshold=SIMILARITY, num_perm=_PERMUTATIONS, num_bands=_BANDS)
    for start in range(0, len(entries), _BATCH):
        batch = [(place, pairs) for place, (_, pairs) in enumerate(entries[start : start + _BATCH], start) if pairs]
        hashes = RMinHash.from_token_sets([sorted(pairs) for _, pairs in batch], num_perm=_PERMUTATIONS, seed=_SEED)
        for (place, pairs), minhash in zip(batch, hashes, strict=True):
            for other in index.query(minhash):
                if _jaccard(pairs, entries[other][1]) >= SIMILARITY:
                    yield entries[other][0], entries[place][0]
            index.insert(place, minhash)
        if done:
            done(min(_BATCH, len(entries) - start))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
