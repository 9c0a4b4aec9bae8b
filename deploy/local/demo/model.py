"""See that there is an exported model for Triton to load."""

from __future__ import annotations

from deploy.local.system import Say


def ensure_model(say: Say) -> None:
    """Export."""
    say("looking for the model")
