"""What must hold after the faults: nothing is lost, doubled, stuck or deleted. Each check returns its figures."""

import asyncio
import re
from collections import Counter
from datetime import timedelta
from typing import LiteralString

from stafett.cli.local_settings import load_settings
from stafett.storage.files import FileStorage
from stafett.testing import Json
from tests.chaos.fault_injection import fetch_activity_ids
from tests.chaos.soak_load import Load
from tests.support.bulk import BATCHES, fetch_rows
from tests.support.dev_stack import EXPORTS, DevStack
from tests.support.reexports import REEXPORTS, REPORTS
from tests.support.report_file import fetch_report_file
from tests.support.retention import backdate_completion, open_retention

_SETTLE_SECONDS = 600
_ORG = "nhf"
_JOBS_BY_RESOURCE: dict[str, LiteralString] = {
    EXPORTS: "SELECT id::text FROM exports WHERE org_id = 'nhf' AND origin = 'report'",
    REEXPORTS: "SELECT id::text FROM report_reexports WHERE org_id = 'nhf'",
    BATCHES: "SELECT id::text FROM bulk_registrations WHERE org_id = 'nhf'",
}
_UNFINISHED = """
SELECT id::text FROM exports WHERE completed_at IS NULL
UNION ALL SELECT id::text FROM report_reexports WHERE completed_at IS NULL
UNION ALL SELECT id::text FROM bulk_registrations WHERE completed_at IS NULL
"""
_COMPLETED_TWICE = """
SELECT subject_id::text FROM audit_events WHERE status = 'completed' AND event <> 'bulk_completed'
GROUP BY subject_id HAVING count(*) FILTER (WHERE event LIKE '%%completed') > 1
UNION ALL SELECT export_id::text FROM reports GROUP BY export_id HAVING count(*) > 1
UNION ALL SELECT e.id::text FROM exports e LEFT JOIN reports r ON r.export_id = e.id
WHERE e.status = 'completed' AND e.origin = 'report' AND r.id IS NULL
UNION ALL SELECT x.id::text FROM report_reexports x LEFT JOIN report_files f ON f.reexport_id = x.id
WHERE (x.status = 'completed' AND NOT x.unchanged) <> (f.reexport_id IS NOT NULL)
"""
_WRONG_ITEMS = """
SELECT i.batch_id::text, i.position FROM bulk_items i
LEFT JOIN activities a ON a.id = i.activity_id AND a.batch_id = i.batch_id AND a.mentor_id = i.mentor_id
WHERE i.status = 'pending' OR (i.status = 'registered') <> (a.id IS NOT NULL)
UNION ALL
SELECT a.batch_id::text, count(*) FROM activities a WHERE a.batch_id IS NOT NULL
GROUP BY a.batch_id, a.mentor_id HAVING count(*) > 1
"""
_REFERENCED_KEYS = """
SELECT DISTINCT key #>> '{}' FROM (
    SELECT jsonb_path_query(file, '$.**.key') FROM exports WHERE file IS NOT NULL
    UNION ALL SELECT jsonb_path_query(outputs, '$.**.key') FROM export_stage_outputs
    UNION ALL SELECT jsonb_path_query(parts, '$.**.key') FROM export_mapped_parts
    UNION ALL SELECT jsonb_path_query(deviations, '$.**.key') FROM export_partial_failures
    UNION ALL SELECT jsonb_path_query(file, '$.**.key') FROM report_files
    UNION ALL SELECT jsonb_path_query(file, '$.**.key') FROM report_reexports WHERE file IS NOT NULL
) AS keys (key)
"""
_ATTEMPT_KEY = re.compile(r"exports/nhf/(?P<export_id>[0-9a-f-]{36})/(?P<attempt>\d+)-[a-z_]+-[0-9a-f]{8}/.+")


async def settle(load: Load) -> None:
    """Wait until every job has ended, and retry those that failed because of the faults."""
    async with asyncio.timeout(_SETTLE_SECONDS):
        for resource, job_ids in load.jobs.items():
            for job_id in job_ids:
                await load.wait_for_job(resource, job_id)
        await load.retry_failures()


