import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.check import configured, examples, generated, metrics, policy, refusals, schemas, values_schema
from deploy.check.chart import CHART, Helm, RenderError, profiles
from deploy.check.finding import finding
from tests.unit.deploy.check.spoiling import Objects, one, pod
from worker.settings import KafkaSettings

ROOT = Path(__file__).parents[4]
PROFILES = profiles()


@pytest.mark.parametrize("name", PROFILES)
def test_chart_keeps_the_policy_and_is_read_by_the_worker(rendered: dict[str, Objects], name: str) -> None:
    """Every values file renders to what breaks no rule, and what the worker's own parsers take."""
    checks: tuple[Callable[[Objects], Iterable[str]], ...] = (*policy.RULES, configured.misread, configured.unreadable)
    assert [fault for check in checks for fault in check(rendered[name])] == []


@pytest.mark.parametrize("version", [schemas.OLDEST, schemas.NEWEST])
def test_chart_follows_the_schemas(rendered: dict[str, Objects], version: str) -> None:
    """Every object is what the oldest and the newest Kubernetes and the operators know, and nothing beyond."""
    every = [item for objects in rendered.values() for item in objects]
    distinct = {json.dumps(item, sort_keys=True): item for item in every}
    assert list(schemas.faults(list(distinct.values()), version)) == []


def _without_probe(objects: Objects) -> None:
    del pod(objects, "score")["containers"][0]["livenessProbe"]


def _with_another_path(objects: Objects) -> None:
    pod(objects, "alert")["containers"][0]["livenessProbe"]["httpGet"]["path"] = "/readyz"


def _with_links(objects: Objects) -> None:
    pod(objects, "score")["enableServiceLinks"] = True


def _with_privileges(objects: Objects) -> None:
    pod(objects, "triton")["initContainers"][-1]["securityContext"]["readOnlyRootFilesystem"] = False


def _without_memory(objects: Objects) -> None:
    del pod(objects, "notify")["containers"][0]["resources"]["limits"]


def _with_haste(objects: Objects) -> None:
    pod(objects, "score")["terminationGracePeriodSeconds"] = 25


def _without_budget(objects: Objects) -> None:
    objects.remove(one(objects, "PodDisruptionBudget", "tidings-alert"))


def _with_a_cluster_address(objects: Objects) -> None:
    del one(objects, "Service", "tidings-triton")["spec"]["clusterIP"]


def _with_a_selector_for_nobody(objects: Objects) -> None:
    one(objects, "Service", "tidings-score")["spec"]["selector"]["app.kubernetes.io/component"] = "scroe"


def _with_a_count(objects: Objects) -> None:
    one(objects, "Deployment", "tidings-score")["spec"]["replicas"] = 3


def _to_zero(objects: Objects) -> None:
    one(objects, "ScaledObject", "tidings-score")["spec"]["minReplicaCount"] = 0


def _by_markers(objects: Objects) -> None:
    one(objects, "ScaledObject", "tidings-alert")["spec"]["triggers"][0]["metadata"]["activationLagThreshold"] = "0"


def _latest(objects: Objects) -> None:
    pod(objects, "score")["containers"][0]["image"] = "tidings:latest"


def _without_wall(objects: Objects) -> None:
    objects.remove(one(objects, "NetworkPolicy", "tidings-triton"))


def _with_a_password(objects: Objects) -> None:
    data = one(objects, "ConfigMap", "tidings-settings")["data"]
    data["tidings.yaml"] = data["tidings.yaml"].replace("rediss://", "rediss://:hunter2@")


def _without_a_volume(objects: Objects) -> None:
    pod(objects, "score")["volumes"].pop(0)


def _misspelt(objects: Objects) -> None:
    pod(objects, "score")["containers"][0]["env"][1]["name"] = "TIDINGS_KAFKA__SASL_PASWORD"


