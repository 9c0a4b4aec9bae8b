import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.worker.notify.builders import CONFIG, ONE
from worker import app, cli
from worker.adapters.webhook import WebhookMessenger
from worker.settings import NotifySettings, Settings
from worker.testing.notify import FAILED, SENT, Receivers


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tidings(*arguments: str) -> tuple[int, str]:
    """Run a command; returns exit code and output."""
    result = CliRunner().invoke(cli.build(), ["notify", *arguments])
    return result.exit_code, result.output or str(result.exception)


def test_a_good_file_is_shown(folder: Path) -> None:
    """Its routes with their receivers, as a text or as JSON; what is not safe is told."""
    (folder / "n.yaml").write_text(CONFIG.replace("https://example.org/hook", "http://example.org/hook"))
    code, said = tidings("check", "n.yaml")
    assert (code, "3 routes, 3 integrations" in said, "team/webhook/0: plain http" in said) == (0, True, True)
    told = json.loads(tidings("check", "n.yaml", "--json")[1])
    assert told["ok"]
    assert told["integrations"] == ["pager/webhook/0", "quiet/slack/0", "team/webhook/0"]


def test_a_broken_file_is_told(folder: Path) -> None:
    """With place and remedy, and exit code 1."""
    (folder / "n.yaml").write_text(ONE.replace("receiver: team,", "receiver: tema,"))
    code, said = tidings("check", "n.yaml")
    assert (code, "n.yaml:2: route.receiver: no such receiver" in said) == (1, True)
    code, said = tidings("check", "n.yaml", "--json")
    assert (code, json.loads(said)["faults"][0]["line"]) == (1, 2)
    assert "cannot be read" in tidings("check", "none.yaml")[1]
    assert "notify.config" in tidings("check")[1]


def test_the_schema_is_printed() -> None:
    """As JSON."""
    assert json.loads(tidings("schema")[1])["title"] == "Tidings notifications"


@pytest.mark.parametrize(("outcome", "code"), [(SENT, 0), (FAILED, 1)])
def test_a_receiver_is_tried_out(folder: Path, monkeypatch: pytest.MonkeyPatch, outcome: object, code: int) -> None:
    """Each integration says how it answered."""
    (folder / "n.yaml").write_text(ONE)
    receivers = Receivers(lambda _: outcome)  # type: ignore[arg-type, return-value] # one of ours
    monkeypatch.setattr(WebhookMessenger, "send", lambda _self, sent: receivers.send(sent))
    ended, said = tidings("test", "team", "--file", "n.yaml")
    assert (ended, outcome.detail in said) == (code, True)  # type: ignore[attr-defined] # as above
    assert "there are: team" in tidings("test", "nobody", "--file", "n.yaml")[1]


def test_the_role_runs_by_default_where_somebody_is_to_be_told() -> None:
    """And score and alert as ever."""
    assert app.default_roles(Settings()) == ("score", "alert")
    assert app.default_roles(Settings(notify=NotifySettings(config=Path("n.yaml")))) == ("score", "alert", "notify")