async def check_everything(dev_stack: DevStack, load: Load) -> Counter[str]:
    figures = Counter[str]()
    check_jobs(dev_stack.database_url, load)
    for job_id in sorted(load.jobs[EXPORTS]):
        await check_export(dev_stack, await load.load_job(EXPORTS, job_id), figures)
    for job_id in sorted(load.jobs[REEXPORTS]):
        await check_reexport(load, await load.load_job(REEXPORTS, job_id), figures)
    for job_id in sorted(load.jobs[BATCHES]):
        check_batch(await load.load_job(BATCHES, job_id), figures)
    assert fetch_rows(dev_stack.database_url, _WRONG_ITEMS) == []
    (await dev_stack.run("audit", "verify")).require_success()
    figures["objects that no row refers to"] = await asyncio.to_thread(check_objects, dev_stack)
    return figures


def check_jobs(owner_url: str, load: Load) -> None:
    """Check that exactly the accepted jobs exist, that all have ended, and that none has completed twice."""
    for resource, query in _JOBS_BY_RESOURCE.items():
        assert {job_id for (job_id,) in fetch_rows(owner_url, query)} == load.jobs[resource], resource
    assert fetch_rows(owner_url, _UNFINISHED) == []
    assert fetch_rows(owner_url, _COMPLETED_TWICE) == []


async def check_export(dev_stack: DevStack, job: Json, figures: Counter[str]) -> None:
    figures[f"exports {job['status']}"] += 1
    assert job["status"] in {"completed", "cancelled"}, job["error"]
    if job["status"] != "completed":
        return
    report = await fetch_report_file(job)
    year = int(job["reporting_period"]["start"][:4])
    expected = fetch_activity_ids(dev_stack.database_url, year)
    assert job["row_count"] == len(expected), job["id"]
    if job["export_format"] == "csv" and not job["include_attachments"]:
        assert report.ids == expected, job["id"]


async def check_reexport(load: Load, job: Json, figures: Counter[str]) -> None:
    """Check the file of a completed re-export. A failed one is requested again by its user, so it may remain failed."""
    figures[f"re-exports {job['status']}"] += 1
    if job["status"] == "completed":
        await fetch_report_file({"error": None, **job})
        report = (await load.send("GET", f"{REPORTS}/{job['report_id']}")).raise_for_status().json()
        assert [file["reexport_id"] for file in report["files"]].count(job["id"]) == (not job["unchanged"])
        assert job["file"] == report["files"][job["file_version"] - 1]["produced_file"]
    elif job["status"] == "failed":
        assert job["error"]["retryable"], job["error"]


def check_batch(job: Json, figures: Counter[str]) -> None:
    figures[f"batches {job['status']}"] += 1
    figures["items registered"] += job["counts"]["registered"]
    assert job["status"] in {"completed", "cancelled"}, job["counts"]
    assert job["counts"]["pending"] == job["counts"]["failed"] == 0


def check_objects(dev_stack: DevStack) -> int:
    """Clean up as retention does later, and return the number of objects that only the bucket's reconciliation finds.

    Each of them must be of an attempt at a known export, because the reconciliation deletes no others.
    """
    settings, owner_url = load_settings(dev_stack.data_dir), dev_stack.database_url
    storage = FileStorage(settings.s3)
    for (export_id,) in fetch_rows(owner_url, "SELECT id::text FROM exports WHERE org_id = %s", _ORG):
        backdate_completion(owner_url, export_id, timedelta(hours=1))
    with open_retention(settings, _ORG) as retention:
        retention.apply()
    referenced = {key for (key,) in fetch_rows(owner_url, _REFERENCED_KEYS)}
    stored = set(storage.list_keys(f"exports/{_ORG}/"))
    attempts = dict(fetch_rows(owner_url, "SELECT id::text, attempt FROM exports WHERE org_id = %s", _ORG))
    unreferenced = stored - referenced
    for key in unreferenced:
        match = _ATTEMPT_KEY.fullmatch(key)
        assert match is not None, key
        assert int(match["attempt"]) <= attempts.get(match["export_id"], 0), key
    return len(unreferenced)