def _misspelt_in_the_file(objects: Objects) -> None:
    data = one(objects, "ConfigMap", "tidings-settings")["data"]
    data["tidings.yaml"] = data["tidings.yaml"].replace("batch_tokens", "batch_tokns")


def _with_a_wrong_rule(objects: Objects) -> None:
    data = one(objects, "ConfigMap", "tidings-rules")["data"]
    data["rules.yaml"] = data["rules.yaml"].replace("type: share", "type: shear")


def _with_an_unknown_field(objects: Objects) -> None:
    pod(objects, "score")["terminationGraceSeconds"] = 40


def _with_an_unknown_trigger(objects: Objects) -> None:
    one(objects, "ScaledObject", "tidings-score")["spec"]["triggers"][0]["metricsType"] = "Value"


_newest = partial(schemas.faults, version=schemas.NEWEST)
BREAKS: list[tuple[Callable[[Objects], None], Callable[[Objects], Iterable[str]], str]] = [
    (_without_probe, policy.probed, "livenessProbe"),
    (_with_another_path, policy.alive_alone, "/healthz"),
    (_with_links, policy.without_token, "enableServiceLinks"),
    (_with_privileges, policy.restricted, "readOnlyRootFilesystem"),
    (_without_memory, policy.with_requests, "memory"),
    (_with_haste, policy.drains, "terminationGracePeriodSeconds"),
    (_without_budget, policy.disrupted_gently, "PodDisruptionBudget"),
    (_with_a_cluster_address, policy.triton_spread, "headless"),
    (_with_a_selector_for_nobody, policy.selected, "selects nothing"),
    (_with_a_count, policy.scaled_once, "replicas"),
    (_to_zero, policy.scaled_by_lag, "minReplicaCount"),
    (_by_markers, policy.scaled_by_lag, "markers"),
    (_latest, policy.pinned, "not pinned"),
    (_without_wall, policy.walled, "NetworkPolicy"),
    (_with_a_password, policy.without_secrets, "password"),
    (_without_a_volume, policy.mounted, "no volume"),
    (_misspelt, configured.misread, "TIDINGS_KAFKA__SASL_PASWORD"),
    (_misspelt_in_the_file, configured.misread, "batch_tokns"),
    (_with_a_wrong_rule, configured.unreadable, "shear"),
    (_with_an_unknown_field, _newest, "terminationGraceSeconds"),
    (_with_an_unknown_trigger, _newest, "metricsType"),
]


@pytest.mark.parametrize(("spoil", "check", "word"), BREAKS, ids=lambda part: getattr(part, "__name__", None))
def test_each_check_turns_red(
    objects: Objects, spoil: Callable[[Objects], None], check: Callable[[Objects], Iterable[str]], word: str
) -> None:
    """A chart that is spoilt in one place is found out by the check whose affair it is, which names the place."""
    spoil(objects)
    found = finding("spoilt", check(objects))
    assert not found.ok
    assert any(word in fault for fault in found.faults), found.faults


def test_each_rule_has_a_chart_that_breaks_it() -> None:
    """No rule of the policy is there that was never seen to turn red."""
    assert {rule.__name__ for rule in policy.RULES} <= {check.__name__ for _, check, _ in BREAKS if hasattr(check, "__name__")}


def test_what_helm_cannot_render_is_told(helm: Helm, chart: Path) -> None:
    """Lint and rendering each say it in Helm's own words, on one line."""
    template = chart / "templates" / "workers.yaml"
    template.write_text(template.read_text() + "\n{{ .Values.no.such.thing }}\n")
    spoilt = Helm(helm.program, chart)
    for attempt in (spoilt.lint, spoilt.render):
        with pytest.raises(RenderError, match=r"workers\.yaml.*nil pointer") as told:
            attempt()
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["a misspelt setting", "a secret for no setting", "engines without a GPU"])
def test_helm_refuses(helm: Helm, name: str) -> None:
    """What is misspelt or cannot be meant ends at `helm install`, with the word that says what."""
    values, word = refusals.WRONG[name]
    with pytest.raises(RenderError, match=re.escape(word)):
        helm.render((), values)


