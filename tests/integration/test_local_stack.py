"""The local stack with real servers: each part through its own client, each fault that the harness will use, no orphans."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from deploy.local.config import (
    BACKEND_VARIABLE,
    KAFKA_VARIABLE,
    REDIS_VARIABLE,
    TRITON_VARIABLE,
    KafkaChoice,
    ModelChoice,
    RedisChoice,
    StackConfig,
)
from deploy.local.errors import LocalStackError, PartFailedError
from deploy.local.report import Health
from deploy.local.stack import LocalStack
from tests.support.tiny_onnx import CONFIG, VOCABULARY, tiny_model

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(300)]
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Triton's Python backend puts its regions
REPOSITORY_ROOT = Path(__file__).parents[2]
GONE_WITHIN_S = 20


def repository(folder: Path, model: bytes | None = None) -> Path:
    """A model repository with one model, whose file may be wrong on purpose."""
    version = folder / "sentiment" / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    (version / "model.onnx").write_bytes(tiny_model() if model is None else model)
    return folder


def configuration(folder: Path) -> StackConfig:
    """A stack of its own with the cache of the checkout."""
    cache = Path(os.environ.get("TIDINGS_CACHE_DIR") or REPOSITORY_ROOT / ".cache")
    models = folder / "models"
    return StackConfig(
        state=folder / "state",
        cache=cache,
        model_repository=models if models.exists() else repository(models),
        kafka=KafkaChoice.APACHE,
        triton=ModelChoice.TRITON,
    )


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack for these tests alone, because they kill its parts."""
    with LocalStack.start(configuration(tmp_path_factory.mktemp("stack"))) as started:
        yield started


def tree(pids: list[int]) -> list[psutil.Process]:
    """Processes and all their descendants."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        process = psutil.Process(pid)
        found.update({one.pid: one for one in (process, *process.children(recursive=True))})
    return list(found.values())


def assert_gone(processes: list[psutil.Process]) -> None:
    """Every one of them ends, by itself, within a few seconds."""
    assert processes
    _, alive = psutil.wait_procs(processes, timeout=GONE_WITHIN_S)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def make_topic(bootstrap: str, name: str) -> None:
    """A topic of one partition."""
    client = AdminClient({"bootstrap.servers": bootstrap})
    client.create_topics([NewTopic(name, 1, 1)])[name].result(20)


def consumer(bootstrap: str, topic: str, group: str) -> Consumer:
    """A read_committed consumer of the new group protocol (KIP-848), from the start."""
    made = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "fetch.message.max.bytes": 8 * 2**20,
        }
    )
    made.subscribe([topic])
    return made


def read(source: Consumer, count: int) -> list[bytes]:
    """The next `count` values."""
    values: list[bytes] = []
    while len(values) < count:
        message = source.poll(20)
        assert message is not None, f"{len(values)} of {count} messages"
        assert message.error() is None, message.error()
        value = message.value()
        assert isinstance(value, bytes)
        values.append(value)
    return values


def tensors(ids: NDArray[np.int64]) -> list[InferInput]:
    """The model's two inputs, nothing masked."""
    made = []
    for name, array in (("input_ids", ids), ("attention_mask", np.ones_like(ids))):
        tensor = InferInput(name, list(array.shape), "INT64")
        tensor.set_data_from_numpy(array)
        made.append(tensor)
    return made


def infer(client: InferenceServerClient, ids: NDArray[np.int64], timeout_s: float = 20) -> NDArray[np.float32]:
    """Logits, one row of three for each row of ids."""
    logits: NDArray[np.float32] = client.infer("sentiment", tensors(ids), client_timeout=timeout_s).as_numpy("logits")
    return logits


def triton_client(stack: LocalStack) -> InferenceServerClient:
    """A gRPC client, to be closed."""
    return InferenceServerClient(stack.settings_env()[TRITON_VARIABLE])


def test_it_tells_the_versions_of_the_running_servers(own_stack: LocalStack) -> None:
    """What is shown as a version was said by the server itself."""
    versions = own_stack.versions()
    assert versions["kafka"].startswith("apache-kafka 4.")
    assert versions["redis"].split()[0] in {"redis", "valkey"}
    assert versions["triton"].startswith("2.")
    assert set(own_stack.settings_env()) == {KAFKA_VARIABLE, REDIS_VARIABLE, TRITON_VARIABLE}
    assert {report.health for report in own_stack.reports()} == {Health.READY}


