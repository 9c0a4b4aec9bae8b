"""What only a look at several renders tells: names that must change, addresses that must be let through."""

from pathlib import Path
from typing import Any

import pytest

from deploy.check.chart import CHART, Helm, Object, profiles
from tests.unit.deploy.check.spoiling import one

GPU = profiles()["production+gpu"]


def jobs(helm: Helm, values: dict[str, Any]) -> dict[str, tuple[str, Object]]:
    """Name and pod of each Job, by component."""
    found = [item for item in helm.render(GPU, values) if item["kind"] == "Job"]
    return {
        item["metadata"]["labels"]["app.kubernetes.io/component"]: (item["metadata"]["name"], item["spec"]["template"])
        for item in found
    }


@pytest.mark.parametrize(
    ("values", "changed"),
    [
        ({"topics": {"resources": {"limits": {"memory": "1Gi"}}}}, {"topics"}),
        ({"notify": {"receiversSecretName": "others"}}, {"topics"}),
        ({"settings": {"kafka": {"partitions": 48}}}, {"topics"}),
        ({"triton": {"nodeSelector": {"gpu": "h200"}}}, {"engines"}),
        ({"triton": {"resources": {"limits": {"memory": "32Gi"}}}}, {"engines"}),
        ({"image": {"pullPolicy": "Always"}}, {"topics"}),
        ({"podSecurity": {"fsGroup": 20_000}}, {"topics", "engines"}),
        ({"score": {"replicas": 5}}, set()),
        ({"rules": {"rules": []}}, set()),
    ],
)
def test_a_job_has_another_name_when_its_pod_is_another(helm: Helm, values: dict[str, Any], changed: set[str]) -> None:
    """A Job's pod cannot be changed: under the same name every such upgrade would be refused. Nothing else runs it again."""
    before, after = jobs(helm, {}), jobs(helm, values)
    assert before.keys() == after.keys() == {"topics", "engines"}
    assert {name for name in before if before[name][0] != after[name][0]} == changed
    assert {name for name in before if before[name][1] != after[name][1]} <= changed


def test_a_new_chart_runs_no_job_again(helm: Helm, chart: Path) -> None:
    """As long as what it does is the same: the version of the chart stands on the Job, not on its pod."""
    text = (chart / "Chart.yaml").read_text()
    (chart / "Chart.yaml").write_text(text.replace("version: 0.1.0", "version: 0.1.1", 1))
    assert text != (chart / "Chart.yaml").read_text()
    assert jobs(Helm(helm.program, chart), {}) == jobs(helm, {})


@pytest.mark.parametrize(
    ("values", "components", "port"),
    [
        ({"model": {"source": "s3", "s3": {"uri": "s3://a/b"}}}, ("score", "triton", "check"), 443),
        (
            {"model": {"source": "s3", "s3": {"uri": "s3://a/b", "endpoint": "http://minio.minio.svc:9000"}}},
            ("score", "triton", "check"),
            9000,
        ),
        ({"settings": {"tracing": {"enabled": True, "endpoint": "http://otel:4318/v1/traces"}}}, ("score", "alert"), 4318),
        (
            {"settings": {"kafka": {"oauth_token_endpoint": "https://sso.example.com:8443/token"}}},
            ("score", "alert", "topics", "check"),
            8443,
        ),
    ],
)
def test_what_a_pod_is_told_to_ask_it_can_reach(
    helm: Helm, values: dict[str, Any], components: tuple[str, ...], port: int
) -> None:
    """The port of each address is let out of the pods that ask it."""
    objects = helm.render((), values)
    for component in components:
        egress = one(objects, "NetworkPolicy", f"tidings-{component}")["spec"]["egress"]
        assert port in [entry["port"] for rule in egress for entry in rule["ports"]]


def test_the_check_is_kept_for_its_log(helm: Helm) -> None:
    """`helm test --logs` reads it after the hook's policy had its say."""
    check = one(helm.render(), "Pod", "tidings-check")
    assert check["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"


def test_triton_waits_for_a_claim_to_be_filled(helm: Helm) -> None:
    """It looks into its repository once: an empty one would be served, empty, for good."""
    waiting = one(helm.render(), "Deployment", "tidings-triton")["spec"]["template"]["spec"]["initContainers"][0]
    assert "/repository/sentiment/contract.json" in waiting["args"][0]
    with_engines = one(helm.render((CHART / "values-small.yaml", CHART / "values-gpu.yaml")), "Deployment", "tidings-triton")[
        "spec"
    ]["template"]["spec"]["initContainers"]
    assert [container["name"] for container in with_engines] == ["copy-models", "build-engines"]
    assert with_engines[0]["args"][0].index("until") < with_engines[0]["args"][0].index("cp -R")
