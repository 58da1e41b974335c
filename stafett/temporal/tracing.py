"""Traces of runs and activities, as the children of the request that started the job."""

from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from temporalio.contrib.opentelemetry import TracingInterceptor


def create_tracing_interceptors() -> list[TracingInterceptor]:
    """Create the SDK's interceptor of clients and workers; none unless this process exports traces."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        return []
    interceptor = TracingInterceptor()
    interceptor.text_map_propagator = propagate.get_global_textmap()
    return [interceptor]
