"""The one error this package raises for a person to act on."""

from __future__ import annotations


class TrainingError(Exception):
    """Something a person can put right; the command line shows it as one line and exits with 1."""


class GateError(TrainingError):
    """An exported model is not fit to ship; the message says by which figure, and nothing was written."""
