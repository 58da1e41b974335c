"""What of a span is exported, and what of a client's headers a trace continues."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from stafett.monitoring.tracing import ReducingExporter, TraceParentPropagator

TRACE_ID, SPAN_ID = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331


def test_exported_span_has_no_exception_text_and_no_unlisted_attribute() -> None:
    exported = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ReducingExporter(exported)))
    span = provider.get_tracer("test").start_span("work")
    span.set_attributes({"url.query": "q=Kari", "http.route": "/api/v1/peer-mentors"})
    span.record_exception(ValueError("Kari"))
    span.set_status(StatusCode.ERROR, "Kari")
    span.end()
    (reduced,) = exported.get_finished_spans()
    assert reduced.attributes == {"http.route": "/api/v1/peer-mentors"}
    assert list(reduced.events) == []
    assert (reduced.status.status_code, reduced.status.description) == (StatusCode.ERROR, None)
    assert reduced.context == span.get_span_context()


def test_trace_continues_only_the_ids_of_a_client() -> None:
    carrier = {"traceparent": f"00-{TRACE_ID:032x}-{SPAN_ID:016x}-01", "tracestate": "vendor=Kari", "baggage": "a=Kari"}
    context = TraceParentPropagator().extract(carrier)
    parent = trace.get_current_span(context).get_span_context()
    assert (parent.trace_id, parent.span_id, parent.is_remote) == (TRACE_ID, SPAN_ID, True)
    injected: dict[str, str] = {}
    TraceParentPropagator().inject(injected, context)
    assert injected == {"traceparent": carrier["traceparent"]}


@pytest.mark.parametrize("header", ["", "Kari", "00-0-0-01", f"00-{0:032x}-{SPAN_ID:016x}-01"])
def test_invalid_trace_parent_starts_a_new_trace(header: str) -> None:
    context = TraceParentPropagator().extract({"traceparent": header})
    assert not trace.get_current_span(context).get_span_context().is_valid
