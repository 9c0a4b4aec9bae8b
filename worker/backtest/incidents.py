"""Labelled incidents: JSON lines of what really happened. Pure.

    {"alert_key": "entity:acme", "start": "2026-03-01T09:00:00Z", "end": 1772359200000, "rule": "bad-press", "name": "recall"}

`start` and `end` are RFC 3339 or epoch milliseconds; `rule` and `name` may be left out.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from worker.backtest.moments import epoch_ms
from worker.errors import SettingsError

Name = Annotated[str, msgspec.Meta(min_length=1)]


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an alert should have fired for, on `alert_key`; by `rule` if given, else by any."""

    alert_key: str
    start_ms: int
    end_ms: int
    rule: str | None = None
    name: str | None = None


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alert_key: Name
    start: int | datetime
    end: int | datetime
    rule: Name | None = None
    name: str | None = None


_decoder = msgspec.json.Decoder(_Line)


def parse_incidents(body: bytes, name: str) -> tuple[Incident, ...]:
    """Read the incidents of a file, in order of time; `name` is what errors call it.

    Raises:
        SettingsError: one line for each fault: file, line and what was expected. A label read wrong spoils every figure.
    """
    found, faults = list[Incident](), list[str]()
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            try:
                found.append(_incident(_decoder.decode(line)))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
                faults.append(f"{name}:{number}: {error}")
    if faults:
        raise SettingsError("\n".join(faults))
    return tuple(sorted(found, key=lambda incident: (incident.start_ms, incident.alert_key, incident.end_ms)))


def _incident(line: _Line) -> Incident:
    start_ms, end_ms = epoch_ms(line.start), epoch_ms(line.end)
    if end_ms < start_ms:
        raise ValueError("`end` lies before `start`")
    return Incident(alert_key=line.alert_key, start_ms=start_ms, end_ms=end_ms, rule=line.rule, name=line.name)
