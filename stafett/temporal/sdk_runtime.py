"""The runtime of the Temporal SDK: its logs go to Python, and its core serves its metrics on a port of loopback."""

import logging
import re
import socket
from collections.abc import Callable
from contextlib import closing
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

_TIMEOUT_SECONDS = 2.0
_POLL_REQUEST = re.compile(rb'^temporal_long_request_total\{[^}]*operation="Poll\w+"[^}]*\} (\S+)$', re.MULTILINE)

ReadMetrics = Callable[[], bytes]
"""Reads the metrics of the SDK in Prometheus text format."""


def configure_runtime(*, has_metrics: bool) -> ReadMetrics | None:
    """Configure the logging of the SDK and, if requested, its metrics; return the function that reads these."""
    metrics = _create_prometheus_config() if has_metrics else None
    # Without forwarding, Temporal's Rust core would write straight to the terminal.
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    core = LoggingConfig(filter=TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding)
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=core, metrics=metrics)))
    return partial(_read, metrics.bind_address) if metrics else None


def _create_prometheus_config() -> PrometheusConfig:
    """Create the configuration of the core's server, on a free port that only this machine reaches."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
    return PrometheusConfig(
        bind_address=f"{host}:{port}", counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
    )


def _read(address: str) -> bytes:
    with closing(HTTPConnection(address, timeout=_TIMEOUT_SECONDS)) as connection:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        if response.status != HTTPStatus.OK:
            raise HTTPException(f"The SDK answered with {response.status}.")
        return response.read()


def count_polls(metrics: bytes) -> float:
    """Return how many polls of task queues the SDK has made."""
    return sum(float(value) for value in _POLL_REQUEST.findall(metrics))
