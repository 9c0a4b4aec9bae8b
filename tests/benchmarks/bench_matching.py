"""How fast the matcher is, by the number of aliases. Not a test; run it: `python -m tests.benchmarks.bench_matching`."""

import random
import time

from rich.console import Console
from rich.table import Table

from worker.score.matching import Matcher, WatchedEntity, Watchlist

TEXTS = 5_000
WORDS_PER_TEXT = 25


def main() -> None:
    """Print, for 10 to 100,000 aliases, how long building takes and how many texts of 25 words are matched a second."""
    rng = random.Random(2)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(20_000)]
    texts = [" ".join(rng.choices(words, k=WORDS_PER_TEXT)) for _ in range(TEXTS)]
    table = Table("aliases", "built in s", "texts/s", "names found")
    for aliases in (10, 100, 1_000, 10_000, 100_000):
        names = sorted({f"{rng.choice(words)} {rng.choice(words)}" if n % 2 else rng.choice(words) for n in range(aliases)})
        began = time.perf_counter()
        matcher = Matcher(Watchlist(entities=tuple(WatchedEntity(name=name.title()) for name in names)))
        built = time.perf_counter()
        found = sum(len(matcher.match(text).entities) for text in texts)
        took_s = time.perf_counter() - built
        table.add_row(f"{len(names):,}", f"{built - began:.3f}", f"{TEXTS / took_s:,.0f}", f"{found:,}")
    Console().print(table)


if __name__ == "__main__":
    main()
