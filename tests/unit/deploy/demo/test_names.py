"""Names of a run: plain in a stack of its own, nobody else's where a part is shared."""

from pathlib import Path

import pytest

from deploy.local.demo.names import Names, names_for, worker_settings
from worker.settings import Settings


def test_a_stack_of_its_own_has_plain_names() -> None:
    """Topics are called as everywhere else."""
    names = names_for("1", shared=False)
    assert names.inputs == {"news": "news", "chat": "chat"}
    assert names.outputs["dead_letters"] == "sentiment.dead-letters"
    assert names.owner == "tidings"


def test_shared_parts_have_names_of_the_run() -> None:
    """No topic, group or key of one run is another's, or the plain one."""
    one, other, plain = (names_for(run, shared=shared) for run, shared in (("1", True), ("2", True), ("3", False)))
    everything = [{*names.inputs.values(), *names.outputs.values(), names.owner} for names in (one, other, plain)]
    assert len(set().union(*everything)) == 3 * len(everything[0])


def test_the_worker_understands_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every variable is one that the worker reads, and says what the names say."""
    monkeypatch.chdir(tmp_path)
    names = Names("demo-1.")
    for name, value in worker_settings(names, tmp_path, tmp_path / "repository").items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.kafka.input_topics == {"demo-1.news": "news", "demo-1.chat": "chat"}
    assert settings.kafka.topics.model_dump() == names.outputs
    assert (settings.kafka.group_prefix, settings.redis.prefix) == (names.owner, names.owner)
    assert settings.score.watchlist == tmp_path / "watchlist.yaml"
    assert settings.alert.rules == tmp_path / "rules.yaml"
    assert settings.log.format == "json"
    assert settings.ops.port == 0, "a worker of the person's own may have the usual port"
