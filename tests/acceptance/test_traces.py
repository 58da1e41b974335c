"""Traces of a running stack: one trace from the request to the SQL statements of its run, without personal data."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from stafett.monitoring.tracing import EXPORTED_ATTRIBUTES
from stafett.testing import ActivityFactory, ExportClient, Tenant, wait_until
from tests.support.dev_stack import DevStack, Tokens, run_dev_stack
from tests.support.fixture_types import Bearer
from tests.support.webhook_receiver import WebhookReceiver, run_receiver

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE_HEADERS = {
    "traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01",
    "tracestate": "vendor=kari",
    "baggage": "name=kari",
    "X-Request-ID": "request-of-the-trace",
}


@dataclass(frozen=True)
class ExportedSpan:
    """A span as the collector received it."""

    service: str
    name: str
    trace_id: str
    attributes: Mapping[str, str]
    event_count: int
    status_text: str


def list_spans(collector: WebhookReceiver) -> Iterator[ExportedSpan]:
    for request in list(collector.requests):
        assert request.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans:
            service = read_attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                for span in scope.spans:
                    yield ExportedSpan(
                        service,
                        span.name,
                        span.trace_id.hex(),
                        read_attributes(span.attributes),
                        len(span.events),
                        span.status.message,
                    )


def read_attributes(attributes: Iterable[KeyValue]) -> dict[str, str]:
    return {each.key: each.value.string_value or str(each.value.int_value) for each in attributes}


@pytest.fixture(scope="module")
def collector() -> Iterator[WebhookReceiver]:
    with run_receiver(WebhookReceiver(statuses=[200])) as receiver:
        yield receiver


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dev_stack(collector: WebhookReceiver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DevStack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        async with run_dev_stack(tmp_path_factory.mktemp("traces") / "data") as stack:
            yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tokens(dev_stack: DevStack) -> Tokens:
    return await Tokens.from_stack(dev_stack)


async def test_one_trace_leads_from_the_request_to_the_statements_of_its_run(
    collector: WebhookReceiver,
    api_client: httpx.AsyncClient,
    tenant: Tenant,
    bearer: Bearer,
    activity_factory: ActivityFactory,
) -> None:
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    client = ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator) | TRACE_HEADERS)
    export = await client.wait_for_completion(await client.start_export())
    assert export["status"] == "completed"

    async def list_traced() -> list[ExportedSpan]:
        return [span for span in list_spans(collector) if span.trace_id == TRACE_ID]

    def has_all(spans: list[ExportedSpan]) -> bool:
        return {
            ("stafett-api", "POST /api/v1/bufdir-exports"),
            ("stafett-api", "StartWorkflow:BufdirExport"),
            ("stafett-api", "INSERT"),
            ("stafett-worker", "RunWorkflow:BufdirExport"),
            ("stafett-worker", "RunActivity:query_activities"),
            ("stafett-worker", "RunActivity:record_completion"),
            ("stafett-worker", "UPDATE"),
        } <= {(span.service, span.name) for span in spans}

    spans = await wait_until(list_traced, has_all)
    activities = [span for span in spans if span.name.startswith("RunActivity:")]
    assert {span.attributes["request_id"] for span in activities} == {"request-of-the-trace"}
    # The run that delivers its notifications belongs to the trace, too.
    assert {span.attributes["temporalWorkflowID"] for span in activities} >= {f"bufdir-export/{export['id']}"}
    assert any(span.attributes.get("http.route") == "/api/v1/bufdir-exports" for span in spans)


async def test_traces_have_no_query_strings_client_state_or_exception_texts(
    collector: WebhookReceiver, api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer
) -> None:
    headers = bearer(tenant.coordinator) | TRACE_HEADERS
    listed = await api_client.get("/api/v1/peer-mentors", params={"q": "kari"}, headers=headers)
    assert listed.status_code == httpx.codes.OK
    missing = await api_client.get("/api/v1/bufdir-exports/kari", headers=headers)
    assert missing.status_code == httpx.codes.NOT_FOUND

    async def list_names() -> set[str]:
        return {span.name for span in list_spans(collector)}

    await wait_until(list_names, lambda names: {"GET /api/v1/peer-mentors", "GET"} <= names)
    for span in list_spans(collector):
        assert span.attributes.keys() <= EXPORTED_ATTRIBUTES
        assert (span.event_count, span.status_text) == (0, "")
    assert not [request for request in collector.requests if b"kari" in request.body]


async def test_probes_are_not_traced(collector: WebhookReceiver, api_client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/readyz", "/api/v1/none"):
        await api_client.get(path, headers=TRACE_HEADERS)
    received = len(collector.requests)

    async def count() -> int:
        return len(collector.requests)

    await wait_until(count, lambda requests: requests > received)
    assert not [span for span in list_spans(collector) if span.attributes.get("http.route") in {"/healthz", "/readyz"}]
