"""What a backtest costs over decoding alone. Not a test; run it: `python -m tests.benchmarks.bench_backtest`.

Rounds of both are interleaved and measured in CPU time, so that what else the machine does weighs on both alike; the ratio is
the median over the rounds, with the least and the largest. A watermark that passes a boundary has every active key and rule
looked at, so what counts is how many signals there are to a key and bucket.
"""

import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from worker.alert.backtest import Backtest
from worker.alert.rules import RuleSet, parse_rules
from worker.backtest.inputs import JsonLines
from worker.codec import encode_signal
from worker.messages import LABELS, ModelRef, Origin, Signal

SIGNALS = 100_000
ROUNDS = 5
RULES = {
    "share": "{type: share, window: 5m, bucket: 30s}",
    "share, 1 m": "{type: share, window: 10m, bucket: 1m}",
    "single": "{type: single}",
    "shift": "{type: shift}",
    "volume": "{type: volume}",
    "surge": "{type: surge}",
}
STREAMS = ((5, 100.0), (5, 10.0), (100, 10.0), (1_000, 10.0))
"""Keys, and signals a second on all of them together."""


class Measured(NamedTuple):
    """Signals a second of CPU time, by decoding alone and in all, and how many times as long all of it took."""

    decoded: float
    tested: float
    ratios: list[float]


def main() -> None:
    """Print, for streams and rules, how fast both are."""
    every = ("share", "single", "shift", "volume", "surge")
    sets = [("share",), ("share, 1 m",), ("share", "shift"), every]
    table = Table("keys", "signals/s", "a key and 30 s", "rules", "decoded/s", "backtest/s", "times decoding (least, largest)")
    with TemporaryDirectory() as folder:
        for keys, rate in STREAMS:
            path = Path(folder) / f"{keys}-{rate}.jsonl"
            path.write_bytes(b"\n".join(stream(keys, rate)))
            for names in sets:
                found = measure(path, rule_set(names))
                low, high = min(found.ratios), max(found.ratios)
                figures = [
                    f"{keys:,}",
                    f"{rate:g}",
                    f"{30 * rate / keys:.2g}",
                    ", ".join(names) if names != every else "all five",
                ]
                spread = f"{median(found.ratios):.1f} ({low:.1f}, {high:.1f})"
                table.add_row(*figures, f"{found.decoded:,.0f}", f"{found.tested:,.0f}", spread)
                print(".", end="", file=sys.stderr, flush=True)  # noqa: T201 - a benchmark's sign of life
    Console(width=140).print(table)


def rule_set(names: tuple[str, ...]) -> RuleSet:
    """Rules of these detectors, over every key."""
    rules = [f"  - name: rule-{number}\n    detector: {RULES[name]}\n" for number, name in enumerate(names)]
    return parse_rules("rules:\n" + "".join(rules))


def stream(keys: int, rate: float) -> Iterator[bytes]:
    """Signals a little out of order, as they stand on the topic; now and then a key is gloomy for a while."""
    rng = random.Random(5)
    for number in range(SIGNALS):
        key, at_s = rng.randrange(keys), number / rate
        weights = (6, 2, 2) if int(at_s / 600) % 20 == key % 20 else (2, 4, 4)
        label = rng.choices(LABELS, weights)[0]
        score = round({"negative": -0.7, "neutral": 0.0, "positive": 0.7}[label] + rng.uniform(-0.2, 0.2), 4)
        yield encode_signal(
            Signal(
                alert_key=f"entity:{key}",
                message_id=f"chat-0-{number}",
                label=label,
                negative=max(0.0, -score),
                score=score,
                kind="chat",
                source="tweets",
                event_time_ms=1_772_323_200_000 + int(at_s * 1_000) - rng.randint(0, 2_000),
                duplicate_of=None,
                excerpt="what was said of it, in the words of whoever said it, and cut",
                model=ModelRef("sentiment", "1"),
                origin=Origin("chat", 0, number),
            )
        )


def measure(path: Path, rules: RuleSet) -> Measured:
    """Decode alone and test, in turns."""

    def decode() -> None:
        for _ in JsonLines(path).batches():
            pass

    def test() -> None:
        backtest = Backtest(rules, 5_000)
        for batch in JsonLines(path).batches():
            backtest.take(batch.partition, batch.signals)

    rounds = [(seconds(decode), seconds(test)) for _ in range(ROUNDS)]
    decoded, tested = median(at for at, _ in rounds), median(at for _, at in rounds)
    return Measured(SIGNALS / decoded, SIGNALS / tested, [whole / part for part, whole in rounds])


def seconds(work: Callable[[], None]) -> float:
    """How much CPU time it takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
