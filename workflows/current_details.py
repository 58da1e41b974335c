"""What operators see of a run while it runs: Markdown for the Temporal Web UI, ids and counts alone."""

from collections.abc import Sequence
from urllib.parse import quote

from stafett.domain.export_job import ExportJob, StageReceipt
from stafett.domain.export_status import ExportStatus
from stafett.domain.notification import Telling


def details_of(job: ExportJob, stage: ExportStatus, done: Sequence[StageReceipt], namespace: str) -> str:
    """Where it is, what is done, and where to look further."""
    first, last = job.days
    telling = Telling.of(job).workflow_id
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
        f"- [who is told of its end](/namespaces/{namespace}/workflows/{quote(telling, safe='')})",
    ]
    return "\n".join(lines)


def _words(stage: ExportStatus) -> str:
    return stage.replace("_", " ")
