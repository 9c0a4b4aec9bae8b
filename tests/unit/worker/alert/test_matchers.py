import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.alert.matchers import Matcher, admit, fault_of, parse_matchers
from worker.messages import Silence

LABELS = {"alertname": "share", "topic": "film", "severity": "critical", "odd name": 'with "quotes"'}


def silence(*matchers: str, starts_at_ms: int = 0, ends_at_ms: int = 1) -> Silence:
    """A silence of somebody's."""
    return Silence("s", matchers, ends_at_ms, "kim", "why", starts_at_ms)


@pytest.mark.parametrize(
    ("text", "is_met"),
    [
        ("severity=critical", True),
        ("severity=warning", False),
        ("severity!=warning", True),
        ("severity!=critical", False),
        ('topic=~"film|music"', True),
        ("topic=~fil", False),
        ("topic=~fil.*", True),
        ("topic!~fil", True),
        ('topic!~"fil."', False),
        ("team=", True),
        ('team=""', True),
        ("team!=a", True),
        ("team=~.*", True),
        ("team=~.+", False),
        ('{severity="critical", topic=~"f.*"}', True),
        ('severity="critical",topic="music",', False),
        ('"odd name"="with \\"quotes\\""', True),
        (" severity = critical ", True),
    ],
)
def test_matchers_match_as_in_alertmanager(text: str, is_met: bool) -> None:
    """All conditions must hold, a regular expression matches the whole value, and what is absent is empty."""
    assert admit([text], LABELS) is is_met


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected matchers"),
        ("{}", "expected matchers"),
        ("severity", "expected matchers"),
        ("=critical", "expected matchers"),
        ("a=b c=d", "expected matchers"),
        ('a="b"c', "expected matchers"),
        ("{a=b", "brace"),
        ("a=b}", "brace"),
        ("{", "brace"),
        ('a=~"("', "no regular expression"),
        ('a=~"(?=b)"', "no regular expression"),
        ('a="half', "expected matchers"),
    ],
)
def test_what_is_no_matcher_is_refused(text: str, says: str) -> None:
    """With what is wrong, or an example of what is right."""
    with pytest.raises(ValueError, match=says):
        parse_matchers(text)


@given(st.text())
def test_any_text_is_matchers_or_refused(text: str) -> None:
    """Nothing else comes of it."""
    try:
        found = parse_matchers(text)
    except ValueError:
        return
    assert found


@given(st.text(), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_quoted_value_is_what_was_quoted(name: str, value: str) -> None:
    """Whatever it holds."""
    quoted = [part.replace("\\", "\\\\").replace('"', '\\"') for part in (name, value)]
    assert parse_matchers(f'"{quoted[0]}"="{quoted[1]}"') == (Matcher(name, "=", value),)


def test_a_hostile_expression_ends() -> None:
    """RE2 has no backtracking: this takes Python's own `re` some centuries."""
    assert not admit(['topic=~"(a+)+b"'], {"topic": "a" * 60})


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (silence("topic=film"), None),
        (silence("topic=film", "severity!=critical"), None),
        (silence("topic=film", starts_at_ms=5, ends_at_ms=5), "ends before"),
        (silence("severity!=critical"), "absent"),
        (silence('topic=~".*"'), "absent"),
        (silence("topic"), "expected matchers"),
    ],
)
def test_a_silence_is_of_something(one: Silence, says: str | None) -> None:
    """It lasts, can be read, and asks for at least one label that is there, as in Alertmanager."""
    fault = fault_of(one)
    assert (fault is None) if says is None else (fault is not None and says in fault)
