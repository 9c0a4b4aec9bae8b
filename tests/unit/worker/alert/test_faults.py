import pytest
from pydantic import Field, ValidationError

from worker.alert.faults import Fault, did_you_mean, faults_of
from worker.alert.parameters import Part
from worker.alert.rules import RulesError, parse_rules
from worker.alert.yaml_lines import Lines

DETECTOR = "detector: {type: share}"


def problems(text: str) -> list[tuple[int, str, str]]:
    """Line, field and problem of each fault."""
    with pytest.raises(RulesError) as caught:
        parse_rules(text, "r.yaml")
    assert str(caught.value) == "\n".join(map(str, caught.value.faults))
    assert {fault.file for fault in caught.value.faults} == {"r.yaml"}
    return [(fault.line, fault.field, fault.problem) for fault in caught.value.faults]


def rule(fields: str = "", detector: str = DETECTOR) -> str:
    """A file with one rule, its fields on lines of their own from line 3 on."""
    return f"rules:\n  - name: a\n    {detector}\n    {fields}\n"


@pytest.mark.parametrize(
    ("detector", "field", "problem"),
    [
        (
            "detector: {type: share, treshold: 0.5}",
            "detector.treshold",
            "no such field; did you mean `threshold`? Known here: bucket, confidence, half_life, min_messages, resolve_below,",
        ),
        ("detector: {type: shift, for: 1m}", "detector.for", "no such field; it belongs into the rule. Known here: bucket,"),
        (
            "detector: {type: shar}",
            "detector",
            "no such type as 'shar'; did you mean `share`? Types: share, surge, shift, single, volume",
        ),
        ("detector: {type: 7}", "detector", "no such type as '7'. Types: share, surge, shift, single, volume"),
        ("detector: {window: 5m}", "detector", "`type` is missing. Types: share, surge, shift, single, volume"),
        ("detector: share", "detector", "expected a mapping, not 'share'"),
        ("severity: info", "detector", "missing. Types: share, surge, shift, single, volume"),
        ("detector: {type: share, threshold: 1.5}", "detector.threshold", "expected more than 0 and less than 1, not 1.5"),
        ("detector: {type: shift, drift: -1}", "detector.drift", "expected at least 0, not -1"),
        ("detector: {type: share, threshold: '0.5'}", "detector.threshold", "expected a number, not '0.5'"),
        ("detector: {type: share, min_messages: 20.5}", "detector.min_messages", "expected a whole number, not 20.5"),
        ("detector: {type: share, min_messages: true}", "detector.min_messages", "expected a whole number, not True"),
        (
            "detector: {type: share, window: 300}",
            "detector.window",
            'expected a duration such as "30s", "5m" or "1h30m", not 300',
        ),
        (
            "detector: {type: share, window: 5m, shortest_window: 6m}",
            "detector",
            "shortest_window must not be shorter than bucket, nor longer than window",
        ),
        (
            "detector: {type: share, window: 5m, bucket: 1m, shortest_window: 30s}",
            "detector",
            "shortest_window must not be shorter than bucket, nor longer than window",
        ),
        ("detector: {type: shift, threshold: .inf}", "detector.threshold", "expected a finite number, not inf"),
        ("detector: {type: volume, min_ratio: .nan}", "detector.min_ratio", "expected a finite number, not nan"),
        ("detector: {type: volume, once_in: 9999999d}", "detector.once_in", "expected at most 3660d, not '9999999d'"),
        ("detector: {type: share, window: \u0663m}", "detector.window", 'expected a duration such as "30s"'),
        ("detector: {type: share, rise: 0.1, half_life: 0s}", "detector.half_life", "expected more than no time at all"),
        ("detector: {type: shift, half_life: 0s}", "detector.half_life", "expected more than no time at all"),
        ("detector: {type: surge, once_in: 0s}", "detector.once_in", "expected more than no time at all"),
        ("detector: {type: share, window: 5m, bucket: 7s}", "detector", "window must be a whole number of buckets"),
    ],
)
def test_what_is_wrong_with_a_detector(detector: str, field: str, problem: str) -> None:
    """Each fault says what to write instead, and stands on the detector's line or the rule's."""
    ((line, where, said),) = problems(rule(detector=detector))
    assert (where, said[: len(problem)]) == (f"rules[0].{field}", problem)
    assert line == (2 if said.startswith("missing") else 3)


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ("min_messages: 3", "min_messages", "no such field; it belongs into `detector`. Known here: count_duplicates,"),
        ("colour: red", "colour", "no such field. Known here: count_duplicates, detector, flap_guard, for,"),
        ("keep_firing_fr: 1m", "keep_firing_fr", "no such field; did you mean `keep_firing_for`? Known here:"),
        ("severity: critcal", "severity", "expected info, warning or critical, not 'critcal'; did you mean `critical`?"),
        ("no_data: no", "no_data", "expected keep, resolve, fire or stale, not False"),
        ("for: 5 minutes", "for", 'expected a duration such as "30s", "5m" or "1h30m", not \'5 minutes\''),
        ("for: null", "for", 'expected a duration such as "30s", "5m" or "1h30m", not None'),
        ("scope: acme", "scope", "expected a mapping, not 'acme'"),
        ("scope: {kind: [chat, mail]}", "scope.kind[1]", "expected news or chat, not 'mail'"),
        ("scope: {entities: []}", "scope.entities", "expected at least one"),
        ("scope: {entities: ['']}", "scope.entities[0]", "expected text that is not empty"),
        ("scope: {entities: [5]}", "scope.entities[0]", "expected text, not 5: put it in quotes"),
        ("scope: {entity: acme}", "scope.entity", "no such field; did you mean `entities`? Known here: entities, keys,"),
        ("labels: {team: 5}", "labels.team", "expected text, not 5: put it in quotes"),
        ("labels: {the-team: x}", "labels.the-team", "expected text that matches ^[a-zA-Z_][a-zA-Z0-9_]*$, not 'the-team'"),
        ("labels: [team]", "labels", "expected a mapping, not ['team']"),
        ("link: example.com", "link", "expected text that matches ^https?://, not 'example.com' (Where to look further:"),
        ("flap_guard: {within: 0s}", "flap_guard.within", "expected more than no time at all"),
        ("flap_guard: {fires: 1}", "flap_guard.fires", "expected at least 2 and at most 20, not 1"),
        ("count_duplicates: 1", "count_duplicates", "expected true or false, not 1"),
        ('"\\e[31mred": 1', r"'\x1b[31mred'", "no such field."),
        (f"link: {'x' * 100}", "link", f"expected text that matches ^https?://, not '{'x' * 58}…"),
    ],
)
def test_what_is_wrong_with_a_rule(fields: str, field: str, problem: str) -> None:
    """Unknown fields have the nearest and the known ones, choices are listed, limits are named, values are shown, in short."""
    ((line, where, said),) = problems(rule(fields))
    assert (line, where, said[: len(problem)]) == (4, f"rules[0].{field}", problem)


