"""The commands `tidings up`, `tidings down` and `tidings status`; what they do is in `console.py`.

Imports that take time happen inside the commands, so that `tidings --help` is instant.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.demo.command import demo

if importlib.util.find_spec("psutil") is None:
    raise ImportError('the local stack needs psutil: pip install "tidings[local]"')

ModelRepository = Annotated[Path, typer.Option("--model-repository", "-m", help="The folder of models that Triton loads.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Keep the data of Kafka and Redis here. [default: fresh, removed at the end]")
]
Detach = Annotated[bool, typer.Option("--detach", "-d", help="Return when all is ready; `tidings down` ends it.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]


def register(app: typer.Typer) -> None:
    """Add the commands of the local stack to the command line."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
    app.command("demo")(demo)


def up(model_repository: ModelRepository = Path("triton_repo"), data_dir: DataDir = None, detach: Detach = False) -> None:
    """Start Kafka, Redis and Triton on this machine and wait until they serve.

    Everything runs on free loopback ports and ends with this command. `tidings work` finds the stack by
    itself (.tidings/stack.env). A running part is used instead when TIDINGS_KAFKA__BOOTSTRAP_SERVERS,
    TIDINGS_REDIS__URL or TIDINGS_TRITON__URL names it.

    For example:

        tidings up                             # in the foreground, Ctrl-C ends it
        tidings up --detach                    # return when ready
        tidings up --data-dir ~/tidings        # keep topics and state
        TIDINGS_LOCAL_KAFKA=mock tidings up    # without Java
        TIDINGS_LOCAL_TRITON=onnx tidings up   # without Triton
    """
    from deploy.local import console

    with console.errors_as_one_line():
        console.up(model_repository, data_dir, detach=detach)


def down() -> None:
    """End the stack that `tidings up` started here, with every process of it.

    For example:

        tidings down
    """
    from deploy.local import console

    with console.errors_as_one_line():
        console.down()


def status(as_json: Json = False) -> None:
    """Show what is in use, in which version, on which ports, and whether it serves.

    Exit status: 0 when every part is ready, 1 when one is not, 3 when no stack is up.

    For example:

        tidings status
        tidings status --json
    """
    from deploy.local import console

    raise typer.Exit(console.status(as_json=as_json))
