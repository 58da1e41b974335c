"""Current details of a run: Markdown for operators in the Temporal Web UI, with ids and counts only."""

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
    job: ExportJob, status: ExportStatus, finished_stages: Sequence[StageResult], namespace: str
) -> str:
    """Render the status, the finished stages and links."""
    first, last = job.date_range
    lines = [
        f"**{_to_words(status)}**, attempt {job.attempt}",
        "",
        f"{job.org_id}, {first} to {last}" + (", with attachments" if job.include_attachments else ""),
        "",
    ]
    if finished_stages:
        lines += ["| stage | rows | |", "| --- | ---: | --- |"]
        lines += [
            f"| {_to_words(result.stage)} | {result.rows:,} | {'reused' if result.reused else ''} |"
            for result in finished_stages
        ]
        lines.append("")
    lines += [
        f"- State and audit trail: `GET /api/v1/bufdir-exports/{job.export_id}`, `…/audit`",
        _notification_link(job, namespace),
    ]
    return "\n".join(lines)


def render_reexport_details(
    job: ReexportJob, status: ReexportStatus, export_job: ExportJob | None, edit_count: int, namespace: str
) -> str:
    """Render the status and links; the child export's own run shows its stages."""
    lines = [f"**{_to_words(status)}**, re-export number {job.attempt} of the report", "", job.summary, ""]
    if export_job is not None:
        lines.append(f"- [Child export](/namespaces/{namespace}/workflows/{quote(export_job.workflow_id, safe='')})")
    if edit_count:
        lines.append(f"- Edits by users: {edit_count}")
    lines += [
        f"- State: `GET /api/v1/report-reexports/{job.reexport_id}`",
        _notification_link(job, namespace),
    ]
    return "\n".join(lines)


def render_bulk_details(job: BulkJob, status: BulkStatus, counts: BulkCounts, namespace: str) -> str:
    """Render the status, the items by outcome and links."""
    counts_by_outcome = counts.model_dump()
    lines = [
        f"**{_to_words(status)}**, attempt {job.attempt}",
        "",
        f"{job.org_id}, {job.total:,} items",
        "",
        "| " + " | ".join(counts_by_outcome) + " |",
        "| " + " | ".join("---:" for _ in counts_by_outcome) + " |",
        "| " + " | ".join(f"{count:,}" for count in counts_by_outcome.values()) + " |",
        "",
        f"- State and items: `GET /api/v1/bulk-registrations/{job.batch_id}`, `…/items`",
        _notification_link(job, namespace),
    ]
    return "\n".join(lines)


def _notification_link(job: Job, namespace: str) -> str:
    workflow_id = quote(NotificationJob.from_job(job).workflow_id, safe="")
    return f"- [Notification run](/namespaces/{namespace}/workflows/{workflow_id})"


def _to_words(status: StrEnum) -> str:
    return status.replace("_", " ")
