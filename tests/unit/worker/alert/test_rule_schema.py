from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from worker.alert.parameters import duration_text, parse_duration
from worker.alert.rule_schema import rules_schema
from worker.alert.rules import parse_rules
from worker.errors import SettingsError

ROOT = Path(__file__).parents[4]
GOOD = [
    "name: a",
    "scope: {entities: acme, topics: [a, b, a], keys: ['entity:x'], source: s, kind: [news, chat], label: negative}",
    "scope: {entities: null, keys_matching: 'entity:.*'}",
    "for: 1m\nkeep_firing_for: 1h30m\nseverity: critical\nno_data: stale\ncount_duplicates: true",
    "flap_guard: {fires: 20, within: 2d}",
    "flap_guard: null\nlink: null",
    "link: https://example.com/{alert_id}",
    "labels: {team: web, _x: ''}",
    "labels: {}",
    "detector: {type: share, window: 10m, bucket: 1m, threshold: 0.4, resolve_below: 0.1, min_messages: 1, confidence: 0.9}",
    "detector: {type: single, window: 1h, threshold: 0.99}",
    "detector: {type: shift, window: 1h, threshold: 4, drift: 0, half_life: 12h, warm_up: 5}",
]
"""What can be said of a rule, one example each; the rest is filled in."""
BAD = [
    "name: Out age",
    "name: null",
    "name: 5",
    "scope: acme",
    "scope: {entities: []}",
    "scope: {entities: ['']}",
    "scope: {entities: ''}",
    "scope: {entities: [5]}",
    "scope: {kind: mail}",
    "scope: {kind: [chat, mail]}",
    "scope: {label: bad}",
    "scope: {entity: acme}",
    "for: 5",
    "for: 5 minutes",
    "for: ''",
    "for: null",
    "severity: grave",
    "severity: null",
    "no_data: no",
    "count_duplicates: 1",
    "count_duplicates: 'yes'",
    "flap_guard: {fires: 1}",
    "flap_guard: {fires: '3'}",
    "flap_guard: {within: 3600}",
    "flap_guard: {times: 3}",
    "link: example.com",
    "labels: {the-team: x}",
    "labels: {team: 5}",
    "labels: [team]",
    "colour: red",
    "detector: share",
    "detector: {}",
    "detector: {type: trend}",
    "detector: {type: share, treshold: 0.5}",
    "detector: {type: share, threshold: 0}",
    "detector: {type: share, threshold: 1}",
    "detector: {type: share, threshold: '0.5'}",
    "detector: {type: share, min_messages: 0}",
    "detector: {type: share, min_messages: 1.5}",
    "detector: {type: share, min_messages: true}",
    "detector: {type: share, confidence: 0.5}",
    "detector: {type: share, window: 5}",
    "detector: {type: single, min_messages: '1'}",
    "detector: {type: single, confidence: 0.9}",
    "detector: {type: shift, threshold: 0}",
    "detector: {type: shift, drift: -0.1}",
    "detector: {type: shift, half_life: day}",
    "detector: {type: shift, warm_up: 0}",
]
BEYOND = [
    "detector: {type: share, window: 5m, bucket: 7s}",
    "detector: {type: share, window: 5m, bucket: 1s}",
    "detector: {type: share, threshold: 0.5, resolve_below: 0.6}",
    "scope: {keys_matching: '('}",
]
"""What takes more than one field, or a look into a pattern: Tidings refuses it, the schema cannot."""


def document(said: str) -> dict[str, Any]:
    """A rule file with one rule that says this."""
    return {"rules": [{"name": "a", "detector": {"type": "share"}} | yaml.safe_load(said)]}


def accepted_by_schema(found: object) -> bool:
    """Whether the schema has nothing against it."""
    return jsonschema.Draft202012Validator(rules_schema()).is_valid(found)


def accepted_by_tidings(found: object) -> bool:
    """Whether the worker would start with it."""
    try:
        parse_rules(yaml.safe_dump(found))
    except SettingsError:
        return False
    return True


def test_the_schema_is_one() -> None:
    """Of the dialect that it names, with a sentence on every field but `type` and those whose name says all."""
    jsonschema.Draft202012Validator.check_schema(rules_schema())
    models = rules_schema()["$defs"]
    assert {"Rule", "Scope", "FlapGuard", "ShareDetector", "SingleDetector", "ShiftDetector"} <= models.keys()
    silent = {name for model in models.values() for name, field in model["properties"].items() if "description" not in field}
    assert silent <= {"type", "detector", "severity"}


