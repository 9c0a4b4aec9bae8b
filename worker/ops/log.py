"""Structured logs on standard error: readable on a terminal, one JSON object a line otherwise."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from worker.settings import LogSettings

BAR = "  | "
"""Begins each line of a traceback: an exception's message may hold text from outside, and lines of it are not ours."""


def configure(settings: LogSettings) -> None:
    """Set structlog up for this process."""
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    level: int = getattr(logging, settings.level.upper())
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _span_ids,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _one_line,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _span_ids(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the ids of the span that the line is written in, as OpenTelemetry names them; where it is not loaded, nothing."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None and (within := trace.get_current_span().get_span_context()).is_valid:
        event["trace_id"], event["span_id"] = f"{within.trace_id:032x}", f"{within.span_id:016x}"
    return event


def _one_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters, so that nothing from outside can pass for a line of ours or steer a terminal."""
    traceback = event.pop("exception", None)
    escaped = {_escaped(str(name)): _harmless(value) for name, value in event.items()}
    if isinstance(traceback, str):
        escaped["exception"] = "\n".join(BAR + _escaped(line) for line in traceback.split("\n"))
    return escaped


def _harmless(value: Any) -> Any:
    """Escape the texts in a value, however deep; what is no plain value is shown as `repr` has it, which may hold anything."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {_escaped(str(name)): _harmless(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_harmless(inner) for inner in value]
    return _escaped(value if isinstance(value, str) else repr(value))


def _escaped(value: str) -> str:
    return value if value.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)
