from pathlib import Path

import pytest

from tests.unit.worker.alert.builders import detector_of
from worker.alert.parameters import ShareDetector, parse_duration
from worker.alert.rules import parse_rules
from worker.errors import SettingsError

WHOLE = """
rules:
  - name: outage
    scope: {entities: [acme], topics: outage, keys: ["entity:globex"], source: tweets, kind: chat}
    detector: {type: share, window: 5m, bucket: 30s, threshold: 0.6, resolve_below: 0.3, min_messages: 7, confidence: 0.9}
    for: 1m
    keep_firing_for: 1h30m
    severity: critical
    count_duplicates: true
"""


def test_every_field_is_read() -> None:
    """What the file says is what the rule says, durations in milliseconds."""
    (rule,) = parse_rules(WHOLE).rules
    assert isinstance(rule.detector, ShareDetector)
    assert rule.scope.alert_keys == frozenset({"entity:acme", "topic:outage", "entity:globex"})
    assert rule.scope.source == frozenset({"tweets"})
    assert rule.scope.kind == frozenset({"chat"})
    assert (rule.detector.window, rule.detector.bucket, rule.detector.min_messages) == (300_000, 30_000, 7)
    assert (rule.detector.threshold, rule.detector.resolve_below, rule.detector.confidence) == (0.6, 0.3, 0.9)
    assert (rule.for_, rule.keep_firing_for, rule.severity, rule.count_duplicates) == (60_000, 5_400_000, "critical", True)
    assert rule.span_ms == 300_000 + 60_000 + 5_400_000


def test_defaults() -> None:
    """A rule needs a name and a detector; a bucket is a tenth of the window, and 0.8 of the threshold is well again."""
    (rule,) = parse_rules("rules: [{name: a, detector: {type: share, window: 10m, threshold: 0.5}}]").rules
    assert isinstance(rule.detector, ShareDetector)
    assert (rule.detector.bucket, rule.detector.resolve_below) == (60_000, 0.4)
    assert (rule.scope.alert_keys, rule.for_, rule.severity, rule.count_duplicates) == (None, 0, "warning", False)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("2d", 172_800_000), ("0s", 0)],
)
def test_durations(text: str, milliseconds: int) -> None:
    """Numbers with units, largest first by custom, add up."""
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "1.5h", "5mm", 300, None, True])
def test_other_durations_are_refused(text: object) -> None:
    """A bare number could be seconds or milliseconds: nothing is guessed."""
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("window: 5m", "window: 5 minutes"), r'r\.yaml:5: rules\[0\]\.detector\.window: expected a duration such as "30s"'),
        (("threshold: 0.6", "threshold: 1.6"), r"r\.yaml:5: rules\[0\]\.detector\.threshold: .*less than 1"),
        (
            ("threshold: 0.6", "treshold: 0.6"),
            r"r\.yaml:5: rules\[0\]\.detector\.treshold: no such field; did you mean `threshold`\? Known here: bucket, ",
        ),
        (("resolve_below: 0.3", "resolve_below: 0.7"), r"r\.yaml:5: rules\[0\]\.detector: resolve_below must not lie above"),
        (("bucket: 30s", "bucket: 45s"), r"r\.yaml:5: rules\[0\]\.detector: window must be a whole number of buckets"),
        (("bucket: 30s", "bucket: 1s"), r"r\.yaml:5: rules\[0\]\.detector: window has 300 buckets; at most 240"),
        (
            ("type: share", "type: trend"),
            r"r\.yaml:5: rules\[0\]\.detector: no such type as 'trend'\. Types: share, surge, shift, single, volume",
        ),
        (
            ("severity: critical", "severity: grave"),
            r"r\.yaml:8: rules\[0\]\.severity: expected info, warning or critical, not 'grave'$",
        ),
        (("name: outage", "name: Out age"), r"r\.yaml:3: rules\[0\]\.name: "),
        (("kind: chat", "kind: mail"), r"r\.yaml:4: rules\[0\]\.scope\.kind"),
        (("for: 1m", "for: 60"), r"r\.yaml:6: rules\[0\]\.for: expected a duration"),
        (("severity: critical", "for: 2m"), r"r\.yaml:8: `for` is given twice"),
        (("for: 1m", "for: [1m"), r"r\.yaml:7: "),
    ],
)
def test_errors_name_line_field_and_expectation(change: tuple[str, str], expected: str) -> None:
    """Each fault is one line: file, line, path, and what should be there."""
    with pytest.raises(SettingsError, match=expected):
        parse_rules(WHOLE.replace(*change), "r.yaml")


@pytest.mark.parametrize("text", ["", "[]", "rules: []", "rules:", "just words", "rules: {a: 1}", "rules: [1]", "\0"])
def test_files_without_rules_are_refused(text: str) -> None:
    """An empty or misshapen file is an error, not a worker that never alerts."""
    with pytest.raises(SettingsError, match=r"rules\.yaml:1: "):
        parse_rules(text)


def test_all_faults_are_told_at_once() -> None:
    """One run of the checker shows everything there is to mend."""
    with pytest.raises(SettingsError) as caught:
        parse_rules(WHOLE.replace("5m", "x").replace("for: 1m", "for: y").replace("critical", "z"))
    assert len(str(caught.value).splitlines()) == 3


def test_names_must_differ() -> None:
    """State and alerts are kept by name, so two rules may not share one."""
    rule = "{name: twin, detector: {type: share}}"
    with pytest.raises(SettingsError, match="used twice: twin"):
        parse_rules(f"rules: [{rule}, {rule}]")