@pytest.mark.parametrize("said", GOOD)
def test_both_accept(said: str) -> None:
    """What the worker understands is not underlined in an editor."""
    assert accepted_by_schema(document(said))
    assert accepted_by_tidings(document(said))


@pytest.mark.parametrize("said", BAD)
def test_both_refuse(said: str) -> None:
    """What the worker refuses in one field, the editor underlines."""
    assert not accepted_by_schema(document(said))
    assert not accepted_by_tidings(document(said))


@pytest.mark.parametrize(
    ("said", "is_good"),
    [
        ("source_matchers: [severity=critical], target_matchers: [a=b, c=d], equal: [entity, topic]", True),
        ("source_matchers: severity=critical, target_matchers: a=b, equal: entity", True),
        ("source_matchers: [a=b, a=b], target_matchers: a=b, equal: []", True),
        ("source_matchers: [], target_matchers: a=b", False),
        ("source_matchers: a=b", False),
        ("source_matchers: {a: b}, target_matchers: a=b", False),
        ("source_matchers: [5], target_matchers: a=b", False),
        ("source_matchers: a=b, target_matchers: a=b, equal: the-team", False),
        ("source_matchers: a=b, target_matchers: a=b, equal: [the-team]", False),
    ],
)
def test_an_inhibition_is_read_alike(said: str, is_good: bool) -> None:
    """A list of one may be written as that one, as in a scope; at least one matcher on either side, any number of labels."""
    found = document("name: a") | {"inhibit": [yaml.safe_load(f"{{{said}}}")]}
    assert (accepted_by_schema(found), accepted_by_tidings(found)) == (is_good, is_good)


def test_a_list_has_its_description_and_no_bounds_of_texts() -> None:
    """What an editor shows of it, and the form in which JSON Schema has the bound of a list."""
    models = rules_schema()["$defs"]
    assert models["InhibitRule"]["properties"]["equal"] == {
        "description": "Names of labels in which both must agree, such as `entity`; one that both lack agrees.",
        "anyOf": [
            {"type": "array", "items": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$", "type": "string"}, "minItems": 0},
            {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$", "type": "string"},
        ],
        "default": [],
    }
    assert models["Scope"]["properties"]["source"] == {
        "description": "Sources, as the messages name them.",
        "anyOf": [
            {"type": "array", "items": {"minLength": 1, "type": "string"}, "minItems": 1},
            {"type": "null"},
            {"minLength": 1, "type": "string"},
        ],
    }
    assert rules_schema()["title"] == "Tidings alert rules"
    assert models["Rule"]["properties"]["detector"].keys() == {"oneOf"}, "what discriminates is OpenAPI's word"
    assert rules_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("said", BEYOND)
def test_what_only_tidings_refuses(said: str) -> None:
    """The schema says what a field may be, not how fields fit each other."""
    assert accepted_by_schema(document(said))
    assert not accepted_by_tidings(document(said))


@pytest.mark.parametrize("found", [{}, {"rules": []}, {"rules": [1]}, {"rules": {"a": 1}}, [], None, {"rules": [{}]}])
def test_both_refuse_what_is_no_rule_file(found: object) -> None:
    """At the top too."""
    assert not accepted_by_schema(found)
    assert not accepted_by_tidings(found)


@pytest.mark.parametrize("path", ["deploy/compose/rules.yaml", "deploy/local/demo/rules.yaml"])
def test_our_own_files_pass(path: str) -> None:
    """The examples that people start from."""
    found = yaml.safe_load((ROOT / path).read_text())
    assert accepted_by_schema(found)
    assert accepted_by_tidings(found)


def test_defaults_are_texts_as_in_the_file() -> None:
    """A duration is shown as one would write it; what depends on the detector has no default here."""
    models = rules_schema()["$defs"]
    assert models["FlapGuard"]["properties"]["within"]["default"] == "1h"
    assert models["Rule"]["properties"]["for"]["default"] == "0s"
    assert models["ShiftDetector"]["properties"]["half_life"]["default"] == "1d"
    assert "default" not in models["ShareDetector"]["properties"]["window"]


@pytest.mark.parametrize("text", ["0s", "500ms", "30s", "5m", "1h30m", "2d", "1d1h1m1s1ms"])
def test_durations_are_written_as_they_are_read(text: str) -> None:
    """The largest units first."""
    assert duration_text(parse_duration(text)) == text
