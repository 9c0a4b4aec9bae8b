"""Dashboards drawn without Grafana, from answers as Prometheus gives them."""

import json
from pathlib import Path

import pytest

from deploy.prometheus import picture
from deploy.prometheus.dashboards import documents
from deploy.prometheus.picture import Range, Series

NOW = 1_760_000_000.0


def answers(expression: str, legend: str) -> list[Series]:
    """One line for each query, but for those of failures."""
    return [] if "failures" in expression else [Series(legend, [NOW, NOW + 60], [0.25, 0.5])]


@pytest.mark.parametrize("name", documents())
def test_every_panel_is_drawn(name: str) -> None:
    """Under its title and with a line for each answer, a number as one, and what has no answer says so."""
    document = json.loads(documents()[name])
    drawn = {axes.get_title(loc="left"): axes for axes in picture.figure(document, answers, "of a test").axes}
    assert list(drawn) == [panel["title"] for panel in document["panels"]]
    for panel in document["panels"]:
        axes, asked = drawn[panel["title"]], [one for one in panel["targets"] if "failures" not in one["expr"]]
        said = [text.get_text() for text in axes.texts]
        if not asked:
            assert said == ["no data"]
        elif panel["type"] == "stat":
            assert said[0].startswith(("50.0%", "500.0 m"))
        else:
            handles, _ = axes.get_legend_handles_labels()
            assert len(handles) == len(asked)


def test_an_answer_of_prometheus_becomes_a_line() -> None:
    """Named as the legend has it, without what is not finite."""
    told = {"metric": {"topic": "chat", "partition": "0"}, "values": [[NOW, "1.5"], [NOW + 15, "NaN"], [NOW + 30, "+Inf"]]}
    assert picture._series(told, "{{topic}}-{{ partition }}") == Series("chat-0", [NOW], [1.5])
    assert picture._series(told, "__auto").name == "topic=chat, partition=0"


def test_a_query_that_is_refused_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Prometheus' own word."""

    class Answer:
        @staticmethod
        def json() -> dict[str, str]:
            """As Prometheus has it."""
            return {"status": "error", "error": "parse error"}

    monkeypatch.setattr("urllib3.request", lambda *_, **__: Answer())
    with pytest.raises(ValueError, match=r"refuses up\(: parse error"):
        picture.asking("http://127.0.0.1:9", Range(NOW, NOW + 60))("up(", "")


def test_pictures_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each dashboard."""
    monkeypatch.setattr(picture, "asking", lambda *_: answers)
    monkeypatch.setattr(picture, "documents", lambda: dict(list(documents().items())[:1]))
    (path,) = picture.write("http://127.0.0.1:9", tmp_path, Range(NOW, NOW + 60))
    assert path.read_bytes().startswith(b"\x89PNG")