def test_a_rule_has_the_version_that_it_had_before_shares_were_held_to_the_usual() -> None:
    """So that an upgrade changes no rule; what would only count with a rise does not count."""
    share = "rules: [{name: bad-press, detector: {type: share, window: 50s, bucket: 10s%s}}]"
    assert parse_rules(Path("deploy/compose/rules.yaml").read_text()).rules[0].version == "72a17181b0e4"
    plain, off = (parse_rules(share % more).rules[0].version for more in ("", ", rise: 0.0, half_life: 2d"))
    assert plain == off
    assert (
        len({plain, *(parse_rules(share % more).rules[0].version for more in (", rise: 0.1", ", rise: 0.1, half_life: 2d"))})
        == 3
    )


@pytest.mark.parametrize(
    ("told", "threshold", "resolve_below"),
    [
        ("", 0.5, 0.4),
        (", threshold: 0.3", 0.3, 0.24),
        (", rise: 0.1", 0.1, 0.08),  # what lies 0.1 above the usual share is 0.1 or more
        (", rise: 0.0", 0.5, 0.4),
        (", rise: 0.1, threshold: 0.3", 0.3, 0.24),
        (", rise: 0.1, threshold: 0.3, resolve_below: 0.3", 0.3, 0.3),
    ],
)
def test_what_a_share_is_held_to_unless_told(told: str, threshold: float, resolve_below: float) -> None:
    """With a rise nothing else, unless it is given."""
    detector = detector_of(f"rules: [{{name: a, detector: {{type: share{told}}}}}]", ShareDetector)
    assert (detector.threshold, detector.resolve_below) == (threshold, resolve_below)


def test_no_pattern_takes_longer_than_the_key_is_long() -> None:
    """A backtracking engine would take 2^40 steps here, and the alert role with it."""
    (rule,) = parse_rules(_matching("(a+)+b")).rules
    assert not rule.scope.covers("a" * 40)
    assert rule.scope.covers("a" * 40 + "b")


def test_aliases_that_multiply_are_refused_in_time() -> None:
    """Nine lines of them are a billion fields; a file of many rules is none of that."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)
    ]
    with pytest.raises(SettingsError, match="more than 100,000 fields"):
        parse_rules("\n".join(lines))
    many = "rules:" + "".join(f"\n  - {{name: r{n}, detector: {{type: single}}}}" for n in range(1_000))
    assert len(parse_rules(many).rules) == 1_000


def test_version_is_of_what_is_said_not_how() -> None:
    """Layout, order, units and spelt-out defaults do not change the version; every change of meaning does."""
    (whole,) = parse_rules(WHOLE).rules
    (same,) = parse_rules(
        WHOLE.replace("5m,", "300s,").replace("[acme]", "acme").replace("    for: 1m\n", "") + "    for: 60s"
    ).rules
    assert same.version == whole.version
    assert parse_rules(_matching("ab")).rules[0].version != parse_rules(_matching("ba")).rules[0].version
    changes = [("0.6", "0.61"), ("acme", "acne"), ("for: 1m", "for: 2m"), ("critical", "info"), ("kind: chat", "kind: news")]
    versions = {parse_rules(WHOLE.replace(*change)).rules[0].version for change in changes}
    assert len(versions | {whole.version}) == len(changes) + 1


def _matching(pattern: str) -> str:
    return f"rules: [{{name: a, scope: {{keys_matching: '{pattern}'}}, detector: {{type: share}}}}]"


def test_keys_matching_is_a_whole_match() -> None:
    """It narrows what the names leave, and a pattern that is none is refused."""
    found = parse_rules(_matching("entity:a.*"))
    assert [bool(found.for_key(key)) for key in ("entity:acme", "entity:globex", "my entity:acme")] == [True, False, False]
    with pytest.raises(SettingsError, match=r"scope\.keys_matching: .* is no regular expression \(RE2\): missing \)"):
        parse_rules(_matching("(a"))


def test_rules_are_found_by_key() -> None:
    """A key gets the rules that name it and those that name none, in the order of their names."""
    text = """
rules:
  - {name: c-any, detector: {type: share}}
  - {name: b-acme, scope: {entities: acme}, detector: {type: share}}
  - {name: a-topic, scope: {topics: [acme]}, detector: {type: share}}
"""
    found = parse_rules(text)
    assert [rule.name for rule in found.for_key("entity:acme")] == ["b-acme", "c-any"]
    assert [rule.name for rule in found.for_key("topic:acme")] == ["a-topic", "c-any"]
    assert [rule.name for rule in found.for_key("entity:else")] == ["c-any"]


def test_scope_admits_by_source_kind_and_label() -> None:
    """What a scope leaves out is not asked; what it names must fit."""
    (rule,) = parse_rules(WHOLE).rules
    assert rule.scope.admits("tweets", "chat", "neutral")
    assert not rule.scope.admits("tweets", "news", "neutral")
    assert not rule.scope.admits("blog", "chat", "neutral")
    assert not rule.scope.admits(None, "chat", "neutral")
    (rule,) = parse_rules(WHOLE.replace("kind: chat", "label: [negative, positive]")).rules
    assert rule.scope.admits("tweets", "news", "positive")
    assert not rule.scope.admits("tweets", "news", "neutral")


def test_what_is_remembered_of_keys_is_bounded() -> None:
    """There may be any number of them."""
    assert parse_rules(WHOLE).for_key.cache_info().maxsize is not None
