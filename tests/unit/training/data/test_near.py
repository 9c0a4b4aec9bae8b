import random

from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.near import SIMILARITY, clusters, near_pairs, shingles

STORY = "the central bank raised its rate by a quarter point on tuesday to slow inflation"


def test_the_same_and_the_nearly_same_are_one_cluster() -> None:
    """Case, punctuation and a word more or less do not make another text; another subject does."""
    texts = [STORY, STORY.upper() + "!", "Update: " + STORY, "rain is expected over the hills until late on friday evening"]
    assert clusters(texts) == [0, 0, 0, 3]


def test_short_texts_are_the_same_or_not() -> None:
    """One word more may turn a short text round."""
    assert clusters(["this is good", "this is not good", "This is good."]) == [0, 1, 0]


def test_a_chain_is_one_cluster() -> None:
    """A text like one that is like a third is in the third's cluster, or it would carry it over a split."""
    words = [f"w{n}" for n in range(40)]
    texts = [" ".join(words[n : n + 20]) for n in range(0, 20, 4)]
    assert set(clusters(texts)) == {0}


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_nothing_that_all_pairs_would_find_is_overlooked(seed: int) -> None:
    """Compared with every pair by brute force, on texts made from one another by changed words."""
    draw = random.Random(seed)
    base = [f"w{draw.randrange(60)}" for _ in range(24)]
    texts = [" ".join(w if draw.random() > 0.1 else f"x{draw.randrange(99)}" for w in base) for _ in range(12)]
    texts = list(dict.fromkeys(texts))
    found = {frozenset(pair) for pair in near_pairs(texts)}
    sets = [shingles(text) for text in texts]
    alike = {
        frozenset((a, b))
        for a in range(len(texts))
        for b in range(a)
        if len(sets[a] & sets[b]) / len(sets[a] | sets[b]) >= SIMILARITY + 0.1
    }
    assert alike <= found


def test_progress_counts_every_text() -> None:
    """A bar over different texts ends at its end."""
    told: list[int] = []
    clusters([f"text number {n} of so very many words" for n in range(2_500)], told.append)
    assert sum(told) == 2_500
