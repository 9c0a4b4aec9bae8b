"""How a question looks, in a terminal and as JSON."""

import msgspec
from rich.panel import Panel
from rich.text import Text

from worker.codec import encode_feedback
from worker.messages import LABELS, Feedback, Review
from worker.tail import COLOURS, harmless

KEYS = "[n]egative  ne[u]tral  [p]ositive  [s]kip  [q]uit"


def panel(review: Review) -> Panel:
    """Return the text, what the model makes of it, and the keys; nothing in it can steer the terminal."""
    chances = Text("   ").join(
        Text.assemble((label, COLOURS[label]), f" {getattr(review.probabilities, label):.2f}") for label in LABELS
    )
    said = Text.assemble("the model says ", (review.label, f"{COLOURS[review.label]} bold"), f" at {review.confidence:.0%}    ")
    about = " · ".join(part for part in (review.kind, review.source, review.lang, review.id) if part)
    body = Text("\n\n").join([harmless(Text(review.content)), Text.assemble(said, chances)])
    return Panel(body, title=harmless(Text(about)), title_align="left", subtitle=Text(KEYS), padding=(1, 2))


def question_json(review: Review) -> str:
    """Return a question on one line."""
    return msgspec.json.encode(review).decode()


def answer_json(feedback: Feedback) -> str:
    """Return an answer on one line, as it stands on the topic."""
    return encode_feedback(feedback).decode()
