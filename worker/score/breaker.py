"""Decide when to leave a failing model alone and when to ask it again: a circuit breaker. Pure.

```
            so many failures in a row, or the canary failed            the pause is over
   closed ───────────────────────────────────────────────────▶ open ─────────────────────▶ half-open
     ▲                                                           ▲     the canary failed      │
     └──────────────── the canary was answered ──────────────────┴────────────────────────────┘
```

A canary is a text that the model has every reason to answer. Nygard, "Release It!", and
https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker.
"""

from typing import Literal

import msgspec
from msgspec.structs import replace

from worker.backoff import back_off_s

Phase = Literal["closed", "open", "half_open"]
FaultReason = Literal["unavailable", "not_loaded", "no_answer", "refused", "not_finite", "contract_broken"]
"""`unavailable`: nobody there, or busy; `not_loaded`: the server does not serve the model; `no_answer`: too slow; `refused`:
the server answered with an error; `not_finite`: logits that are no numbers; `contract_broken`: an answer of another shape, or
no right to ask."""
Reason = FaultReason | Literal["started", "pause_over", "canary_answered"]

_MAX_BACK_OFF_S = 5.0
_SUSPICIOUS = frozenset({"refused", "not_finite", "no_answer"})
_COUNTED = frozenset({"unavailable", "not_loaded", "no_answer"})


class Fault(msgspec.Struct, frozen=True):
    """Why a request to the model gave no logits: a fixed word, and a sentence that says more."""

    reason: FaultReason
    detail: str

    @property
    def is_suspicious(self) -> bool:
        """Whether it may be the fault of a text in the batch: the model was there, and did not do its work on it."""
        return self.reason in _SUSPICIOUS

    @property
    def is_counted(self) -> bool:
        """Whether it speaks against the model by itself, so that enough of them in a row open the breaker."""
        return self.reason in _COUNTED


class BreakerLimits(msgspec.Struct, frozen=True):
    """Open after `failures` in a row; pause 0.5 s at first, doubling up to `max_pause_s`, less jitter of at most half."""

    failures: int = 5
    max_pause_s: float = 30.0
    first_pause_s: float = 0.5


class Breaker(msgspec.Struct, frozen=True):
    """Where the breaker stands.

    `since_s` is when it came into this phase and `wait_until_s` when the model may be asked next, both on the caller's
    monotonic clock; `reason` and `detail` say why. `failures` in a row while closed, `openings` in a row without closing.
    """

    phase: Phase = "closed"
    since_s: float = 0.0
    reason: Reason = "started"
    detail: str = ""
    failures: int = 0
    openings: int = 0
    wait_until_s: float = 0.0

    def admits(self, now_s: float) -> bool:
        """Whether a batch may be sent."""
        return self.phase == "closed" and now_s >= self.wait_until_s

    def may_probe(self, now_s: float) -> bool:
        """Whether the pause is over, so that the canary should be sent."""
        return self.phase == "open" and now_s >= self.wait_until_s

    def failed(self, fault: Fault, limits: BreakerLimits, now_s: float, jitter: float) -> "Breaker":
        """Count a failed batch while closed: back off, 0.1 s doubling to 5 s with full jitter, or open.

        `jitter` is a random number in [0, 1]. What was sent before the breaker opened and fails after it changes nothing.
        """
        if self.phase != "closed":
            return self
        failures = self.failures + 1
        if failures >= limits.failures:
            return self.tripped(fault, limits, now_s, jitter)
        return replace(self, failures=failures, wait_until_s=now_s + back_off_s(failures, _MAX_BACK_OFF_S, jitter))

    def tripped(self, fault: Fault, limits: BreakerLimits, now_s: float, jitter: float) -> "Breaker":
        """Open at once, as when the canary failed."""
        if self.phase == "open":
            return self
        pause_s = min(limits.max_pause_s, limits.first_pause_s * 2.0 ** min(self.openings, 30)) * (0.5 + jitter / 2)
        return Breaker("open", now_s, fault.reason, fault.detail, 0, self.openings + 1, now_s + pause_s)

    def probing(self, now_s: float) -> "Breaker":
        """Go half-open, as the canary is sent."""
        return replace(self, phase="half_open", since_s=now_s, reason="pause_over")

    def answered(self) -> "Breaker":
        """Forget the failures: a batch was answered. It takes the canary to close an open breaker."""
        return replace(self, failures=0, wait_until_s=0.0) if self.phase == "closed" and self.failures else self

    def proved(self, now_s: float) -> "Breaker":
        """Close a half-open breaker: the canary was answered."""
        return Breaker("closed", now_s, "canary_answered") if self.phase == "half_open" else self.answered()
