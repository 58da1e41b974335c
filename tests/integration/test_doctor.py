"""What the doctor says of a running stack's workers, and of the audit trail's bucket."""

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
from stafett.temporal.client import cpu_queue, notification_queue
from stafett.testing import ExportClient, wait_until


@pytest.fixture
def s3(settings: Settings) -> Minio:
    return create_s3_client(settings.s3, settings.s3.endpoint)


@pytest.mark.parametrize("role", ["io", "cpu"])
async def test_a_worker_is_looked_for_at_each_queue_by_itself(role: str, temporal: Client, settings: Settings) -> None:
    queue, address = settings.temporal.task_queue, settings.temporal.address
    io_queues, computing = {queue, notification_queue(queue)}, {cpu_queue(queue)}

    async def staffed() -> set[str]:
        asked = partial(is_polling, address, temporal.namespace, pid=os.getpid(), for_activities=True)
        return {name for name in io_queues | computing if await asked(name)}

    assert await staffed() == set()
    async with worker.run_queue_workers(temporal, settings, role="io" if role == "io" else "cpu"):
        await wait_until(staffed, (io_queues if role == "io" else computing).__eq__)


def test_checkpoints_without_a_place_or_a_lock_are_named(s3: Minio, owner_url: str) -> None:
    bucket = f"audit-{uuid4().hex[:12]}"
    missing = check_audit_bucket(s3, owner_url, AuditSettings(bucket=bucket), "look")
    s3.make_bucket(bucket)
    unlocked = check_audit_bucket(s3, owner_url, AuditSettings(bucket=bucket), "look")
    assert [(finding.ok, finding.subject) for finding in (missing, unlocked)] == [(False, "audit bucket")] * 2
    assert "is missing" in missing.message
    assert "no object lock" in unlocked.message


def signed_but_of(s3: Minio, bucket: str, owner_url: str, org_id: str) -> None:
    """Other tests have events of any age."""
    with psycopg.connect(owner_url) as owner:
        query = "SELECT org_id, max(seq) FROM audit_events WHERE org_id <> %s GROUP BY org_id"
        for other, seq in owner.execute(query, [org_id]):
            s3.put_object(bucket, f"checkpoints/{other}/{max(seq, 0)}.json", BytesIO(b"{}"), 2)


async def test_what_grows_and_is_not_signed_is_told_once_it_is_old(
    s3: Minio, button: ExportClient, owner_url: str, settings: Settings
) -> None:
    await button.start_export()
    bucket = f"audit-{uuid4().hex[:12]}"
    s3.make_bucket(bucket, object_lock=True)
    signed_but_of(s3, bucket, owner_url, button.org_id)
    patient = settings.audit.model_copy(update={"bucket": bucket, "checkpoint_minutes": 1440})
    young = check_audit_bucket(s3, owner_url, patient, "look")
    overdue = settings.audit.model_copy(update={"bucket": bucket, "checkpoint_minutes": 0})
    old = check_audit_bucket(s3, owner_url, overdue, "look")
    assert (young.ok, old.ok) == (True, False)
    assert "is not signed" in old.message
