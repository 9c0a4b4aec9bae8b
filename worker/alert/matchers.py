"""Matchers of labels, as Prometheus Alertmanager has them (https://prometheus.io/docs/alerting/latest/configuration/#matcher).

`name=value`, `!=`, `=~` and `!~`, alone or as a list, `{severity="critical", topic=~"film|music"}`, in braces or without. What
has blanks, braces, quotes or any of `!=~,` in it is put in double quotes. Regular expressions are RE2's, so none takes for
ever, and match the whole value. A label that is absent is as good as an empty one. Pure.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import re2

from worker.messages import Silence

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_BARE = r"[^\s{}!=~,\\\"'`]"
_MATCHER = re.compile(rf"\s*({_QUOTED}|{_BARE}+)\s*(=~|!~|!=|=)\s*({_QUOTED}|{_BARE}*)\s*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_EXAMPLE = 'expected matchers such as severity=critical, topic!=film or rule=~"share-.*"'
_CACHED = 10_000


class Matcher(NamedTuple):
    """One condition on one label."""

    name: str
    operator: str
    value: str

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether these labels meet the condition."""
        value = labels.get(self.name, "")
        if self.operator in {"=", "!="}:
            return (value == self.value) == (self.operator == "=")
        return matches_whole(self.value, value) == (self.operator == "=~")


@lru_cache(_CACHED)
def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Return the matchers that a text holds, one or several.

    Raises:
        ValueError: it holds none, or something else.
    """
    inner = text.strip()
    if inner.startswith("{") != inner.endswith("}") or inner == "{":
        raise ValueError(f"a brace without its other half in {text!r}")
    inner = inner[1:-1] if inner.startswith("{") else inner
    found, at = list[Matcher](), 0
    while at < len(inner):
        part = _MATCHER.match(inner, at)
        if part is None or inner[part.end() : part.end() + 1] not in {"", ","}:
            raise ValueError(f"{_EXAMPLE}, not {inner[at : at + 60].strip()!r}")
        found.append(_checked(Matcher(_unquoted(part[1]), part[2], _unquoted(part[3]))))
        at = part.end() + 1
    if not found:
        raise ValueError(f"{_EXAMPLE}, not {text!r}")
    return tuple(found)


def admit(matchers: Iterable[str], labels: Mapping[str, str]) -> bool:
    """Tell whether the labels meet every condition of every text, each of which `parse_matchers` takes."""
    return all(matcher.admits(labels) for text in matchers for matcher in parse_matchers(text))


def fault_of(silence: Silence) -> str | None:
    """Say what is wrong with a silence, None if nothing is."""
    if silence.ends_at_ms <= silence.starts_at_ms:
        return "the silence ends before it begins"
    try:
        matchers = [matcher for text in silence.matchers for matcher in parse_matchers(text)]
    except ValueError as error:
        return str(error)
    if all(matcher.admits({}) for matcher in matchers):
        return "at least one matcher must not match an absent label, or the silence would be of everything"
    return None


def _checked(matcher: Matcher) -> Matcher:
    if matcher.operator in {"=~", "!~"}:
        checked_pattern(matcher.value)
    return matcher


def checked_pattern(pattern: str) -> str:
    """Return a regular expression that can be used: RE2's, which takes a time that grows with the text alone.

    Raises:
        ValueError: it is none.
    """
    try:
        _compiled(pattern)
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(f"{pattern!r} is no regular expression (RE2): {_said(error)}") from error
    return pattern


def _said(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(error)


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text[1:-1])


@lru_cache(_CACHED)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def matches_whole(pattern: str, value: str) -> bool:
    """Tell whether a checked regular expression matches the whole value."""
    try:
        return _compiled(pattern).fullmatch(value) is not None
    except UnicodeEncodeError:  # half a character: no label of anybody's
        return False
