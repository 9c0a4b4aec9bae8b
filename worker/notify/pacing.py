"""When one integration may be sent to: not while it fails, and not too often. Pure: time and jitter are passed in."""

from worker.backoff import back_off_s

_FIRST_S = 1.0
_LONGEST_RETRY_AFTER_S = 3_600.0
"""What a receiver may ask for at most: the next try must not be a matter of its whims."""


class Pace:
    """The pace of one integration: a token bucket, and a pause that doubles from failure to failure.

    Args:
        per_minute: how many notifications a minute, a quarter of them at once.
        max_pause_s: pauses grow to this.
    """

    def __init__(self, per_minute: int, max_pause_s: float) -> None:
        self._per_s = per_minute / 60
        self._burst = max(1.0, per_minute / 4)
        self._tokens = self._burst
        self._filled_s: float | None = None
        self._max_pause_s = max_pause_s
        self._not_before_s = float("-inf")
        self.failures = 0
        """How many in a row."""

    def allows(self, now_s: float) -> bool:
        """Whether something may be sent now."""
        self._fill(now_s)
        return now_s >= self._not_before_s and self._tokens >= 1

    def spend(self, now_s: float) -> None:
        """Something is sent now."""
        self._fill(now_s)
        self._tokens -= 1

    def went_well(self) -> None:
        """It arrived, or was refused for good: the receiver is there."""
        self.failures = 0

    def went_wrong(self, now_s: float, jitter: float, retry_after_s: float | None) -> float:
        """It did not arrive; return the pause in seconds, at least what the receiver asked for."""
        self.failures += 1
        pause_s = back_off_s(self.failures, self._max_pause_s, jitter, _FIRST_S)
        if retry_after_s is not None:
            pause_s = max(pause_s, min(retry_after_s, _LONGEST_RETRY_AFTER_S))
        self._not_before_s = now_s + pause_s
        return pause_s

    def _fill(self, now_s: float) -> None:
        if self._filled_s is not None:
            self._tokens = min(self._burst, self._tokens + max(0.0, now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
