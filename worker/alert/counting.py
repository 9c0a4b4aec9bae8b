"""What the alert role has done since it started: counted for the metrics, and each event in the log."""

import msgspec
import structlog

from worker.alert.partition import Effects
from worker.messages import AlertChange, AlertEvent

log = structlog.get_logger(__name__)
_COUNTS: dict[AlertChange, str] = {
    "firing": "fired",
    "stale": "stale",
    "resolved": "resolved",
    "acknowledged": "acknowledged",
    "suppressed": "suppressed",
    "unsuppressed": "unsuppressed",
}


class AlertCounts(msgspec.Struct):
    """What the role has done since it started."""

    signals: int = 0
    undecodable: int = 0
    late: int = 0
    late_s: float = 0.0
    future: int = 0
    fired: int = 0
    stale: int = 0
    resolved: int = 0
    acknowledged: int = 0
    not_open: int = 0
    suppressed: int = 0
    unsuppressed: int = 0
    relayed: int = 0
    fenced: int = 0
    rebuilt: int = 0
    store_retries: int = 0

    def take(self, signals: int, effects: Effects) -> None:
        """Count what a run of so many signals did."""
        self.signals += signals
        self.late += effects.late.signals
        self.late_s += effects.late.total_ms / 1_000
        self.not_open += effects.not_open
        if effects.not_open:
            log.warning("acknowledgement of an alert that is not open", count=effects.not_open)
        for stored in effects.events[effects.restored :]:
            self._announce(stored.event)

    def _announce(self, event: AlertEvent) -> None:
        told = {"rule": event.rule, "key": event.alert_key, "alert_id": event.alert_id, "reason": event.reason}
        figures = {"share": round(event.evidence.negative_share, 3), "messages": event.evidence.messages}
        change = event.change or event.state
        count = _COUNTS[change]
        setattr(self, count, getattr(self, count) + 1)
        is_loud = change in {"firing", "stale"} and not event.suppressed_by
        tell = log.warning if is_loud else log.info
        tell(f"alert {_COUNTS[change]}", severity=event.severity, suppressed_by=list(event.suppressed_by), **told, **figures)