def test_nothing_listens_beyond_loopback(own_stack: LocalStack) -> None:
    """Every port of every process is on 127.0.0.1."""
    listening = [
        connection.laddr.ip
        for report in own_stack.reports()
        for pid in report.pids
        for connection in psutil.Process(pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_kafka_keeps_transactions(own_stack: LocalStack) -> None:
    """A read_committed consumer of the new protocol sees what was committed, 7 MiB in one message included, and no more."""
    bootstrap = own_stack.settings_env()[KAFKA_VARIABLE]
    make_topic(bootstrap, "transactions")
    producer = Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": "test", "message.max.bytes": 8 * 2**20, "linger.ms": 0}
    )
    producer.init_transactions(20)
    for value, commit in ((b"seen", True), (b"aborted", False), (b"x" * 7 * 2**20, True)):
        producer.begin_transaction()
        producer.produce("transactions", value)
        producer.flush(20)
        (producer.commit_transaction if commit else producer.abort_transaction)(20)
    reader = consumer(bootstrap, "transactions", "readers")
    assert [len(value) for value in read(reader, 2)] == [4, 7 * 2**20]
    reader.close()


def test_kafka_makes_no_topic_by_itself(own_stack: LocalStack) -> None:
    """A misspelt topic is an error and not a new topic."""
    client = AdminClient({"bootstrap.servers": own_stack.settings_env()[KAFKA_VARIABLE]})
    assert client.list_topics("misspelt", timeout=10).topics["misspelt"].error is not None
    assert "misspelt" not in client.list_topics(timeout=10).topics


def test_kafka_comes_back_with_its_data(own_stack: LocalStack) -> None:
    """After kill -9 the same port answers and what was acknowledged is there."""
    bootstrap = own_stack.settings_env()[KAFKA_VARIABLE]
    make_topic(bootstrap, "kept")
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce("kept", b"before")
    assert producer.flush(20) == 0
    own_stack.server("kafka").kill()
    assert own_stack.server("kafka").restart().address == bootstrap
    reader = consumer(bootstrap, "kept", "after-the-crash")
    assert read(reader, 1) == [b"before"]
    reader.close()


def test_redis_comes_back_with_its_data(own_stack: LocalStack) -> None:
    """The append-only file is on: what was answered before kill -9 is there afterwards."""
    url = own_stack.settings_env()[REDIS_VARIABLE]
    with redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
    own_stack.server("redis").kill()
    own_stack.server("redis").restart()
    with redis.Redis.from_url(url) as client:
        assert client.ping()
        assert client.get("kept") == b"yes"


def test_triton_answers_the_same_alone_and_merged(own_stack: LocalStack) -> None:
    """Requests that Triton merged into batches get what each gets alone, whatever their sizes and lengths."""
    random = np.random.default_rng(7)
    shapes = [(1, 8), (3, 8), (2, 16), (1, 8), (5, 16), (1, 16)] * 8
    batches = [random.integers(0, VOCABULARY, shape) for shape in shapes]
    with triton_client(own_stack) as client:
        alone = [infer(client, ids) for ids in batches]
        before = statistics(client)
        with ThreadPoolExecutor(16) as threads:
            merged = list(threads.map(lambda ids: infer(client, ids), batches))
        after = statistics(client)
    for one, other in zip(alone, merged, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    rows, runs = (now - then for now, then in zip(after, before, strict=True))
    assert rows == sum(rows for rows, _ in shapes)
    assert runs < len(shapes), "nothing was merged"


def statistics(client: InferenceServerClient) -> tuple[int, int]:
    """Rows inferred and runs of the model so far."""
    (model,) = client.get_inference_statistics("sentiment").model_stats
    return int(model.inference_count), int(model.execution_count)


def test_triton_answers_errors_per_request(own_stack: LocalStack) -> None:
    """A request that the model cannot run fails alone; those merged with it succeed."""
    good = np.ones((1, 8), np.int64)
    bad = np.full((1, 8), VOCABULARY + 1)

    def outcome(ids: NDArray[np.int64]) -> str:
        try:
            infer(client, ids)
        except InferenceServerException as error:
            return str(error.message())
        return "ok"

    with triton_client(own_stack) as client, ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(outcome, [good, good, good, bad] * 12))
    assert [text for text in outcomes[3::4] if "out of" not in text] == []
    assert {text for index, text in enumerate(outcomes) if index % 4 != 3} == {"ok"}


def test_a_paused_part_hangs_and_goes_on(own_stack: LocalStack) -> None:
    """Pause makes a server that accepts and never answers; resume makes it serve again."""
    ids = np.ones((1, 8), np.int64)
    triton = own_stack.server("triton")
    with triton_client(own_stack) as client:
        triton.pause()
        with pytest.raises(InferenceServerException, match=r"(?i)deadline"):
            infer(client, ids, timeout_s=1)
        triton.resume()
        assert infer(client, ids).shape == (1, 3)


def test_a_part_that_dies_is_named_with_its_log(own_stack: LocalStack) -> None:
    """The error names the part, its status, the log file, and shows the log's last lines."""
    server = own_stack.server("redis")
    own_stack.check_alive()
    server.kill()
    with pytest.raises(PartFailedError, match=r"(?s)redis ended with status 137\n  log: .*redis\.log\n    .*Ready to accept"):
        own_stack.check_alive()
    server.restart()
    own_stack.check_alive()


@pytest.mark.parametrize("part", ["redis", "triton"])
def test_a_killed_guard_takes_its_server_along(own_stack: LocalStack, part: str) -> None:
    """Kill -9 of the guard leaves no server and no child of it, and the part can be started again."""
    server = own_stack.server(part)
    guard, *others = server.pids()
    processes = [psutil.Process(pid) for pid in others]
    os.kill(guard, signal.SIGKILL)
    assert_gone(processes)
    server.restart()
    assert len(server.pids()) == len(others) + 1


def test_killed_triton_leaves_no_shared_memory(own_stack: LocalStack) -> None:
    """The regions of the Python backend in /dev/shm go with the server, kill -9 included."""
    (pattern,) = own_stack.server("triton").spec.remove
    name = Path(pattern).name
    assert list(SHARED_MEMORY.glob(name))
    own_stack.server("triton").kill()
    assert list(SHARED_MEMORY.glob(name)) == []
    own_stack.server("triton").restart()


def test_a_part_that_does_not_come_up_is_named(tmp_path: Path) -> None:
    """The error names Triton and its log and shows why; the parts that had come up are ended."""
    repository(tmp_path / "models", model=b"this is no model")
    children = set(psutil.Process().children())
    with pytest.raises(
        PartFailedError, match=r"triton ended with status \d+ before it was ready\n  log: .*triton\.log"
    ) as raised:
        LocalStack.start(configuration(tmp_path).but(parts=frozenset({"redis", "triton"})))
    assert "sentiment" in raised.value.message
    assert {child for child in psutil.Process().children() if child.is_running()} <= children


def test_a_running_part_is_used_and_not_ended(own_stack: LocalStack, tmp_path: Path) -> None:
    """Parts named in the environment are checked and used; ending the stack leaves them up."""
    config = configuration(tmp_path).but(external=external(own_stack.settings_env()))
    with LocalStack.start(config) as borrowing:
        assert borrowing.settings_env() == own_stack.settings_env()
        assert [report.pids for report in borrowing.reports()] == [(), (), ()]
        assert borrowing.versions()["triton"] == own_stack.versions()["triton"]
        with pytest.raises(LocalStackError, match="was not started by this stack"):
            borrowing.server("redis")
    own_stack.check_alive()


def external(settings: Mapping[str, str]) -> dict[str, str]:
    """What StackConfig reads from these variables."""
    return dict(StackConfig.from_environment(settings).external)


def test_stand_ins_say_what_they_are(tmp_path: Path) -> None:
    """Without Java and without Triton there is still a stack, which names its stand-ins plainly."""
    config = configuration(tmp_path).but(kafka=KafkaChoice.MOCK, redis=RedisChoice.WHEEL, triton=ModelChoice.ONNX)
    with LocalStack.start(config) as stack:
        versions = stack.versions()
        assert versions["kafka"].startswith("librdkafka mock broker")
        assert versions["redis"] == "redis 6.2.5"
        assert versions["triton"] == "onnx in-process"
        assert "read_committed" in stack.reports()[0].note
        settings = stack.settings_env()
        assert settings[BACKEND_VARIABLE] == "onnx"
        assert TRITON_VARIABLE not in settings
        producer = Producer({"bootstrap.servers": settings[KAFKA_VARIABLE]})
        producer.produce("any", b"text")
        assert producer.flush(20) == 0


def test_data_of_ones_own_is_kept(tmp_path: Path) -> None:
    """With a data folder topics and keys outlive the stack, and two stacks cannot share it; fresh data goes with the run."""
    config = configuration(tmp_path).but(data_dir=tmp_path / "data", parts=frozenset({"kafka", "redis"}))
    with LocalStack.start(config) as first:
        make_topic(first.settings_env()[KAFKA_VARIABLE], "kept")
        with redis.Redis.from_url(first.settings_env()[REDIS_VARIABLE]) as client:
            client.set("kept", "yes")
        with pytest.raises(LocalStackError, match="in use by another stack"):
            LocalStack.start(config)
    with LocalStack.start(config) as second:
        topics = AdminClient({"bootstrap.servers": second.settings_env()[KAFKA_VARIABLE]}).list_topics(timeout=20).topics
        assert "kept" in topics
        with redis.Redis.from_url(second.settings_env()[REDIS_VARIABLE]) as client:
            assert client.get("kept") == b"yes"
    with LocalStack.start(config.but(data_dir=None, parts=frozenset({"redis"}))) as fresh:
        data = fresh.data
        assert data.is_dir()
    assert not data.exists()
    assert fresh.logs.is_dir()


def tidings(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line of the stack in a folder, to its end."""
    return subprocess.run(command(*arguments), cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def command(*arguments: str) -> list[str]:
    """The command line `tidings`, whether or not its script is on the PATH."""
    code = "import sys; from worker.cli import main; sys.argv[0] = 'tidings'; main()"
    return [sys.executable, "-c", code, *arguments]


def environment() -> dict[str, str]:
    """This process's, with the cache of the checkout."""
    cache = os.environ.get("TIDINGS_CACHE_DIR") or str(REPOSITORY_ROOT / ".cache")
    return {**os.environ, "TIDINGS_CACHE_DIR": cache, "PYTHONPATH": str(REPOSITORY_ROOT)}


def state_of(folder: Path) -> dict[str, Any]:
    """What `tidings status --json` prints."""
    state: dict[str, Any] = json.loads(tidings(folder, "status", "--json").stdout)
    return state


def test_up_detached_status_and_down(tmp_path: Path) -> None:
    """`up -d` returns when all serve, a second one is refused, `status` tells what runs, `down` leaves nothing."""
    repository(tmp_path / "triton_repo")
    started = tidings(tmp_path, "up", "--detach")
    assert started.returncode == 0, started.stderr
    state = state_of(tmp_path)
    assert state["ready"]
    assert [part["software"][:12] for part in state["parts"]] == ["apache-kafka", "redis 7.0.15", "2.51.0"]
    processes = tree([state["pid"]])
    settings = (tmp_path / ".tidings" / "stack.env").read_text().splitlines()
    assert [line.partition("=")[0] for line in settings] == [KAFKA_VARIABLE, REDIS_VARIABLE, TRITON_VARIABLE]
    again = tidings(tmp_path, "up")
    assert (again.returncode, "already up" in again.stderr) == (1, True)
    assert tidings(tmp_path, "down").returncode == 0
    assert_gone(processes)
    assert tidings(tmp_path, "status").returncode == 3
    assert not (tmp_path / ".tidings" / "stack.env").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_survives_the_supervisor(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and kill -9 of `tidings up` each take java, redis, tritonserver and its stubs along."""
    repository(tmp_path / "triton_repo")
    supervisor = subprocess.Popen(command("up"), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    with supervisor.stdout as lines:
        assert any(line.startswith("up; logs in") for line in lines)
        processes = tree([supervisor.pid])
        names = {process.name() for process in processes}
        assert {"java", "redis-server", "tritonserver"} <= names
        assert any(name.startswith("triton_python") for name in names)
        supervisor.send_signal(number)
        assert_gone(processes[1:])
        assert supervisor.wait(GONE_WITHIN_S) == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    assert tidings(tmp_path, "status").returncode == 3
    assert tidings(tmp_path, "down").returncode == 0
