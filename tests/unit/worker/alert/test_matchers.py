import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.alert.matchers import Matcher, admit, fault_of, parse_matchers
from worker.messages import Silence

LABELS = {"alertname": "share", "topic": "film", "severity": "critical", "odd name": 'with "quotes"'}


NOTHING_ASKED = "at least one matcher must not match an absent label, or the silence would be of everything"


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
        ("severity!=critica.", True),
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
        ('a!~"("', "no regular expression"),
        ('a=~"("', "no regular expression"),
        ('a=~"(?=b)"', "no regular expression"),
        ('a="half', "expected matchers"),
    ],
)
def test_what_is_no_matcher_is_refused(text: str, says: str) -> None:
    """With what is wrong, or an example of what is right."""
    with pytest.raises(ValueError, match=says):
        parse_matchers(text)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(a", "'(a' is no regular expression (RE2): missing ): (a"),
        ("[\u00e9", "'[\u00e9' is no regular expression (RE2): missing ]: [\u00e9"),
        ("\ud800", "'\\ud800' is no regular expression (RE2): 'utf-8' codec can't encode character '\\ud800' in position 0: "),
    ],
)
def test_what_is_wrong_with_an_expression_is_said_in_words(pattern: str, says: str) -> None:
    """RE2's own, or Python's where the expression is no text at all."""
    with pytest.raises(ValueError, match="is no regular expression") as refused:
        parse_matchers(f'a=~"{pattern}"')
    assert str(refused.value).startswith(says)


@given(st.text())
def test_any_text_is_matchers_or_refused(text: str) -> None:
    """Nothing else comes of it."""
    try:
        found = parse_matchers(text)
    except ValueError:
        return
    assert found


@pytest.mark.parametrize(
    ("text", "value"),
    [('a="b\\nc"', "b\nc"), ('a="\\N\\t"', "Nt"), ('a="\\\\n"', "\\n"), ('a="b c"', "b c"), ("a=b", "b")],
)
def test_escapes(text: str, value: str) -> None:
    r"""`\n` is a line's end, whatever else follows a backslash is itself."""
    assert parse_matchers(text) == (Matcher("a", "=", value),)


def test_half_a_character_is_found_by_nothing() -> None:
    """A regular expression has no opinion of it: it does not match."""
    assert not admit(["topic=~.*"], {"topic": "\ud800"})
    assert admit(["topic!~.*"], {"topic": "\ud800"})


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
        (silence("topic=film", starts_at_ms=5, ends_at_ms=5), "the silence ends before it begins"),
        (silence("severity!=critical"), NOTHING_ASKED),
        (silence('topic=~".*"'), NOTHING_ASKED),
        (silence("topic"), "expected matchers"),
    ],
)
def test_a_silence_is_of_something(one: Silence, says: str | None) -> None:
    """It lasts, can be read, and asks for at least one label that is there, as in Alertmanager."""
    fault = fault_of(one)
    assert (fault is None) if says is None else (fault is not None and fault.startswith(says))
