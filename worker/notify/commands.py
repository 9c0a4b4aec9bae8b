"""`tidings notify`: check, schema, test."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from worker.errors import SettingsError

File = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The file; notify.config unless given.")]
Json = Annotated[bool, typer.Option("--json", help="JSON.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        name="notify",
        help="Check who is told of alerts, and try a receiver out.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
    )
    group.command("check")(check)
    group.command("schema")(schema)
    group.command("test")(try_out)
    app.add_typer(group)


def check(file: File = None, as_json: Json = False) -> None:
    """Say of each fault in notify.yaml where it is and what to write instead; of a good one, list routes and receivers.

    Needs no Kafka and no Redis, and sends nothing. Exits with 1 if the file is not as it should be.

        tidings notify check

        tidings notify check notify.yaml --json | jq .faults
    """
    from worker.app import load_settings
    from worker.notify.config import ConfigError, parse_notify

    path = file or load_settings().notify.config
    if path is None:
        raise SettingsError("name a file, or set notify.config (TIDINGS_NOTIFY__CONFIG)")
    try:
        config = parse_notify(_read(path), str(path))
    except ConfigError as error:
        if as_json:
            typer.echo(json.dumps({"file": str(path), "ok": False, "faults": [fault._asdict() for fault in error.faults]}))
        else:
            typer.secho(str(error), fg="red")
        raise typer.Exit(1) from None
    routes = [{"route": place.key, "receiver": place.receiver, "group_by": list(place.group_by)} for place in config.places()]
    if as_json:
        told = {"routes": routes, "integrations": sorted(config.targets), "warnings": config.warnings()}
        typer.echo(json.dumps({"file": str(path), "ok": True, **told, "faults": []}))
        return
    typer.secho(f"{path}: {len(routes)} routes, {len(config.targets)} integrations", fg="green")
    for route in routes:
        typer.echo(f"  {route['route']} → {route['receiver']} by {', '.join(route['group_by']) or 'nothing: one group'}")
    for warning in config.warnings():
        typer.secho(f"  careful: {warning}", fg="yellow")


def schema() -> None:
    """Print the JSON Schema of notify.yaml.

    An editor with the YAML language server reads it, if the file begins with
    `# yaml-language-server: $schema=notify.schema.json`.

        tidings notify schema > notify.schema.json
    """
    from worker.notify.config_schema import notify_schema

    typer.echo(json.dumps(notify_schema(), indent=2))


def try_out(
    receiver: Annotated[str, typer.Argument(help="The receiver's name in notify.yaml.")],
    file: Annotated[Path | None, typer.Option("--file", help="The file; notify.config unless given.")] = None,
) -> None:
    """Send a notification that is marked as a test to each integration of a receiver, and say how each answered.

    It has the label `tidings_test="true"` and the name TidingsTest. Exits with 1 if any did not take it.

        tidings notify test pager

        tidings notify test pager --file notify.yaml
    """
    from worker.adapters.webhook import WebhookMessenger
    from worker.app import load_notify, load_settings
    from worker.notify.config import parse_notify
    from worker.notify.trial import trials

    settings = load_settings()
    config = parse_notify(_read(file), str(file)) if file else load_notify(settings)
    messenger = WebhookMessenger(config.targets)
    well = True
    for trial in trials(config, receiver, int(time.time() * 1000), settings.notify.external_url):
        outcome = messenger.send(trial)
        well = well and outcome.result == "sent"
        typer.echo(f"{trial.group.target}: {'sent' if outcome.result == 'sent' else 'FAILED'}: {outcome.detail}")
    raise typer.Exit(0 if well else 1)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no UTF-8'}") from None
