"""OpenTelemetry, set up for a process: where spans go, and who is asked for them. Off by default, and then nothing is imported.

What becomes a span is in `spans` and `traced`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import structlog

from worker import __version__
from worker.errors import SettingsError
from worker.messages import ModelRef
from worker.ops.observed import ObservedModel, ObservedSink, ObservedSource
from worker.ops.start import Start
from worker.ops.watch import RoleWatch
from worker.ports import Model, Sink, Source, SourceStatistics
from worker.settings import Settings, process_id
from worker.wire import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

log = structlog.get_logger(__name__)
_FLUSH_MS = 5_000


class TellingSource(Source, Protocol):
    """A source that says what it last knew of its cluster."""

    @property
    def statistics(self) -> SourceStatistics | None:
        """None until it knows."""
        ...


def observed(settings: Settings, watch: RoleWatch, sink: Sink, source: TellingSource) -> tuple[ObservedSink, ObservedSource]:
    """Return a role's ports with somebody looking on, and with spans where tracing is on."""
    if watch.tracer is None:
        return ObservedSink(sink, watch), ObservedSource(source, watch, lambda: source.statistics)
    from worker.ops.spans import OpenSpans  # noqa: PLC0415 - an extra
    from worker.ops.traced import TracedSink, TracedSource  # noqa: PLC0415 - an extra

    share = settings.tracing.share if watch.name == "score" else 0.0  # what score did not trace has no trace to begin later
    spans = watch.spans = OpenSpans(watch.tracer, f"{settings.kafka.group_prefix}-{watch.name}", share)
    return TracedSink(sink, watch, spans), TracedSource(source, watch, lambda: source.statistics, spans)


def observed_model(settings: Settings, start: Start, model: Model, ref: ModelRef) -> ObservedModel:
    """Return the model that scores with somebody looking on, and with spans where the role's source has them."""
    if start.watch.spans is None:
        return ObservedModel(model, start.watch, start.model)
    from worker.ops.traced import TracedModel  # noqa: PLC0415 - an extra

    server = settings.triton.url if settings.model.backend == "triton" else None
    return TracedModel(model, (start.watch, start.model), start.watch.spans, ref, server)


@contextmanager
def exporting(settings: TracingSettings) -> Iterator["Tracer | None"]:
    """Send spans with OTLP over HTTP meanwhile, in batches from a thread of their own; gives None where tracing is off.

    What a collector does not take in time is dropped: no message waits for it. `OTEL_EXPORTER_OTLP_*` are heeded as everywhere.

    Raises:
        SettingsError: the extra `tracing` is not installed.
    """
    if not settings.enabled:
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise SettingsError("tracing.enabled needs the `tracing` extra: pip install 'tidings[tracing]'") from error
    about = {"service.name": "tidings", "service.version": __version__, "service.instance.id": process_id()}
    provider = TracerProvider(resource=Resource.create(about))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)))
    log.info("tracing", endpoint=settings.endpoint or "OTEL_EXPORTER_OTLP_ENDPOINT or its default", share=settings.share)
    try:
        yield provider.get_tracer("tidings", __version__)
    finally:
        provider.force_flush(_FLUSH_MS)
        provider.shutdown()
