"""HTTP server for metrics and health checks, in threads of its own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar, NamedTuple

import structlog
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest

from stafett.domain.errors import SettingsError
from stafett.monitoring.logs import error_location
from stafett.settings import MetricsSettings

_REQUEST_TIMEOUT_SECONDS = 5
_log = structlog.get_logger("stafett.monitoring")


class MonitoringPage(NamedTuple):
    """The response to a request."""

    body: bytes
    content_type: str = "application/json"
    status: HTTPStatus = HTTPStatus.OK


Pages = Mapping[str, Callable[[], MonitoringPage]]
"""The function that builds the page of each path."""


class MetricsPage:
    """The metrics of the process in Prometheus text format: our own, and those that the Temporal SDK serves."""

    def __init__(self, registry: CollectorRegistry, read_sdk_metrics: Callable[[], bytes] | None) -> None:
        self._registry = registry
        self._read_sdk_metrics = read_sdk_metrics

    def __call__(self) -> MonitoringPage:
        return MonitoringPage(generate_latest(self._registry) + self._load_sdk_metrics(), CONTENT_TYPE_PLAIN_0_0_4)

    def _load_sdk_metrics(self) -> bytes:
        if self._read_sdk_metrics is None:
            return b""
        try:
            return self._read_sdk_metrics()
        except (OSError, HTTPException) as error:
            _log.warning("sdk_metrics_failed", error=type(error).__name__)
            return b""


@contextmanager
def serve_pages(settings: MetricsSettings, pages: Pages) -> Iterator[None]:
    """Serve the pages during a block, if a port is configured.

    The server answers in its own threads, also while the event loop or the threads of activities hang.
    """
    if settings.port is None:
        yield
        return
    handler = type("_Handler", (_PageHandler,), {"pages": pages})
    try:
        server = _Server((settings.host, settings.port), handler)
    except OSError as error:
        raise SettingsError(
            f"No server can listen on STAFETT_METRICS__PORT {settings.port} of {settings.host}: {error.strerror}."
        ) from error
    with server:
        Thread(target=server.serve_forever, name="monitoring", daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that disconnects; the base class would print its address."""


class _PageHandler(BaseHTTPRequestHandler):
    pages: ClassVar[Pages]
    timeout = _REQUEST_TIMEOUT_SECONDS
    server_version, sys_version = "stafett", ""

    def do_GET(self) -> None:
        self._send(include_body=True)

    def do_HEAD(self) -> None:
        self._send(include_body=False)

    def _send(self, *, include_body: bool) -> None:
        page = self._build_page(self.path.partition("?")[0])
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if include_body:
            self.wfile.write(page.body)

    def _build_page(self, path: str) -> MonitoringPage:
        build_page = self.pages.get(path)
        if build_page is None:
            return MonitoringPage(b'{"error":"not_found"}', status=HTTPStatus.NOT_FOUND)
        try:
            return build_page()
        except Exception as error:  # noqa: BLE001 - the base class would print its text, which may quote data
            _log.error("monitoring_page_failed", error=type(error).__name__, location=error_location(error))
            return MonitoringPage(b'{"error":"internal"}', status=HTTPStatus.INTERNAL_SERVER_ERROR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log no request: a probe and a scrape repeat every few seconds."""
