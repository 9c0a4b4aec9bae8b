"""What the score role has done, and where its time went. Pure: the clock comes in as an argument."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

Timed = Literal["decode_s", "tokenise_s", "publish_s"]


class ScoreCounts(msgspec.Struct):
    """What the role has done since it started; `padded` and `tokens` count token places sent and those that held a token.

    `batch_texts` of `batch_room` texts went with the batches: how full they were. The seconds are added up once a cycle or a
    batch: those of the role's own thread in decoding (matching and the look for duplicates with it), tokenising and making
    records; those of transactions, which run beside it (`commit_s`); and those that batches waited for the model (`queue_s`,
    from the arrival of the oldest text) and spent there (`infer_s`, which run beside one another). `ceiling_s` is what the
    model alone would have needed.
    """

    messages: int = 0
    predictions: int = 0
    signals: int = 0
    reviews: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    cache_hits: int = 0
    batches: int = 0
    batch_texts: int = 0
    batch_room: int = 0
    padded: int = 0
    tokens: int = 0
    aborted: int = 0
    releases: int = 0
    decode_s: float = 0.0
    queue_s: float = 0.0
    tokenise_s: float = 0.0
    infer_s: float = 0.0
    publish_s: float = 0.0
    commit_s: float = 0.0
    ceiling_s: float = 0.0

    @contextmanager
    def timing(self, stage: Timed, monotonic: Callable[[], float]) -> Iterator[None]:
        """Add the seconds that the block takes to a stage, however it ends."""
        began_s = monotonic()
        try:
            yield
        finally:
            setattr(self, stage, getattr(self, stage) + monotonic() - began_s)