def test_a_refusal_that_does_not_come_is_told(helm: Helm, chart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its schema the chart takes what is misspelt, and the check says so."""
    monkeypatch.setattr(refusals, "WRONG", {name: refusals.WRONG[name] for name in ("a misspelt value",)})
    (chart / "values.schema.json").unlink()
    assert list(refusals.accepted(Helm(helm.program, chart))) == ["a misspelt value: taken"]


def test_schema_of_values_holds_every_setting(chart: Path) -> None:
    """The file in the chart is the one that the settings make, and an older one is noticed."""
    assert list(values_schema.outdated()) == []
    path = chart / "values.schema.json"
    path.write_text(path.read_text().replace('"deadline_ms"', '"deadline"'))
    assert list(values_schema.outdated(chart)) != []


def test_every_setting_has_a_variable_that_the_worker_reads() -> None:
    """The paths are those of tidings.yaml, and their variables those of the environment."""
    assert {"kafka.topics.alerts", "redis.url", "delivery"} <= set(configured.paths())
    assert configured.variable("kafka.topics.alerts") == "TIDINGS_KAFKA__TOPICS__ALERTS"


@pytest.mark.slow
def test_generated_files_are_those_of_training(chart: Path) -> None:
    """The script and the configuration for TensorRT are what training writes, and a change by hand is noticed."""
    assert list(generated.outdated()) == []
    (chart / "files" / "tensorrt" / "config.pbtxt").write_text("max_batch_size: 1")
    assert len(list(generated.outdated(chart))) == 1


@pytest.mark.parametrize(
    ("rule", "panel", "told"),
    [
        ("tidings_messages_total", "tidings_commit_seconds_bucket", []),
        ("tidings_messages", "tidings_commit_seconds_bucket", ["a.yaml: tidings_messages is exported by nobody"]),
        ("tidings_messages_total", "tidings_commit_bucket", ["a.json: tidings_commit_bucket is exported by nobody"]),
    ],
    ids=["as they are", "in a rule", "in a dashboard"],
)
def test_a_renamed_metric_is_noticed(chart: Path, rule: str, panel: str, told: list[str]) -> None:
    """Rules and dashboards may name what is exported, or recorded by a rule, and nothing else."""
    for path in [*chart.glob("files/rules/*"), *chart.glob("files/dashboards/*")]:
        path.unlink()
    rules = {"groups": [{"name": "a", "rules": [{"alert": "A", "expr": f"rate({rule}[5m]) == 0"}]}]}
    (chart / "files" / "rules" / "a.yaml").write_text(yaml.safe_dump(rules))
    query = f"histogram_quantile(0.9, sum by (le) (rate({panel}[$__rate_interval])))"
    (chart / "files" / "dashboards" / "a.json").write_text(json.dumps({"panels": [{"targets": [{"expr": query}]}]}))
    assert list(metrics.unknown(chart)) == told


def test_chart_takes_rules_and_dashboards_as_they_are(helm: Helm, chart: Path) -> None:
    """Files beside the chart become a PrometheusRule and a ConfigMap, whatever braces stand in them."""
    rule = {"alert": "A", "expr": "up == 0", "annotations": {"summary": "{{ $labels.job }} is down"}}
    (chart / "files" / "rules").mkdir(exist_ok=True)
    (chart / "files" / "rules" / "own.yaml").write_text(yaml.safe_dump({"groups": [{"name": "a", "rules": [rule]}]}))
    (chart / "files" / "dashboards").mkdir(exist_ok=True)
    (chart / "files" / "dashboards" / "own.json").write_text('{"title": "{{ x }}"}')
    objects = Helm(helm.program, chart).render((chart / "values-production.yaml",))
    assert one(objects, "PrometheusRule", "tidings-own")["spec"]["groups"][0]["rules"] == [rule]
    assert one(objects, "ConfigMap", "tidings-dashboard-own")["data"]["own.json"].strip() == '{"title": "{{ x }}"}'


def _with_a_misspelt_listener(objects: Objects) -> None:
    one(objects, "Kafka", "kafka")["spec"]["kafka"]["listeners"][0]["authentification"] = {"type": "scram-sha-512"}


def _with_an_unknown_role(objects: Objects) -> None:
    one(objects, "KafkaNodePool", "nodes")["spec"]["roles"] = ["leader"]


def _with_an_unknown_operation(objects: Objects) -> None:
    one(objects, "KafkaUser", "tidings")["spec"]["authorization"]["acls"][0]["operations"] = ["Reed"]


def _with_the_size_elsewhere(objects: Objects) -> None:
    one(objects, "RedisReplication", "tidings-redis")["spec"]["size"] = 3


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (_with_a_misspelt_listener, "authentification"),
        (_with_an_unknown_role, "leader"),
        (_with_an_unknown_operation, "Reed"),
        (_with_the_size_elsewhere, "size"),
    ],
    ids=lambda part: getattr(part, "__name__", None),
)
def test_examples_follow_the_operators_schemas(spoil: Callable[[Objects], None], word: str) -> None:
    """As they are, those of Strimzi and of the Redis operator have nothing wrong; what is spoilt is named."""
    objects = examples.objects()
    assert list(_newest(objects)) == []
    spoil(objects)
    (fault,) = _newest(objects)
    assert word in fault


def test_example_of_strimzi_grants_what_the_worker_is_said_to_need() -> None:
    """Each permission of docs/security.md for the three roles is in the example's user; its brokers take the largest record."""
    documents = list(yaml.safe_load_all((CHART.parent / "examples" / "strimzi-kafka.yaml").read_text()))
    broker = next(item for item in documents if item["kind"] == "Kafka")["spec"]["kafka"]
    acls = next(item for item in documents if item["kind"] == "KafkaUser")["spec"]["authorization"]["acls"]
    security = (ROOT / "docs" / "security.md").read_text()
    lines = re.findall(r"kafka-acls.sh --add --allow-principal User:(?:score|alert|notify) (.*)", security)
    assert len(lines) > 10
    assert [line for line in lines if not granted(acls, line)] == []
    assert not granted(acls, "--operation Write --topic chat")
    assert broker["config"]["message.max.bytes"] >= KafkaSettings().message_max_bytes
    assert broker["config"]["auto.create.topics.enable"] is False


def test_example_that_fills_a_claim_keeps_the_policy(rendered: dict[str, Objects]) -> None:
    """The loader is let into a restricted namespace, and its claim is the one that the chart makes."""
    loader = yaml.safe_load((CHART.parent / "examples" / "model-loader.yaml").read_text())
    rules = (policy.restricted, policy.without_token, policy.with_requests, policy.pinned)
    assert [fault for rule in rules for fault in rule([loader])] == []
    claim = loader["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert one(rendered["small"], "PersistentVolumeClaim", claim)


def granted(acls: list[dict[str, Any]], line: str) -> bool:
    """Whether the user may do what a line of kafka-acls.sh allows."""
    kinds = {"--topic": "topic", "--group": "group", "--transactional-id": "transactionalId"}
    words = line.split()
    operations = {words[at + 1] for at, word in enumerate(words) if word == "--operation"}
    kind, name = next((kinds[word], words[at + 1]) for at, word in enumerate(words) if word in kinds)
    return any(
        operations <= set(acl["operations"]) and acl["resource"]["type"] == kind and _covers(acl["resource"], name)
        for acl in acls
    )


def _covers(resource: dict[str, str], name: str) -> bool:
    return name.startswith(resource["name"]) if resource["patternType"] == "prefix" else name == resource["name"]
