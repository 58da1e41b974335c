"""The server of metrics and health checks."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from stafett.domain.errors import SettingsError
from stafett.monitoring.metrics import Metrics, RetryCause
from stafett.monitoring.server import MetricsPage, MonitoringPage, serve_pages
from stafett.settings import MetricsSettings


@pytest.fixture
def settings() -> MetricsSettings:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return MetricsSettings(port=probe.getsockname()[1])


@pytest.fixture
def client(settings: MetricsSettings) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{settings.port}", trust_env=False) as client:
        yield client


def raise_with_name() -> MonitoringPage:
    raise ValueError("Kari Nordmann")


def refuse_connection() -> bytes:
    raise ConnectionRefusedError


def test_pages_are_served_until_the_block_ends(settings: MetricsSettings, client: httpx.Client) -> None:
    with serve_pages(settings, {"/healthz": lambda: MonitoringPage(b"{}")}):
        assert (client.get("/healthz?x=1").text, client.head("/healthz").status_code) == ("{}", 200)
        assert client.get("/other").status_code == 404
        assert client.post("/healthz").status_code == 501
    with pytest.raises(httpx.ConnectError):
        client.get("/healthz")


def test_error_of_a_page_is_answered_500_without_its_text(
    settings: MetricsSettings, client: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve_pages(settings, {"/metrics": raise_with_name}):
        response = client.get("/metrics")
    assert response.status_code == 500
    assert "Nordmann" not in response.text + "".join(capfd.readouterr())


def test_server_without_a_port_does_not_start() -> None:
    with serve_pages(MetricsSettings(), {}):
        pass


def test_port_that_is_taken_is_a_settings_error(settings: MetricsSettings) -> None:
    with (
        serve_pages(settings, {}),
        pytest.raises(SettingsError, match="STAFETT_METRICS__PORT"),
        serve_pages(settings, {}),
    ):
        pass


def test_metrics_of_the_sdk_follow_our_own_and_may_be_missing() -> None:
    metrics = Metrics()
    metrics.record_retry("query_activities", RetryCause.S3)
    sample = b'stafett_activity_retries_total{activity_type="query_activities",cause="s3"} 1.0'
    page = MetricsPage(metrics.registry, lambda: b"temporal_request_total 1\n")()
    assert sample in page.body
    assert page.body.endswith(b"\ntemporal_request_total 1\n")
    assert sample in MetricsPage(metrics.registry, refuse_connection)().body
