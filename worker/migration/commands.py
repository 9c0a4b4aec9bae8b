"""`tidings topics`: what the topics should be, what they are, and, with --apply, from the one to the other."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from worker.migration.steps import Step

_MARKS = {"nothing": ("ok  ", "green"), "tell": ("FAIL", "red")}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("topics")(topics)


def topics(
    apply: Annotated[bool, typer.Option("--apply", help="Make what is missing, and change what can be without harm.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Hold the topics to what this version needs: partitions, retention, compaction, record sizes, permissions.

    Nothing is shortened or shrunk, no key moves to another partition, and the producers' own topics are only looked at. What a
    person has to do is told, and ends the command with 1; so do, without --apply, changes that are due.

        tidings topics

        tidings topics --apply
    """
    from worker import app
    from worker.adapters.kafka import carry_out, find_topics, wanted_topics
    from worker.migration.steps import steps

    kafka = app.load_settings().kafka
    found = find_topics(kafka)
    due = [step for topic in wanted_topics(kafka) for step in steps(topic, found[topic.name])]
    if apply:
        carry_out(kafka, due)
    for step in due:
        _show(step, apply, as_json)
    wrong = {"tell"} if apply else {"tell", "create", "grow", "set"}
    raise typer.Exit(1 if any(step.do in wrong for step in due) else 0)


def _show(step: "Step", applied: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({name: getattr(step, name) for name in step.__struct_fields__} | {"applied": applied}))
        return
    word, colour = _MARKS.get(step.do, ("done" if applied else "due ", "green" if applied else "yellow"))
    what = "" if step.do in _MARKS else f"{step.do} {step.setting}".strip() + ": "
    typer.echo(f"{typer.style(word, fg=colour)} {step.topic}: {what}{step.detail}")
