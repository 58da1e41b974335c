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


def render_export_details(
    job: ExportJob, stage: ExportStatus, finished_stages: Sequence[StageResult], namespace: str
) -> str:
    """Where it is, what is done, and where to look further."""
    first, last = job.date_range
    lines = [
        f"**{_to_words(stage)}**, attempt {job.attempt}",
        "",
        f"{job.org_id}, {first} to {last}" + (", with attachments" if job.include_attachments else ""),
        "",
    ]
    if finished_stages:
        lines += ["| done | rows | |", "| --- | ---: | --- |"]
        lines += [
            f"| {_to_words(one.stage)} | {one.rows:,} | {'as before' if one.reused else ''} |"
            for one in finished_stages
        ]
        lines.append("")
    lines += [
        f"- its state and trail: `GET /api/v1/bufdir-exports/{job.export_id}`, `…/audit`",
        _notification_link(job, namespace),
    ]
    return "\n".join(lines)


def render_reexport_details(
    job: ReexportJob, status: ReexportStatus, export_job: ExportJob | None, edit_count: int, namespace: str
) -> str:
    """The same of a re-export; what its export is at stands at that one's run."""
    lines = [f"**{_to_words(status)}**, the report's re-export number {job.attempt}", "", job.summary, ""]
    if export_job is not None:
        lines.append(f"- [its export](/namespaces/{namespace}/workflows/{quote(export_job.workflow_id, safe='')})")
    if edit_count:
        lines.append(f"- edited by people: {edit_count}")
    lines += [
        f"- its state: `GET /api/v1/report-reexports/{job.reexport_id}`",
        _notification_link(job, namespace),
    ]
    return "\n".join(lines)


def render_bulk_details(job: BulkJob, status: BulkStatus, counts: BulkCounts, namespace: str) -> str:
    """How many items have come to which outcome, and where to look further."""
    told = counts.model_dump()
    lines = [
        f"**{_to_words(status)}**, attempt {job.attempt}",
        "",
        f"{job.org_id}, {job.total:,} items",
        "",
        "| " + " | ".join(told) + " |",
        "| " + " | ".join("---:" for _ in told) + " |",
        "| " + " | ".join(f"{count:,}" for count in told.values()) + " |",
        "",
        f"- its state and items: `GET /api/v1/bulk-registrations/{job.batch_id}`, `…/items`",
        _notification_link(job, namespace),
    ]
    return "\n".join(lines)


def _notification_link(job: Job, namespace: str) -> str:
    telling = quote(NotificationJob.from_job(job).workflow_id, safe="")
    return f"- [who is told of its end](/namespaces/{namespace}/workflows/{telling})"


def _to_words(status: StrEnum) -> str:
    return status.replace("_", " ")
