from pathlib import Path

import pytest

from deploy.local.config import KafkaChoice, ModelChoice, RedisChoice, StackConfig
from deploy.local.errors import LocalStackError


def test_an_empty_environment_gives_the_defaults() -> None:
    """Nothing set: everything is started, with the best that can be had; empty values count as not set."""
    assert StackConfig.from_environment({}) == StackConfig() == StackConfig.from_environment({"TIDINGS_REDIS__URL": ""})


def test_folders_are_made_absolute() -> None:
    """Servers run elsewhere and must find them."""
    config = StackConfig(data_dir=Path("data"))
    assert all(path.is_absolute() for path in (config.state, config.cache, config.model_repository))
    assert config.data_dir == Path.cwd() / "data"


def test_running_parts_are_taken_from_the_variables_of_the_worker() -> None:
    """The three variables with which a worker is told where the parts are name parts to use."""
    environ = {
        "TIDINGS_KAFKA__BOOTSTRAP_SERVERS": "broker:9092",
        "TIDINGS_REDIS__URL": "redis://:secret@cache:6379/0",
        "TIDINGS_TRITON__URL": "triton:8001",
    }
    expected = {"kafka": "broker:9092", "redis": "redis://:secret@cache:6379/0", "triton": "triton:8001"}
    assert StackConfig.from_environment(environ).external == expected


def test_choices_are_read() -> None:
    """Each fallback can be forced, and the cache moved."""
    config = StackConfig.from_environment(
        {
            "TIDINGS_LOCAL_KAFKA": "mock",
            "TIDINGS_LOCAL_REDIS": "wheel",
            "TIDINGS_LOCAL_TRITON": "onnx",
            "TIDINGS_LOCAL_INSTALL": "no",
            "TIDINGS_CACHE_DIR": "/elsewhere",
        }
    )
    assert (config.kafka, config.redis, config.triton) == (KafkaChoice.MOCK, RedisChoice.WHEEL, ModelChoice.ONNX)
    assert not config.may_install
    assert config.cache == Path("/elsewhere")


def test_a_choice_that_does_not_exist_is_named() -> None:
    """The error has the variable, its value and the values there are."""
    with pytest.raises(LocalStackError, match='TIDINGS_LOCAL_KAFKA is "redpanda"; it must be one of auto, apache, mock'):
        StackConfig.from_environment({"TIDINGS_LOCAL_KAFKA": "redpanda"})


def test_a_part_that_does_not_exist_is_named() -> None:
    """A misspelt part is not silently left out."""
    with pytest.raises(LocalStackError, match="no such part: kafak; there are kafka, redis, triton"):
        StackConfig(parts=frozenset({"kafak"}))


def test_but_changes_only_what_it_names() -> None:
    """A changed copy; the original stays."""
    config = StackConfig()
    assert config.but(may_install=False) == StackConfig(may_install=False)
    assert config.may_install
