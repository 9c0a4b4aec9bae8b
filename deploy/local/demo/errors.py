"""What can go wrong with the demo itself, shown as one clear line."""

from __future__ import annotations

import click


class DemoError(click.ClickException):
    """The demo cannot go on; the message says why and where to look."""
