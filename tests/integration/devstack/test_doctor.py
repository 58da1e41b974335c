"""The doctor's checks of the workers' task queues and of the audit bucket."""

import os
from functools import partial
from io import BytesIO
from uuid import uuid4

import psycopg
import pytest
from minio import Minio
from temporalio.client import Client

import worker
from stafett.devstack.doctor.audit import check_audit_bucket
from stafett.devstack.temporal import is_polling
from stafett.settings import AuditSettings, Settings
from stafett.storage.s3 import create_s3_client
from stafett.temporal.queues import (
    cpu_queue,
    maintenance_queue,
    notification_queue,
    outcome_queue,
    preview_queue,
    query_queue,
)
from stafett.testing import ExportClient, wait_until


@pytest.fixture
def s3(settings: Settings) -> Minio:
    return create_s3_client(settings.s3, settings.s3.endpoint)


@pytest.mark.parametrize("role", ["io", "cpu"])
async def test_is_polling_finds_only_the_task_queues_of_the_workers_role(
    role: str, temporal: Client, settings: Settings
) -> None:
    queue, address = settings.temporal.task_queue, settings.temporal.address
    derived_queues = query_queue, outcome_queue, preview_queue, maintenance_queue, notification_queue
    io_queues = {queue, *(derive(queue) for derive in derived_queues)}
    cpu_queues = {cpu_queue(queue)}

    async def find_polled_queues() -> set[str]:
        is_polled = partial(is_polling, address, temporal.namespace, pid=os.getpid(), for_activities=True)
        return {name for name in io_queues | cpu_queues if await is_polled(name)}

    assert await find_polled_queues() == set()
    async with worker.run_queue_workers(temporal, settings, role="io" if role == "io" else "cpu"):
        await wait_until(find_polled_queues, (io_queues if role == "io" else cpu_queues).__eq__)


def test_missing_audit_bucket_and_missing_object_lock_are_reported(s3: Minio, owner_url: str) -> None:
    bucket = f"audit-{uuid4().hex[:12]}"
    missing = check_audit_bucket(s3, owner_url, AuditSettings(bucket=bucket), "look")
    s3.make_bucket(bucket)
    unlocked = check_audit_bucket(s3, owner_url, AuditSettings(bucket=bucket), "look")
    assert [(finding.ok, finding.subject) for finding in (missing, unlocked)] == [(False, "audit bucket")] * 2
    assert "is missing" in missing.message
    assert "no object lock" in unlocked.message


def put_checkpoints_of_other_organisations(s3: Minio, bucket: str, owner_url: str, org_id: str) -> None:
    """Put a checkpoint behind the last event of each other organisation: other tests have events of any age."""
    with psycopg.connect(owner_url) as owner:
        query = "SELECT org_id, max(seq) FROM audit_events WHERE org_id <> %s GROUP BY org_id"
        for other_org_id, seq in owner.execute(query, [org_id]):
            s3.put_object(bucket, f"checkpoints/{other_org_id}/{max(seq, 0)}.json", BytesIO(b"{}"), 2)


async def test_unsigned_events_are_reported_once_the_checkpoint_is_overdue(
    s3: Minio, export_client: ExportClient, owner_url: str, settings: Settings
) -> None:
    await export_client.start_export()
    bucket = f"audit-{uuid4().hex[:12]}"
    s3.make_bucket(bucket, object_lock=True)
    put_checkpoints_of_other_organisations(s3, bucket, owner_url, export_client.org_id)
    not_due = settings.audit.model_copy(update={"bucket": bucket, "checkpoint_minutes": 1440})
    not_due_finding = check_audit_bucket(s3, owner_url, not_due, "look")
    overdue = settings.audit.model_copy(update={"bucket": bucket, "checkpoint_minutes": 0})
    overdue_finding = check_audit_bucket(s3, owner_url, overdue, "look")
    assert (not_due_finding.ok, overdue_finding.ok) == (True, False)
    assert "is not signed" in overdue_finding.message
