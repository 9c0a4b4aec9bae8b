"""What taking personal data out of excerpts costs. Not a test; run it: `python -m tests.benchmarks.bench_redaction`.

The texts are real: the snippets that the model is trained on, tweets and all of them. Tokenising them in batches of 64 stands
beside it, because every message passes through that. The ratios count: the machine is shared.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from training.data import Source, load_snippets
from worker.redact import KINDS, Redactor
from worker.score.outputs import EXCERPT_CHARS
from worker.score.tokenizer import Tokenizer

ROUNDS = 5
BATCH = 64
TOKENIZER = Path("triton_repo/sentiment/tokenizer.json")
Work = Callable[[Sequence[str]], object]


def main() -> None:
    """Print how long an excerpt takes without redaction, with each kind and with all of them, beside tokenising the text."""
    snippets = load_snippets()
    tweets = [snippet.text for snippet in snippets if snippet.source is Source.TWEETS]
    table = Table("texts", "what is done", "µs/text", "share of tokenising", "texts changed")
    for name, texts in (("tweets", tweets), ("all", [snippet.text for snippet in snippets])):
        tokenising_s = _seconds(partial(_tokenise, Tokenizer(TOKENIZER.read_bytes(), 256)), texts)
        redactors = {"no redaction": Redactor(())} | {kind: Redactor((kind,)) for kind in KINDS} | {"all kinds": Redactor()}
        for what, redactor in redactors.items():
            seconds = _seconds(partial(_excerpts, redactor), texts)
            changed = sum(redactor.redact(text) != text for text in texts)
            table.add_row(name, what, f"{seconds / len(texts) * 1e6:.1f}", f"{seconds / tokenising_s:.1%}", f"{changed:,}")
        table.add_row(name, "tokenising", f"{tokenising_s / len(texts) * 1e6:.1f}", "", "")
    Console().print(table)


def _seconds(work: Work, texts: Sequence[str]) -> float:
    return median(_once(work, texts) for _ in range(ROUNDS))


def _once(work: Work, texts: Sequence[str]) -> float:
    began = time.perf_counter()
    work(texts)
    return time.perf_counter() - began


def _excerpts(redactor: Redactor, texts: Sequence[str]) -> None:
    for text in texts:
        redactor.beginning(text, EXCERPT_CHARS)


def _tokenise(tokenizer: Tokenizer, texts: Sequence[str]) -> None:
    for at in range(0, len(texts), BATCH):
        tokenizer.encode(texts[at : at + BATCH])


if __name__ == "__main__":
    main()
