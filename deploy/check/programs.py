"""What other programs say: kubeconform of the schemas, kube-score of the pods, promtool of the rules and their tests."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from deploy.check import schemas
from deploy.check.chart import Object
from deploy.check.metrics import rule_files
from deploy.check.tools import ToolError

_TIMEOUT_S = 120
LET_OFF = {
    "container-image-pull-policy": "images have a version or a digest, which is what the check is after",
    "container-ephemeral-storage-request-and-limit": "what can be written to are volumes with limits of their own",
    "container-resources": "no limit of CPU on purpose: it throttles, and requests are what the scheduler goes by",
    "pod-networkpolicy": "judged by the rule `walled`; small clusters have none",
    "networkpolicy-targets-pod": "the policies cover the pod of `helm test` and Jobs too",
}
"""kube-score's checks that are not followed, with the reason."""


def kubeconform(program: Path, objects: Sequence[Object], version: str) -> Iterator[str]:
    """Strictly, and what has no schema is a fault."""
    with tempfile.TemporaryDirectory() as folder:
        schemas.write(Path(folder), objects, version)
        where = f"{folder}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
        command = [str(program), "-strict", "-output", "json", "-schema-location", where]
        done = _run(command, yaml.safe_dump_all(objects))
    for resource in (json.loads(done.stdout) if done.stdout.strip() else {}).get("resources") or ():
        yield f"{resource['kind']}/{resource['name']}: {resource['msg']}"
    if done.returncode and not done.stdout.strip():
        yield done.stderr.strip()


def kube_score(program: Path, objects: Sequence[Object]) -> Iterator[str]:
    """Critical findings, but for those that are let off with a reason."""
    off = [part for check in LET_OFF for part in ("--ignore-test", check)]
    done = _run([str(program), "score", "--output-format", "json", *off, "-"], yaml.safe_dump_all(objects))
    if not done.stdout.strip():
        yield done.stderr.strip() or "kube-score said nothing"
        return
    for item in json.loads(done.stdout) or ():
        for check in item.get("checks") or ():
            if check["grade"] <= 1 and not check.get("skipped"):
                said = "; ".join(comment["summary"] for comment in check.get("comments") or ())
                yield f"{item['object_name']}: {check['check']['id']}: {said}"


def promtool(program: Path, chart: Path, tests: Sequence[Path]) -> Iterator[str]:
    """The rules are rules, and do what their tests say."""
    rules = rule_files(chart)
    if not rules:
        yield f"no rules in {chart.name}/files/rules"
        return
    if not tests:
        yield "the rules have no tests"
    for arguments in (["check", "rules", *map(str, rules)], *(["test", "rules", str(path)] for path in tests)):
        done = _run([str(program), *arguments])
        if done.returncode:
            yield f"promtool {' '.join(arguments[:2])}: {' '.join((done.stdout + done.stderr).split())[-400:]}"


def _run(command: Sequence[str], stdin: str = "") -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{Path(command[0]).name} did not end within {_TIMEOUT_S} s: is the machine busy?") from error