OF_SHARE = "bucket, confidence, half_life, min_messages, resolve_below, rise, shortest_window, threshold, type, window"
OF_A_RULE = "count_duplicates, detector, flap_guard, for, keep_firing_for, labels, link, name, no_data, scope, severity"
A_NAME = "Unique; lower case letters, digits, `-`, `_` and `.`"
TYPES = "Types: share, surge, shift, single, volume; for example `{type: share}`"


@pytest.mark.parametrize(
    ("text", "line", "field", "problem"),
    [
        (
            rule(detector="detector: {type: share, treshold: 0.5}"),
            3,
            ".detector.treshold",
            f"no such field; did you mean `threshold`? Known here: {OF_SHARE}",
        ),
        (rule("colour: red"), 4, ".colour", f"no such field. Known here: {OF_A_RULE}"),
        (
            rule("source_matchers: []"),
            4,
            ".source_matchers",
            f"no such field; it belongs into `inhibit`. Known here: {OF_A_RULE}",
        ),
        (rule("inhibit: []"), 4, ".inhibit", f"no such field; it belongs into the file. Known here: {OF_A_RULE}"),
        (
            rule("scope: {link: 1}"),
            4,
            ".scope.link",
            "no such field; it belongs into the rule. Known here: entities, keys, keys_matching, kind, label, source, topics",
        ),
        (rule('"a\\nb": 1'), 4, r".'a\nb'", f"no such field. Known here: {OF_A_RULE}"),
        ("rules: [{name: a}]", 1, ".detector", f"missing. {TYPES}"),
        (rule(detector="detector: {}"), 3, ".detector", f"`type` is missing. {TYPES}"),
        (rule(detector="detector: {type: x}"), 3, ".detector", f"no such type as 'x'. {TYPES}"),
        (rule(detector="detector: {type: shar}"), 3, ".detector", f"no such type as 'shar'; did you mean `share`? {TYPES}"),
        ("rules: [{detector: {type: share}}]", 1, ".name", f"missing ({A_NAME})"),
        (rule("severity: x"), 4, ".severity", "expected info, warning or critical, not 'x'"),
        (
            rule("name: A", detector="detector: {type: single}").replace("  - name: a\n    det", "  - det"),
            3,
            ".name",
            f"expected text that matches ^[a-z0-9][a-z0-9_.-]{{0,99}}$, not 'A' ({A_NAME})",
        ),
        (rule("scope: {keys: [true]}"), 4, ".scope.keys[0]", "expected text, not True: put it in quotes"),
        (rule("flap_guard: {fires: 21}"), 4, ".flap_guard.fires", "expected at least 2 and at most 20, not 21"),
        (rule(detector="detector: {type: shift, threshold: 0}"), 3, ".detector.threshold", "expected more than 0, not 0"),
    ],
)
def test_a_fault_in_full(text: str, line: int, field: str, problem: str) -> None:
    """To the last word, as people read it: what is known, what it means, and an example."""
    assert problems(text) == [(line, f"rules[0]{field}", problem)]


