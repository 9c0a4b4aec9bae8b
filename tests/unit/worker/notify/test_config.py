import json

import jsonschema
import pytest
import yaml

from tests.unit.worker.notify.builders import CONFIG, ONE, config
from worker.alert.matchers import parse_matchers
from worker.notify.config import ConfigError, parse_notify
from worker.notify.config_schema import notify_schema
from worker.notify.routing import labels_text, memberships

MARK = "hunter2"


def test_a_route_inherits_what_it_does_not_say() -> None:
    """Receiver, grouping and times come from the route around it."""
    outer, critical, films = config(CONFIG).places()
    assert (critical.receiver, critical.group_by, critical.timing) == ("pager", ("...",), outer.timing)
    assert (films.receiver, films.group_by) == ("quiet", ("alertname",))
    assert outer.timing == (30_000, 300_000, 14_400_000)


@pytest.mark.parametrize(
    ("labels", "targets"),
    [
        ({"severity": "warning"}, ["team/webhook/0"]),
        ({"severity": "critical"}, ["pager/webhook/0"]),
        ({"severity": "critical", "topic": "film"}, ["pager/webhook/0", "quiet/slack/0"]),
        ({"topic": "music"}, ["quiet/slack/0"]),
        ({"topic": "musical"}, ["team/webhook/0"]),
    ],
)
def test_alerts_go_down_the_tree(labels: dict[str, str], targets: list[str]) -> None:
    """The first route that takes it, and those behind for as long as `continue` is said; else the one around them."""
    assert [found.name.target for found in memberships(config(CONFIG), labels)] == targets


def test_groups_share_labels() -> None:
    """Those of `group_by` that the alert has, all of them for `...`; the key names route and labels as Alertmanager does."""
    labels = {"alertname": "x", "severity": "critical"}
    (pager,) = memberships(config(CONFIG), labels)
    assert pager.labels == labels
    assert pager.name.group_key == '{}/{severity="critical"}/0:{alertname="x", severity="critical"}'
    assert labels_text({"a": 'say "x"\n\\'}) == '{a="say \\"x\\"\\n\\\\"}'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("receivers: [{name: a}]", "notify.yaml:1: route: missing"),
        (ONE.replace("receiver: team", "receiver: tema"), "did you mean `team`? Known: team"),
        (ONE.replace("receiver: team, ", ""), "route.receiver: missing: one of team"),
        (ONE.replace("receiver: team,", "receiver: team, matchers: ['a=b'],"), "the outermost route takes every alert"),
        (ONE.replace("[alertname]", "['...', alertname]"), "route.group_by: `...` stands alone"),
        (ONE.replace("group_wait: 30s", "group_wait: 30"), "route.group_wait: expected a duration"),
        (ONE.replace("group_interval: 5m", "group_interval: 0s"), "route.group_interval: expected a duration of more than"),
        (ONE.replace("webhook_configs: [{url", "webhook_configs: [{urll"), "no such field"),
        (ONE + "  \n- x", "no valid YAML"),
        ("- 1", "expected a mapping"),
        (ONE.replace("receiver: team,", "receiver: team, routes: [{matchers: ['x=~(']}],"), "no regular expression"),
        (ONE.replace("receivers: [", "receivers: [{name: team}, "), "receivers[1].name: `team` is there twice"),
    ],
)
def test_faults_name_place_and_remedy(text: str, told: str) -> None:
    """Each with file, line and field."""
    with pytest.raises(ConfigError) as wrong:
        parse_notify(text)
    assert told in str(wrong.value)
    assert str(wrong.value).startswith("notify.yaml:")


@pytest.mark.parametrize(
    "part",
    [
        f"url: 'ftp://{MARK}'",
        f"url: 'https://me:{MARK}@host/'",
        f"url: ['https://{MARK}']",
        f"url: 'https://x y {MARK}'",
        f"http_config: {MARK}",
        f"http_config: {{basic_auth: {{username: a, password: {MARK}}}}}",
        f"http_config: {{basic_auth: {{username: 'a:{MARK}', password_file: x}}}}",
        f"signing: {MARK}",
        f"url: *{MARK}",
        f"url: !{MARK} a",
    ],
)
def test_no_fault_repeats_a_secret(part: str) -> None:
    """Wherever it was written by mistake."""
    text = ONE.replace("url: 'https://example.org/hook'", part)
    assert MARK in text
    with pytest.raises(ConfigError) as wrong:
        parse_notify(text)
    assert MARK not in str(wrong.value)
    assert MARK not in repr(wrong.value.__cause__)


def test_a_configuration_can_be_shown() -> None:
    """Printed or dumped: a Slack URL is a secret."""
    assert "secret-path" not in repr(config(CONFIG).targets)


def test_plain_http_is_told() -> None:
    """Not of this machine, where tests and sidecars live."""
    plain = ONE.replace("https://example.org/hook", "http://example.org/hook")
    assert len(config(plain).warnings()) == 1
    assert config(plain.replace("example.org", "127.0.0.1:9")).warnings() == config().warnings() == []


def test_the_schema_takes_what_we_take() -> None:
    """And is a JSON Schema; it refuses a field that is not known."""
    schema = notify_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    json.dumps(schema)
    jsonschema.validate(yaml.safe_load(CONFIG), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(ONE.replace("url", "urll")), schema)


@pytest.mark.parametrize(
    ("text", "labels", "taken"),
    [
        ("a=b", {"a": "b"}, True),
        ("a!=b", {}, True),
        ('{a="b c", d=~"x|y"}', {"a": "b c", "d": "y"}, True),
        ('{a="b c", d=~"x|y"}', {"a": "b c", "d": "xy"}, False),
        ('a!~"b.*"', {"a": "bc"}, False),
    ],
)
def test_matchers_are_alertmanagers(text: str, labels: dict[str, str], taken: bool) -> None:
    """All of them must hold, and a regular expression matches the whole value."""
    assert all(matcher.admits(labels) for matcher in parse_matchers(text)) == taken
