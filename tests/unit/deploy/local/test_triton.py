import platform
import re
import sys
from pathlib import Path

import pytest

from deploy.local import triton
from deploy.local.config import StackConfig
from deploy.local.errors import LocalStackError, NotReadyError
from deploy.local.ports import LOOPBACK, free_ports

PORTS = {"http": 20_001, "grpc": 20_002, "metrics": 20_003}


def model(repository: Path, name: str = "sentiment", *, built: bool = True) -> Path:
    """A model in a repository, with or without its file."""
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text("")
    (folder / "contract.json").write_text("{}")
    if built:
        (folder / "1" / "model.onnx").write_bytes(b"")
    return folder


def test_requirements_are_pinned_with_hashes() -> None:
    """What is downloaded and run is what was tested, and numpy is below 2."""
    text = Path(triton.__file__).with_name("triton-requirements.txt").read_text()
    packages = re.findall(r"^([a-z0-9-]+)==(\S+) \\$", text, re.MULTILINE)
    assert dict(packages)["numpy"].startswith("1.")
    assert {"nvidia-pytriton", "onnxruntime"} <= set(dict(packages))
    assert text.count("--hash=sha256:") >= len(packages)


def test_a_built_repository_passes(tmp_path: Path) -> None:
    """Models with a file in a numbered folder; other files do no harm."""
    model(tmp_path)
    model(tmp_path, "other")
    triton.check_repository(tmp_path)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: path.rmdir(), "there is no model repository"),
        (lambda _: None, "no model in"),
        (lambda path: model(path, built=False), 'the model "sentiment" in .* has no built version; run: tidings export'),
    ],
)
def test_a_repository_without_a_model_is_refused(tmp_path: Path, prepare: object, message: str) -> None:
    """Models are not committed; the error says how to build one."""
    folder = tmp_path / "triton_repo"
    folder.mkdir()
    assert callable(prepare)
    prepare(folder)
    with pytest.raises(LocalStackError, match=message):
        triton.check_repository(folder)


def test_the_server_listens_on_loopback_only(tmp_path: Path) -> None:
    """HTTP, gRPC and metrics; Triton's default is every interface."""
    options = triton.server_options(StackConfig(), PORTS, tmp_path, "prefix_")
    addresses = [option for option in options if "-address=" in option]
    assert addresses == [f"--{name}-address={LOOPBACK}" for name in ("http", "grpc", "metrics")]
    assert "--backend-config=python,shm-region-prefix-name=prefix_" in options


@pytest.mark.parametrize(
    ("system", "machine", "libc", "reason"),
    [
        ("linux", "x86_64", ("glibc", "2.36"), ""),
        ("linux", "aarch64", ("glibc", "2.39"), ""),
        ("darwin", "arm64", ("", ""), "no tritonserver for"),
        ("linux", "riscv64", ("glibc", "2.39"), "no tritonserver for"),
        ("linux", "x86_64", ("glibc", "2.31"), "needs glibc 2.35 or later; this is glibc 2.31"),
        ("linux", "x86_64", ("", ""), "this is another C library"),
    ],
)
def test_where_triton_cannot_run_there_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, libc: tuple[str, str], reason: str
) -> None:
    """The reason is shown beside the stand-in; empty means that it can."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    said = triton.unsupported()
    assert reason in said
    assert bool(said) == bool(reason)


def test_a_closed_port_is_not_ready() -> None:
    """The reason names the port."""
    (port,) = free_ports(1)
    with pytest.raises(NotReadyError, match=f"port {port} does not answer"):
        triton.probe(port, port, 0.5)
