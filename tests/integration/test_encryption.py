"""With keys, Temporal is told nothing that it could read but what it must: names, types, search attributes."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import structlog
from pydantic import SecretStr
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHistory
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
from worker import WORKFLOWS

Working = Callable[[], AbstractAsyncContextManager[None]]
OLD, NEW, OTHER = (f"{name}:{base64.b64encode(name.encode() * 8).decode()}" for name in ("2026", "2027", "2028"))


def with_keys(settings: Settings, *keys: str) -> Settings:
    written = SecretStr(",".join(keys)) if keys else None
    return settings.model_copy(update={"temporal": settings.temporal.model_copy(update={"codec_keys": written})})


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_keys(settings, OLD)


async def history_of(settings: Settings, export_id: str) -> WorkflowHistory:
    """As Temporal itself has it: fetched by a client that knows no codec."""
    client = await Client.connect(settings.temporal.address, namespace=settings.temporal.namespace)
    return await client.get_workflow_handle(f"bufdir-export/{export_id}").fetch_history()


def payloads(node: Any) -> Iterator[dict[str, Any]]:
    """Every payload of a history but the search attributes, which Temporal must be able to read, and a patch's name."""
    match node:
        case {"metadata": dict()}:
            yield node
        case dict():
            for name, value in node.items():
                if name not in {"searchAttributes", "patch-data"}:
                    yield from payloads(value)
        case list():
            for value in node:
                yield from payloads(value)
        case _:
            pass


def told(payload: dict[str, Any]) -> bytes:
    return base64.b64decode(payload.get("data", ""))


async def exported(button: ExportClient, temporal: Client) -> str:
    """The id of one whose run is over, too: it ends a moment after the job."""
    export_id = await button.start_export()
    assert (await button.wait_for_completion(export_id))["status"] == "completed"
    await temporal.get_workflow_handle(f"bufdir-export/{export_id}").result()
    return export_id


async def test_an_export_leaves_nothing_readable_in_its_history_and_can_be_followed_all_the_same(
    button: ExportClient, temporal: Client, diary: ActivityFactory, working: Working, settings: Settings
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        export_id = await exported(button, temporal)
        run = temporal.get_workflow_handle(f"bufdir-export/{export_id}")
        assert (await run.query("progress", result_type=ExportProgress)).stage is ExportStatus.COMPLETED
    described = await run.describe()
    assert await described.static_summary() == f"Bufdir export for {button.org_id}, 2026-01-01 to 2026-12-31"
    assert await described.memo_value("attempt") == 1

    history = await history_of(settings, export_id)
    kept = list(payloads(json.loads(history.to_json())))
    assert {base64.b64decode(payload["metadata"]["encoding"]) for payload in kept} == {b"binary/encrypted"}
    assert len(kept) > 15
    for known in (export_id, button.org_id, "period_start", "Bufdir export", "querying activities"):
        assert not [payload for payload in kept if known.encode() in told(payload)]
    assert "Bufdir export" not in history.to_json()


async def test_a_failure_keeps_its_type_for_operators_and_its_message_to_itself(
    button: ExportClient, temporal: Client, working: Working, settings: Settings
) -> None:
    async with working():
        export_id = await button.start_export(fail_on_empty=True)
        await button.wait_for_completion(export_id)
        with pytest.raises(WorkflowFailureError) as failed:
            await temporal.get_workflow_handle(f"bufdir-export/{export_id}").result()
    assert "no activities in this period" in str(failed.value.cause.__cause__)
    failure = (await history_of(settings, export_id)).events[-1].workflow_execution_failed_event_attributes.failure
    assert failure.message == failure.cause.message == "Encoded failure"
    assert failure.cause.application_failure_info.type == "no_data_for_period"
    assert b"no activities" not in failure.SerializeToString()
    (opened,) = await data_converter_from_settings(settings.temporal).decode([failure.cause.encoded_attributes])
    assert "no activities in this period" in opened["message"]


async def test_a_sealed_run_replays_with_its_key_and_with_no_other(
    button: ExportClient, temporal: Client, diary: ActivityFactory, working: Working, settings: Settings
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        history = await history_of(settings, await exported(button, temporal))

    def replayer(*keys: str) -> Replayer:
        return Replayer(
            workflows=WORKFLOWS, data_converter=data_converter_from_settings(with_keys(settings, *keys).temporal)
        )

    await replayer(NEW, OLD).replay_workflow(history)
    for keys in ((), (OTHER,)):
        with pytest.raises(RuntimeError, match="MissingCodecKeyError"):
            await replayer(*keys).replay_workflow(history)


@pytest.mark.parametrize("then", [(NEW, OLD), (OLD, NEW)])
async def test_a_run_goes_on_while_keys_follow_one_another(
    button: ExportClient, diary: ActivityFactory, settings: Settings, then: tuple[str, ...]
) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    later = with_keys(settings, *then)
    async with worker.run_queue_workers(await connect(later.temporal), later):
        assert (await button.wait_for_completion(export_id))["status"] == "completed"


async def test_a_run_that_began_before_there_were_keys_ends_under_them(
    button: ExportClient,
    tenant: Tenant,
    diary: ActivityFactory,
    jobs: ExportService,
    working: Working,
    settings: Settings,
) -> None:
    diary.create_activity(diary.create_mentor())
    asked = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "export_format": "csv"}
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    job = jobs.accept(caller, ExportRequest.model_validate(asked | {"reporting_period": period})).export.job
    without = await connect(with_keys(settings).temporal)
    await start_job(without, job, settings.temporal.task_queue)
    async with working():
        assert (await button.wait_for_completion(str(job.export_id)))["status"] == "completed"


async def test_a_worker_with_another_key_says_so_and_leaves_the_job_to_one_that_has_it(
    button: ExportClient, diary: ActivityFactory, working: Working, settings: Settings
) -> None:
    diary.create_activity(diary.create_mentor())
    wrong = with_keys(settings, OTHER)
    with structlog.testing.capture_logs() as said:
        async with worker.run_queue_workers(await connect(wrong.temporal), wrong):
            export_id = await button.start_export()

            async def refused() -> list[str]:
                events = (await history_of(settings, export_id)).events
                failed = [event for event in events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]
                return [
                    event.workflow_task_failed_event_attributes.failure.application_failure_info.type
                    for event in failed
                ]

            assert set(await wait_until(refused, bool)) == {"MissingCodecKeyError"}
    assert {"event": "codec_key_missing", "log_level": "error", "key": "2026", "held": ["2028"]} in said
    async with working():
        assert (await button.wait_for_completion(export_id))["status"] == "completed"
