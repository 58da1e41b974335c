"""Traces of requests, runs, activities and SQL statements, exported with OTLP if an endpoint is configured.

What leaves the process passes one list of attributes: no exception text, no input of a user, no path or query string.
"""

import os
from collections.abc import Sequence
from time import time_ns

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.textmap import CarrierT, Getter, default_getter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from stafett.domain.job import REQUEST_ID
from stafett.version import VERSION

_ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
EXPORTED_ATTRIBUTES = frozenset(
    {
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "error.type",
        "temporalWorkflowID",
        "temporalRunID",
        "temporalActivityID",
        "temporalUpdateID",
        "db.system.name",
        "db.operation.name",
        "db.query.text",
        REQUEST_ID,
    }
)
_MAX_STATEMENT_LENGTH = 2_000
_STARTED_AT = "stafett.statement_started_at"


def start_tracing(service: str) -> None:
    """Export the traces of this process from now on, if an OTLP endpoint is configured."""
    if not any(os.environ.get(name) for name in _ENDPOINT_VARIABLES):
        return
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service, SERVICE_VERSION: VERSION}))
    provider.add_span_processor(BatchSpanProcessor(ReducingExporter(OTLPSpanExporter())))
    trace.set_tracer_provider(provider)
    propagate.set_global_textmap(TraceParentPropagator())
    event.listen(Engine, "before_cursor_execute", _note_start)
    event.listen(Engine, "after_cursor_execute", _record_statement)
    event.listen(Engine, "handle_error", _record_failed_statement)


class ReducingExporter(SpanExporter):
    """Exports spans without events, status texts and attributes that are not in the list."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_reduce(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _reduce(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={name: value for name, value in (span.attributes or {}).items() if name in EXPORTED_ATTRIBUTES},
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class TraceParentPropagator(TraceContextTextMapPropagator):
    """Takes from a client only the ids of ``traceparent``: ``tracestate`` and ``baggage`` can contain anything."""

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        client = trace.get_current_span(super().extract(carrier, Context(), getter)).get_span_context()
        if not client.is_valid:
            return Context() if context is None else context
        parent = SpanContext(client.trace_id, client.span_id, is_remote=True, trace_flags=client.trace_flags)
        return trace.set_span_in_context(NonRecordingSpan(parent), context)


def _note_start(connection: Connection, *_: object) -> None:
    connection.info[_STARTED_AT] = time_ns()


def _record_statement(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
    _record(connection, statement)


def _record_failed_statement(failure: ExceptionContext) -> None:
    if failure.connection is not None and failure.statement is not None:
        _record(failure.connection, failure.statement, type(failure.original_exception))


def _record(connection: Connection, statement: str, error: type[BaseException] | None = None) -> None:
    """Record a statement of a traced request or activity. Its values are parameters, which the text does not have."""
    if not trace.get_current_span().is_recording():
        return
    operation = statement.split(maxsplit=1)[0].upper()
    span = trace.get_tracer(__name__).start_span(
        operation,
        kind=SpanKind.CLIENT,
        attributes={
            "db.system.name": "postgresql",
            "db.operation.name": operation,
            "db.query.text": statement[:_MAX_STATEMENT_LENGTH],
        },
        start_time=connection.info.get(_STARTED_AT),
    )
    if error is not None:
        span.set_attribute("error.type", error.__name__)
        span.set_status(Status(StatusCode.ERROR))
    span.end()
