"""What every test may ask for: the real Kafka, Redis and Triton, started once per session, and names of its own on them.

A test that takes `stack` or one of the `real_*` fixtures is marked `real` by itself. When a part cannot be had, such a test is
skipped, and with CI=true it fails. `TIDINGS_KAFKA__BOOTSTRAP_SERVERS`, `TIDINGS_REDIS__URL` and `TIDINGS_TRITON__URL` name
running parts to use instead.
"""

import datetime
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest

from deploy.local import kafka, redis, triton
from deploy.local.config import KAFKA_VARIABLE, REDIS_VARIABLE, TRITON_VARIABLE, KafkaChoice, ModelChoice, StackConfig
from deploy.local.errors import LocalStackError
from deploy.local.paths import new_run
from deploy.local.stack import LocalStack

REAL_FIXTURES = frozenset({"stack", "real_kafka_bootstrap", "real_redis_url", "real_triton_url"})
PREPARE = {"kafka": kafka.prepare, "redis": redis.prepare, "triton": triton.prepare}
_CONFIG = pytest.StashKey[StackConfig]()


def pytest_configure(config: pytest.Config) -> None:
    """Take note of the stack that the environment asks for, before tests get an environment without it. No stand-ins.

    Property tests get no time limit per example, which a busy machine would break, and in CI the same examples each time. There
    they tell of what they found as it is: to make it smaller may take longer than a test may, and then the time limit is all
    that is heard of it.
    """
    in_ci = os.environ.get("CI") == "true"
    phases = set(hypothesis.Phase) - ({hypothesis.Phase.shrink, hypothesis.Phase.explain} if in_ci else set())
    hypothesis.settings.register_profile("tidings", deadline=None, derandomize=in_ci, phases=phases)
    hypothesis.settings.load_profile("tidings")
    root = Path(__file__).parents[1]
    asked = StackConfig.from_environment()
    config.stash[_CONFIG] = asked.but(
        state=root / ".tidings" / "tests",
        cache=Path(os.environ.get("TIDINGS_CACHE_DIR") or root / ".cache"),
        model_repository=root / "triton_repo",
        kafka=KafkaChoice.APACHE,
        triton=ModelChoice.TRITON,
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a real part, so that `-m "not real"` leaves it out, and give it time: one of them starts the stack."""
    for item in items:
        if REAL_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Download and install what the real parts need before the first test, whose time limit is not made for that."""
    if session.config.option.collectonly or not any(item.get_closest_marker("real") for item in session.items):
        return
    config = session.config.stash[_CONFIG]
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    run = new_run(config.state, None, datetime.datetime.now().astimezone())
    try:
        for name in config.parts - config.external.keys():
            PREPARE[name](config, run, reporter.write_line if reporter else print)
    except LocalStackError as error:  # told again by the `stack` fixture, which knows whether to skip or to fail
        if reporter:
            reporter.write_line(error.message)
    finally:
        run.clear()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees no settings of the person who runs it, but where the cache lies; what it needs it sets."""
    for name in [name for name in os.environ if name.startswith("TIDINGS_") and name != "TIDINGS_CACHE_DIR"]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> Iterator[LocalStack]:
    """The real parts, shared by all tests of the session; a test that kills one starts it again before it ends."""
    try:
        started = LocalStack.start(pytestconfig.stash[_CONFIG])
    except LocalStackError as error:
        _unavailable(error.message)
    with started:
        yield started


def _unavailable(why: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"a service is missing, and with CI=true none may be: {why}", pytrace=False)
    pytest.skip(why)


@pytest.fixture(scope="session")
def real_kafka_bootstrap(stack: LocalStack) -> str:
    """host:port of a real Kafka."""
    return stack.settings_env()[KAFKA_VARIABLE]


@pytest.fixture(scope="session")
def real_redis_url(stack: LocalStack) -> str:
    """redis:// URL of a real Redis."""
    return stack.settings_env()[REDIS_VARIABLE]


@pytest.fixture(scope="session")
def real_triton_url(stack: LocalStack) -> str:
    """host:port of a real Triton's gRPC endpoint."""
    return stack.settings_env()[TRITON_VARIABLE]


@dataclass(frozen=True)
class Names:
    """Names that no other test uses, for what outlives a test on a shared server."""

    own: str

    def topic(self, name: str = "topic") -> str:
        """A Kafka topic."""
        return f"{self.own}.{name}"

    def group(self, name: str = "group") -> str:
        """A consumer group, or a prefix of some."""
        return f"{self.own}-{name}"

    @property
    def prefix(self) -> str:
        """A prefix of Redis keys and channels, or of transactional ids."""
        return self.own


@pytest.fixture
def names(request: pytest.FixtureRequest) -> Names:
    """Names of this test's own."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:60]
    return Names(f"{test}-{uuid.uuid4().hex[:8]}")
