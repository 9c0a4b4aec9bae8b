"""What a person or a program sees of a rule file. Nothing in it can steer the terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from worker.alert.faults import Fault
from worker.alert.parameters import CountDetector, ShareDetector, duration_text
from worker.alert.rules import Rule, RulesError, RuleSet, Scope, parse_rules


class Checked(NamedTuple):
    """A file, and its rules or its faults."""

    file: str
    rules: RuleSet | None
    faults: tuple[Fault, ...] = ()


def look_at(path: Path) -> Checked:
    """Read and check a file; one that cannot be read has that for its fault, at line 0."""
    try:
        return Checked(str(path), parse_rules(path.read_text(encoding="utf-8"), str(path)))
    except RulesError as error:
        return Checked(str(path), None, error.faults)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        return Checked(str(path), None, (Fault(str(path), 0, "", f"cannot be read: {reason}"),))


def as_dict(checked: Checked) -> dict[str, Any]:
    """Return it as JSON."""
    return {
        "file": checked.file,
        "ok": checked.rules is not None,
        "rules": [_row(rule) for rule in checked.rules.rules] if checked.rules else [],
        "faults": [fault._asdict() for fault in checked.faults],
    }


def told(checked: Checked) -> Iterator[RenderableType]:
    """Yield the lines: a table of the rules, or the faults."""
    if checked.rules is None:
        yield from (Text(str(fault), style="red") for fault in checked.faults)
        return
    count = len(checked.rules.rules)
    yield Text(f"{checked.file}: {count} {'rule' if count == 1 else 'rules'}", style="green")
    yield _table(checked.rules)


def _table(rules: RuleSet) -> Table:
    rows = [_row(rule) for rule in rules.rules]
    found = Table(*rows[0], box=None, pad_edge=False, header_style="bold")
    for row in rows:
        found.add_row(*(Text(cell) for cell in row.values()))
    return found


def _row(rule: Rule) -> dict[str, str]:
    return {
        "name": rule.name,
        "scope": _scope(rule.scope),
        "detector": _detector(rule),
        "for": duration_text(rule.for_),
        "severity": rule.severity,
        "version": rule.version,
    }


def _scope(scope: Scope) -> str:
    said = {name: value for name, value in scope.model_dump().items() if value is not None}
    parts = [f"{name} {value if isinstance(value, str) else ', '.join(sorted(value))}" for name, value in said.items()]
    text = "; ".join(parts) or "everything"
    return text if text.isprintable() else repr(text)


def _detector(rule: Rule) -> str:
    detector = rule.detector
    if isinstance(detector, CountDetector):
        return f"{detector.type} once in {duration_text(detector.once_in)}"
    limit = f"{detector.threshold:g}"
    if isinstance(detector, ShareDetector) and detector.rise:
        above = f"{detector.rise:g} above usual"
        limit = above if detector.threshold <= detector.rise else f"{limit} and {above}"
    return f"{detector.type} {limit} in {duration_text(detector.window)}"
