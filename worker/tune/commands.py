"""The command `tidings tune`. No logic: it reads its options, calls what does the work, and shows the outcome."""

import json
from pathlib import Path
from typing import Annotated

import typer
import yaml

from worker.errors import SettingsError
from worker.settings import config_file

Texts = Annotated[
    Path, typer.Argument(help="Texts like yours: one a line, or messages as JSON lines.", exists=True, dir_okay=False)
]
Target = Annotated[float, typer.Option(min=1, help="The p99 that is asked for, in milliseconds, at 70 % of capacity.")]
Write = Annotated[bool, typer.Option("--write", help="Write the settings into tidings.yaml (or what TIDINGS_CONFIG names).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tune")(tune)


def tune(texts: Texts, latency_ms: Target = 200.0, write: Write = False, as_json: Json = False) -> None:
    """Find the settings of batching that suit your model, machine and texts.

    Pads to the lengths that waste least, measures the model at some shapes, and chooses the token budget, the batches in
    flight and the deadline. Measure on a machine that is as busy as it will be.

        tidings tune texts.txt

        tidings tune messages.jsonl --latency-ms 100 --write
    """
    from contextlib import closing

    from rich.console import Console

    from worker.app import check_model, connect_model, load_contract, load_settings, load_tokenizer
    from worker.tune import measure

    settings = load_settings()
    contract = load_contract(settings)
    rows = load_tokenizer(settings, contract).encode(read(texts))
    with closing(connect_model(settings, contract)) as model, Console(stderr=True).status("measuring") as status:
        check_model(model, contract)
        found = measure.tune(model, contract, rows, latency_ms, status.update)
    chosen = {name: getattr(found, name) for name in ("buckets", "batch_tokens", "deadline_ms", "in_flight")}
    cost = [float(f"{seconds:.3g}") for seconds in found.model_cost]
    section = {"score": {**chosen, "buckets": list(found.buckets), "model_cost": cost}}
    if write:
        merge(config_file(), section)
    if as_json:
        typer.echo(json.dumps({**found._asdict(), "written": str(config_file()) if write else None}, indent=2))
        return
    typer.echo(yaml.safe_dump(section, sort_keys=False, default_flow_style=None).rstrip())
    typer.echo(f"# about {found.texts_per_s:,.0f} texts/s of full batches, {found.padding:.1%} padding", err=write)
    typer.echo(f"written to {config_file()}" if write else "# --write puts this into tidings.yaml", err=True)


def read(path: Path) -> list[str]:
    """Return the texts of a file.

    Raises:
        SettingsError: there is none in it.
    """
    found = [text for line in path.read_text(encoding="utf-8").splitlines() if (text := _text(line).strip())]
    if not found:
        raise SettingsError(f"{path} holds no text: give one a line, or messages as JSON lines")
    return found


def _text(line: str) -> str:
    try:
        message = json.loads(line) if line.startswith("{") else None
    except ValueError:
        message = None
    return str(message["text"]) if isinstance(message, dict) and "text" in message else line


def merge(path: Path, section: dict[str, dict[str, object]]) -> None:
    """Write settings into a YAML file, leaving all others in it as they are (comments are lost, as YAML's reader drops them).

    Raises:
        SettingsError: it is there, and no YAML of settings.
    """
    try:
        known = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is no YAML: {error}") from error
    if not isinstance(known or {}, dict):
        raise SettingsError(f"{path} holds no settings")
    merged = {**(known or {})}
    for name, values in section.items():
        merged[name] = {**(merged.get(name) or {}), **values}
    path.write_text(yaml.safe_dump(merged, sort_keys=False, default_flow_style=None), encoding="utf-8")
