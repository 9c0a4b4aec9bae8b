"""How the score role behaves."""

from collections.abc import Mapping

import msgspec

from worker.messages import Kind
from worker.score.batching import BatchLimits
from worker.score.breaker import BreakerLimits
from worker.score.outputs import ReviewPolicy


class ScoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the role behaves; see `settings.ScoreSettings` for the meaning of each."""

    inputs: Mapping[str, Kind]
    predictions: str
    signals: str
    dead_letters: str
    limits: BatchLimits
    in_flight: int
    max_pending: int
    commit_interval_s: float
    commit_messages: int
    max_future_ms: int
    max_pending_bytes: int = 64 * 1024 * 1024
    max_attempts: int = 8
    breaker: BreakerLimits = BreakerLimits()
    max_poll_records: int = 500
    drain_timeout_s: float = 25.0
    review: ReviewPolicy | None = None
    full_wait_s: float = 0.02
    """How long to wait for the model or a commit when nothing more can be begun before; either ends the wait at once."""
