"""Payload encryption: with codec keys, Temporal can read only names, types and search attributes."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHistory
from temporalio.service import RPCError
from temporalio.worker import Replayer

import worker
from stafett.domain.export import ExportRequest
from stafett.domain.export_job import ExportProgress
from stafett.domain.export_status import ExportStatus
from stafett.domain.membership import Caller, Role
from stafett.exports.service import ExportService
from stafett.settings import Settings
from stafett.temporal.client import connect, start_job
from stafett.temporal.codec import data_converter_from_settings
from stafett.testing import ActivityFactory, ExportClient, Tenant, wait_until
from tests.support.fixture_types import RunWorker
from worker import WORKFLOWS

OLD, NEW, OTHER = (f"{name}:{base64.b64encode(name.encode() * 8).decode()}" for name in ("2026", "2027", "2028"))


def with_keys(settings: Settings, *keys: str) -> Settings:
    codec_keys = SecretStr(",".join(keys)) if keys else None
    return settings.model_copy(update={"temporal": settings.temporal.model_copy(update={"codec_keys": codec_keys})})


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_keys(settings, OLD)


async def fetch_raw_history(settings: Settings, export_id: str) -> WorkflowHistory:
    """Fetch a history as Temporal stores it, with a client that has no codec."""
    client = await Client.connect(settings.temporal.address, namespace=settings.temporal.namespace)
    return await client.get_workflow_handle(f"bufdir-export/{export_id}").fetch_history()


def iterate_payloads(node: Any) -> Iterator[dict[str, Any]]:
    """Yield a history's payloads, except search attributes and patch names, which Temporal must be able to read."""
    match node:
        case {"metadata": dict()}:
            yield node
        case dict():
            for name, value in node.items():
                if name not in {"searchAttributes", "patch-data"}:
                    yield from iterate_payloads(value)
        case list():
            for value in node:
                yield from iterate_payloads(value)
        case _:
            pass


def payload_data(payload: dict[str, Any]) -> bytes:
    return base64.b64decode(payload.get("data", ""))


async def complete_export(export_client: ExportClient, temporal: Client) -> str:
    """Complete an export, wait for its run, which closes a moment after the job, and return the export's id."""
    export_id = await export_client.start_export()
    assert (await export_client.wait_for_completion(export_id))["status"] == "completed"
    await temporal.get_workflow_handle(f"bufdir-export/{export_id}").result()
    return export_id


async def test_encrypted_export_has_no_readable_payloads_and_can_be_queried(
    export_client: ExportClient,
    temporal: Client,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    settings: Settings,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        export_id = await complete_export(export_client, temporal)
        run = temporal.get_workflow_handle(f"bufdir-export/{export_id}")
        assert (await run.query("progress", result_type=ExportProgress)).stage is ExportStatus.COMPLETED
    described = await run.describe()
    assert await described.static_summary() == f"Bufdir export for {export_client.org_id}, 2026-01-01 to 2026-12-31"
    assert await described.memo_value("attempt") == 1

    history = await fetch_raw_history(settings, export_id)
    payloads = list(iterate_payloads(json.loads(history.to_json())))
    assert {base64.b64decode(payload["metadata"]["encoding"]) for payload in payloads} == {b"binary/encrypted"}
    assert len(payloads) > 15
    for plaintext in (export_id, export_client.org_id, "period_start", "Bufdir export", "querying activities"):
        assert not [payload for payload in payloads if plaintext.encode() in payload_data(payload)]
    assert "Bufdir export" not in history.to_json()


async def test_encrypted_failure_shows_its_type_but_not_its_message(
    export_client: ExportClient, temporal: Client, run_worker: RunWorker, settings: Settings
) -> None:
    async with run_worker():
        export_id = await export_client.start_export(fail_on_empty=True)
        await export_client.wait_for_completion(export_id)
        with pytest.raises(WorkflowFailureError) as failed:
            await temporal.get_workflow_handle(f"bufdir-export/{export_id}").result()
    assert "no activities in this period" in str(failed.value.cause.__cause__)
    history = await fetch_raw_history(settings, export_id)
    failure = history.events[-1].workflow_execution_failed_event_attributes.failure
    assert failure.message == failure.cause.message == "Encoded failure"
    assert failure.cause.application_failure_info.type == "no_data_for_period"
    assert b"no activities" not in failure.SerializeToString()
    (decrypted,) = await data_converter_from_settings(settings.temporal).decode([failure.cause.encoded_attributes])
    assert "no activities in this period" in decrypted["message"]


async def test_encrypted_run_replays_only_with_its_key(
    export_client: ExportClient,
    temporal: Client,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    settings: Settings,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        history = await fetch_raw_history(settings, await complete_export(export_client, temporal))

    def create_replayer(*keys: str) -> Replayer:
        return Replayer(
            workflows=WORKFLOWS, data_converter=data_converter_from_settings(with_keys(settings, *keys).temporal)
        )

    await create_replayer(NEW, OLD).replay_workflow(history)
    for keys in ((), (OTHER,)):
        with pytest.raises(RuntimeError, match="MissingCodecKeyError"):
            await create_replayer(*keys).replay_workflow(history)


@pytest.mark.parametrize("rotated_keys", [(NEW, OLD), (OLD, NEW)])
async def test_run_completes_while_keys_are_rotated(
    export_client: ExportClient, activity_factory: ActivityFactory, settings: Settings, rotated_keys: tuple[str, ...]
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    rotated = with_keys(settings, *rotated_keys)
    async with worker.run_queue_workers(await connect(rotated.temporal), rotated):
        assert (await export_client.wait_for_completion(export_id))["status"] == "completed"


async def test_unencrypted_run_completes_after_keys_are_introduced(
    export_client: ExportClient,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    export_service: ExportService,
    run_worker: RunWorker,
    settings: Settings,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    body = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "export_format": "csv"}
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    job = export_service.accept(caller, ExportRequest.model_validate(body | {"reporting_period": period})).export.job
    unencrypted = await connect(with_keys(settings).temporal)
    await start_job(unencrypted, job, settings.temporal.task_queue)
    async with run_worker():
        assert (await export_client.wait_for_completion(str(job.export_id)))["status"] == "completed"


async def test_worker_with_a_wrong_key_logs_it_and_leaves_the_run_to_others(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker, settings: Settings
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    wrong = with_keys(settings, OTHER)
    with structlog.testing.capture_logs() as log_events:
        async with worker.run_queue_workers(await connect(wrong.temporal), wrong):
            export_id = await export_client.start_export()

            async def fetch_task_failures() -> list[str]:
                try:
                    events = (await fetch_raw_history(settings, export_id)).events
                except RPCError:  # the run is started after the response
                    return []
                failed = [event for event in events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]
                return [
                    event.workflow_task_failed_event_attributes.failure.cause.application_failure_info.type
                    for event in failed
                ]

            assert set(await wait_until(fetch_task_failures, bool)) == {"MissingCodecKeyError"}
    assert {"event": "codec_key_missing", "log_level": "error", "key": "2026", "known_keys": ["2028"]} in log_events
    async with run_worker():
        assert (await export_client.wait_for_completion(export_id))["status"] == "completed"
