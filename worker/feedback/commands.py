"""`tidings feedback`: what people answered, as a file to learn from."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("feedback")(feedback)


def feedback(
    out: Annotated[Path, typer.Option("--out", "-o", help="The JSONL file that is written.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as one JSON object.")] = False,
) -> None:
    """Write the answers on the topic of feedback into a JSONL file, which `tidings data prepare` reads.

    Of several answers by one person to one message the last one counts. What cannot be read is counted and left out.

        tidings feedback -o build/feedback.jsonl

        tidings data prepare build/feedback.jsonl -o build/feedback
    """
    import json
    from contextlib import closing

    from worker import app
    from worker.adapters.kafka import TopicSnapshot
    from worker.feedback.dataset import row, rows_of
    from worker.progress_bar import progress_bar

    settings = app.load_settings()
    snapshot = TopicSnapshot(settings.kafka, settings.kafka.topics.feedback, "review")
    with closing(snapshot) as topic, progress_bar("Reading the answers", topic.offsets) as bar:
        found = rows_of(topic.records(passed=lambda count: bar.advance(bar.task_ids[0], count)))
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.part")
    unfinished.write_bytes(b"".join(map(row, found.answers)))
    unfinished.replace(out)
    counts = {"rows": len(found.answers), "replaced": found.replaced, "unreadable": found.unreadable}
    if as_json:
        typer.echo(json.dumps(counts))
    else:
        told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        typer.echo(f"{out}: {told}. Next: tidings data prepare {out} -o DIR")