@pytest.mark.parametrize(("letters", "shown"), [(58, f"'{'x' * 58}'"), (59, f"'{'x' * 58}…")])
def test_a_long_value_is_cut(letters: int, shown: str) -> None:
    """At sixty letters, with its quotes."""
    ((_, _, said),) = problems(rule(f"link: {'x' * letters}"))
    assert said.startswith(f"expected text that matches ^https?://, not {shown} (Where to look further:")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rule: []", [(1, "rules", "missing (At least one rule"), (1, "rule", "no such field; did you mean `rules`?")]),
        ("X: []", [(1, "rules", "missing (At least one rule"), (1, "X", "no such field. Known here: inhibit, rules")]),
        ("rules: []", [(1, "rules", "expected at least one")]),
        ("rules: {a: b}", [(1, "rules", "expected a list, not {'a': 'b'}")]),
        ("rules: [1]", [(1, "rules[0]", "expected a mapping, not 1")]),
        ("a: [", [(1, "", "expected the node content")]),
        ("[]", [(1, "", "expected a mapping with the field `rules`")]),
        ("x: !!int ''", [(1, "", "string index out of range")]),
    ],
)
def test_what_is_wrong_with_a_file(text: str, expected: list[tuple[int, str, str]]) -> None:
    """A file that is no rule file at all is told as such."""
    found = problems(text)
    assert [(line, field, said[: len(start)]) for (line, field, said), (_, _, start) in zip(found, expected, strict=True)] == [
        (line, field, start) for line, field, start in expected
    ]


def test_a_fault_is_one_line() -> None:
    """File, line, field and problem, what there is of it."""
    assert str(Fault("r.yaml", 3, "rules[0].for", "wrong")) == "r.yaml:3: rules[0].for: wrong"
    assert str(Fault("r.yaml", 0, "", "cannot be read")) == "r.yaml: cannot be read"


class Leaf(Part):
    """A part of a part."""

    colour: str = ""


class Node(Part):
    """A part that holds parts of its own kind, as a route of alerts does."""

    nodes: list["Node | Leaf"] = Field(default_factory=list)


def test_where_a_field_belongs_is_found_past_parts_of_the_same_kind() -> None:
    """They are not looked through for ever, and what stands beside them is."""
    with pytest.raises(ValidationError) as refused:
        Node.model_validate({"colour": "red"})
    (fault,) = faults_of(refused.value, Node, "r.yaml", Lines({(): 1}))
    assert fault == Fault("r.yaml", 1, "colour", "no such field; it belongs into `nodes`. Known here: nodes")


def test_only_what_is_near_is_asked_about() -> None:
    """A suggestion that is far off would send people the wrong way."""
    assert did_you_mean("treshold", ["threshold", "type"]) == "; did you mean `threshold`?"
    assert did_you_mean("colour", ["threshold", "type"]) == did_you_mean(5, ["threshold"]) == ""


@pytest.mark.parametrize(
    ("fields", "line", "field", "problem"),
    [
        (
            "{source_matchers: [a=b], target_matchers: [a=b], same: [c]}",
            6,
            "same",
            "no such field. Known here: equal, source_matchers, target_matchers",
        ),
        ("{source_matchers: [a=b]}", 6, "target_matchers", "missing (What a target's labels must match, all of it)"),
        ("{source_matchers: [], target_matchers: [a=b]}", 6, "source_matchers", "expected at least one"),
        (
            "{source_matchers: [severity critical], target_matchers: [a=b]}",
            6,
            "source_matchers[0]",
            "expected matchers such as severity=critical, topic!=film or rule=~\"share-.*\", not 'severity critical'",
        ),
        ('{source_matchers: ["a=~("], target_matchers: [a=b]}', 6, "source_matchers[0]", "'(' is no regular expression (RE2)"),
        (
            "{source_matchers: [a=b], target_matchers: [a=b], equal: [the-team]}",
            6,
            "equal[0]",
            "expected text that matches ^[a-zA-Z_][a-zA-Z0-9_]*$, not 'the-team'",
        ),
    ],
)
def test_what_is_wrong_with_an_inhibition(fields: str, line: int, field: str, problem: str) -> None:
    """Named as any fault of a rule is."""
    ((at, where, said),) = problems(f"{rule()}inhibit:\n  - {fields}\n")
    assert (at, where, said[: len(problem)]) == (line, f"inhibit[0].{field}", problem)
