"""Event times and durations as people write and read them. Pure."""

from datetime import UTC, datetime, timedelta

from worker.messages import MAX_EVENT_TIME_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def epoch_ms(when: int | datetime) -> int:
    """Return epoch milliseconds; a time without an offset is UTC.

    Raises:
        ValueError: it lies outside the years 1970 to 9999.
    """
    aware = when if isinstance(when, int) or when.tzinfo else when.replace(tzinfo=UTC)
    found = aware if isinstance(aware, int) else (aware - _EPOCH) // timedelta(milliseconds=1)
    if not 0 <= found <= MAX_EVENT_TIME_MS:
        raise ValueError(f"the time {found} lies outside the years 1970 to 9999")
    return found


def as_time(at_ms: int) -> datetime:
    """Return the moment in UTC."""
    return _EPOCH + timedelta(milliseconds=at_ms)


def moment(at_ms: int) -> str:
    """Write a moment as RFC 3339, to the second unless it has a finer part."""
    return as_time(at_ms).isoformat(timespec="milliseconds" if at_ms % 1_000 else "seconds").replace("+00:00", "Z")


def duration(span_ms: float) -> str:
    """Write a duration by its two largest units, such as `1h30m` or `45s`."""
    left, parts = round(abs(span_ms)), list[str]()
    for unit, size in _UNITS:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size}{unit}")
            left %= size
    return ("-" if span_ms < 0 else "") + ("".join(parts) or "0s")
