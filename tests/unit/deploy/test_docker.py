import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
TOO_HEAVY = {"torch", "onnxruntime", "transformers", "peft", "datasets", "triton", "pytest", "ruff", "pip", "uv"}
MAX_MEGABYTES = 250


@dataclass(frozen=True)
class Step:
    """One instruction of the Dockerfile, its continuation lines joined."""

    word: str
    rest: str


def read_stages(text: str) -> list[list[Step]]:
    """The steps of each stage, what comes before the first FROM left out."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    lines = [line.split(maxsplit=1) for line in code.replace("\\\n", " ").splitlines() if line.strip()]
    stages: list[list[Step]] = []
    for word, rest in lines:
        if word == "FROM":
            stages.append([])
        if stages:
            stages[-1].append(Step(word, rest))
    return stages


BUILD, FINAL = read_stages(DOCKERFILE.read_text())


def last(word: str) -> str:
    """What the last such instruction of the final stage says."""
    return [step.rest for step in FINAL if step.word == word][-1]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.training"])
def test_dockerfile_is_clean(name: str) -> None:
    """Hadolint has nothing to say."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE.with_name(name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_image_does_not_run_as_root() -> None:
    """The user is a number, which Kubernetes can check, and is not 0."""
    user, group = last("USER").split(":")
    assert int(user) >= 1000
    assert int(group) >= 1000


def test_image_starts_without_a_shell() -> None:
    """The entry point is a list, so that the worker is the process that gets the signals."""
    assert last("ENTRYPOINT") == '["tidings"]'
    assert last("CMD") == '["work", "--roles", "score,alert"]'


def test_bases_can_be_pinned_by_digest_and_users_are_numbers() -> None:
    """Each image takes its base as an argument, and the training's, too, runs as a number that is not 0."""
    training = read_stages(DOCKERFILE.with_name("Dockerfile.training").read_text())
    for stages in ((BUILD, FINAL), training):
        assert {stage[0].rest.split(" AS ")[0] for stage in stages} == {"${PYTHON_IMAGE}"}
    (user,) = [step.rest for step in training[-1] if step.word == "USER"]
    assert int(user.split(":")[0]) >= 1000


def test_image_says_whether_it_is_alive() -> None:
    """By what the image has, where the settings say that the worker listens."""
    words = json.loads(last("HEALTHCHECK").split("CMD ", 1)[1])
    assert words[:2] == ["python", "-c"]
    compile(words[2], "healthcheck", "exec")
    assert "TIDINGS_OPS__PORT" in words[2]
    assert "/healthz" in words[2]


def test_uv_is_the_same_everywhere() -> None:
    """The image and the set-up use one version of uv."""
    image = re.search(r"UV_VERSION=(\S+)", DOCKERFILE.read_text())
    setup = re.search(r"UV_VERSION=(\S+)", (ROOT / "deploy" / "local" / "bootstrap.sh").read_text())
    assert image
    assert setup
    assert image[1] == setup[1]


def test_what_is_copied_is_not_ignored() -> None:
    """Each file or folder that the build copies is let in by the ignore file, which begins by keeping all out."""
    lines = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    assert set(copied()) <= {rule[1:] for rule in rules if rule.startswith("!")}


def copied() -> list[str]:
    """What the build stage copies from the checkout, by name."""
    return [source for step in BUILD if step.word == "COPY" for source in step.rest.split()[:-1]]


def replay(step: Step, source: Path, venv: Path) -> None:
    """Do what a COPY or a RUN of the build stage does, the folders replaced. Installing uv itself is left out: it is here."""
    if step.word == "COPY":
        for name in step.rest.split()[:-1]:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, source / name)
    if step.word == "RUN":
        command = re.sub(r"--mount=\S+", "", step.rest).replace("/opt/tidings", str(venv))
        command = command.replace("/usr/local/bin/python3.11", sys.executable)
        for name, default in (arg.rest.split("=", 1) for arg in BUILD if arg.word == "ARG"):
            command = command.replace(f"${{{name}}}", default)
        for part in [part.strip() for part in command.split("&&") if part.strip().startswith(("uv ", "find "))]:
            run(shlex.split(part), source)


def run(command: list[str], folder: Path) -> str:
    """Run with the build stage's ENV, and of this session's PATH, HOME and what uv needs for its index; standard output."""
    env = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_")) or name in {"PATH", "HOME"}}
    env |= dict(pair.split("=", 1) for step in BUILD if step.word == "ENV" for pair in step.rest.split())
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The virtual environment that the build stage makes, its steps replayed here one by one, since Docker is not."""
    folder = tmp_path_factory.mktemp("image")
    source, venv = folder / "src", folder / "venv"
    source.mkdir()
    for step in BUILD:
        replay(step, source, venv)
    shutil.rmtree(source)
    return venv


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_image_holds_the_base_dependencies_and_tracing_only(image: Path) -> None:
    """No torch, no onnxruntime, no tools: what is installed are those dependencies, and tidings itself, not editable."""
    listed = run(["uv", "pip", "list", "--python", str(image / "bin" / "python"), "--format", "freeze"], image)
    names = {line.split("==")[0].lower() for line in listed.splitlines()}
    assert {"tidings", "confluent-kafka", "tritonclient", "redis", "tokenizers"} <= names
    assert names & TOO_HEAVY == set()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_image_can_trace(image: Path, tmp_path: Path) -> None:
    """`tracing.enabled` works as the image is: nobody has to build another to see a trace."""
    code = (
        "from worker.ops.tracing import exporting; from worker.wire import TracingSettings\n"
        "with exporting(TracingSettings(enabled=True)) as tracer: print(type(tracer).__module__)"
    )
    assert run([str(image / "bin" / "python"), "-c", code], tmp_path).endswith("opentelemetry.sdk.trace\n")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_image_is_small(image: Path) -> None:
    """What is added to the base image stays below a limit."""
    megabytes = sum(path.lstat().st_size for path in image.rglob("*") if path.is_file()) / 1e6
    print(f"installed size: {megabytes:.0f} MB")  # noqa: T201 - shown with pytest -s, for ARCHITECTURE.md
    assert megabytes < MAX_MEGABYTES


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_image_has_the_worker_and_no_more(image: Path, tmp_path: Path) -> None:
    """`tidings --help` answers outside the checkout, with the worker's commands and without those whose extra is absent."""
    text = run([str(image / "bin" / "tidings"), "--help"], tmp_path)
    assert re.search(r"\bwork\b", text)
    assert re.search(r"\btopics\b", text)
    assert re.search(r"\bcheck\b", text)
    assert not re.search(r"│ (train|demo|up) ", text)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_image_lists_what_is_in_it(image: Path) -> None:
    """The bill of materials beside the environment names what is installed, in CycloneDX."""
    bill = json.loads((image / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert {"confluent-kafka", "redis", "tritonclient"} <= {part["name"].lower() for part in bill["components"]}
