"""What operators see of a run while it runs: Markdown for the Temporal Web UI, ids and counts alone."""

from collections.abc import Sequence
from enum import StrEnum
from urllib.parse import quote

from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import BulkJob
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.export_job import ExportJob, StageResult
from stafett.domain.export_status import ExportStatus
from stafett.domain.job import Job
from stafett.domain.notification import NotificationJob
from stafett.domain.reexport_job import ReexportJob
from stafett.domain.reexport_status import ReexportStatus


def details_of(job: ExportJob, stage: ExportStatus, done: Sequence[StageResult], namespace: str) -> str:
    """Where it is, what is done, and where to look further."""
    first, last = job.date_range
    lines = [
        f"**{_words(stage)}**, attempt {job.attempt}",
        "",
        f"{job.org_id}, {first} to {last}" + (", with attachments" if job.include_attachments else ""),
        "",
    ]
    if done:
        lines += ["| done | rows | |", "| --- | ---: | --- |"]
        lines += [f"| {_words(one.stage)} | {one.rows:,} | {'as before' if one.reused else ''} |" for one in done]
        lines.append("")
    lines += [
        f"- its state and trail: `GET /api/v1/bufdir-exports/{job.export_id}`, `…/audit`",
        _who_is_told(job, namespace),
    ]
    return "\n".join(lines)


def reexport_details(
    job: ReexportJob, stage: ReexportStatus, export: ExportJob | None, edits: int, namespace: str
) -> str:
    """The same of a re-export; what its export is at stands at that one's run."""
    lines = [f"**{_words(stage)}**, the report's re-export number {job.attempt}", "", job.summary, ""]
    if export is not None:
        lines.append(f"- [its export](/namespaces/{namespace}/workflows/{quote(export.workflow_id, safe='')})")
    if edits:
        lines.append(f"- edited by people: {edits}")
    lines += [
        f"- its state: `GET /api/v1/report-reexports/{job.reexport_id}`",
        _who_is_told(job, namespace),
    ]
    return "\n".join(lines)


def details_of_batch(job: BulkJob, status: BulkStatus, counts: BulkCounts, namespace: str) -> str:
    """How many items have come to which outcome, and where to look further."""
    told = counts.model_dump()
    lines = [
        f"**{_words(status)}**, attempt {job.attempt}",
        "",
        f"{job.org_id}, {job.total:,} items",
        "",
        "| " + " | ".join(told) + " |",
        "| " + " | ".join("---:" for _ in told) + " |",
        "| " + " | ".join(f"{count:,}" for count in told.values()) + " |",
        "",
        f"- its state and items: `GET /api/v1/bulk-registrations/{job.batch_id}`, `…/items`",
        _who_is_told(job, namespace),
    ]
    return "\n".join(lines)


def _who_is_told(job: Job, namespace: str) -> str:
    telling = quote(NotificationJob.from_job(job).workflow_id, safe="")
    return f"- [who is told of its end](/namespaces/{namespace}/workflows/{telling})"


def _words(stage: StrEnum) -> str:
    return stage.replace("_", " ")
