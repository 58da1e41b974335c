"""Progress of a job until it finishes: one progress bar on a terminal, otherwise one line per status."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from stafett.cli import EXIT_INTERRUPTED
from stafett.cli.client import ApiClient, ApiUnavailableError, Json
from stafett.cli.formats import format_words
from stafett.cli.terminal import make_progress_bar
from stafett.domain import bulk_status, export_status
from stafett.domain.errors import StafettError
from stafett.domain.export_status import EXPORT_STAGES, ExportStatus
from stafett.domain.reexport_status import ReexportStatus

_FINAL_STATUSES = export_status.EXPORT_FINAL_STATUSES | bulk_status.BULK_FINAL_STATUSES
_POLL_INTERVAL_SECONDS = 0.25
_RETRY_INTERVAL_SECONDS, _UNAVAILABLE_TIMEOUT_SECONDS = 1.0, 60.0
_REPORTED_WAIT_SECONDS = 2.0
"""A shorter wait for a worker or a service is not reported, because every job waits briefly for its worker."""

_STEPS_AFTER_EXPORT = (ReexportStatus.STORING_RESULT, ReexportStatus.NOTIFYING)


class WatchInterruptedError(StafettError):
    """The user stopped watching; the job continues."""

    exit_code = EXIT_INTERRUPTED


class JobProgress(NamedTuple):
    """Progress of a job over all its stages."""

    fraction: float
    counts: str
    waiting_for: str | None


def watch_job(api: ApiClient, path: str, *, quiet: bool, title: str = "", hint: str = "The job continues.") -> Json:
    """Poll a job, show its progress, and return it once its status is final."""
    try:
        return _watch_job(api, path, quiet=quiet, title=title)
    except KeyboardInterrupt:
        raise WatchInterruptedError(f"Interrupted. {hint}") from None


def measure_progress(job: Json) -> JobProgress:
    """Measure the progress of a job: rows of an export's stages, or items of a batch."""
    if job["status"] in _FINAL_STATUSES:
        return JobProgress(1.0, "", None)
    if "progress" not in job:
        total: int = job["counts"]["total"]
        done = total - job["counts"]["pending"]
        return JobProgress(done / max(total, 1), f"{done:,}/{total:,} items", None)
    progress = job["progress"]
    if progress is None:
        return JobProgress(_fraction_of(job["status"], 0.0, _stages_of(job)), "", None)
    if job["status"] in _STEPS_AFTER_EXPORT:
        return JobProgress(_fraction_of(job["status"], 0.0, _stages_of(job)), "", progress["waiting_for"])
    done, total, stage = progress["done"], progress["total"], progress["stage"]
    counts = f"{done:,}/{total:,} rows" if total else ""
    fraction = _fraction_of(stage, done / total if total else 0.0, _stages_of(job))
    return JobProgress(fraction, counts, progress["waiting_for"])


def _watch_job(api: ApiClient, path: str, *, quiet: bool, title: str) -> Json:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    with make_progress_bar(*columns, quiet=quiet) as progress:
        if title and not quiet:
            progress.console.print(title, soft_wrap=True)
        task, line, wait = progress.add_task("", total=1.0, counts=""), "", _Wait()
        while True:
            job = _get_with_retry(api, path, progress.console)
            measured = measure_progress(job)
            new_line = f"{job['org_id']}: {format_words(job['status'])}{wait.describe(measured.waiting_for)}"
            if new_line != line and progress.disable and not quiet:
                progress.console.print(new_line)
            line = new_line
            progress.update(task, description=line, completed=measured.fraction, counts=measured.counts)
            if job["status"] in _FINAL_STATUSES:
                return job
            time.sleep(_POLL_INTERVAL_SECONDS)


class _Wait:
    """What a job waits for, once it has waited long enough to be reported."""

    def __init__(self) -> None:
        self._service: str | None = None
        self._since = 0.0

    def describe(self, service: str | None) -> str:
        if service != self._service:
            self._service, self._since = service, time.monotonic()
        if service is None or time.monotonic() - self._since < _REPORTED_WAIT_SECONDS:
            return ""
        return f", waiting for {service}"


def _stages_of(job: Json) -> Sequence[str]:
    """List the stages of this job; a re-export has those of its export, and its own steps after them."""
    is_reexport = "report_id" in job and "overrides" in job
    if is_reexport:
        return (*EXPORT_STAGES, *_STEPS_AFTER_EXPORT)
    return [
        stage
        for stage in EXPORT_STAGES
        if stage is not ExportStatus.BUNDLING_ATTACHMENTS or job.get("include_attachments", True)
    ]


def _fraction_of(stage: str, fraction: float, stages: Sequence[str]) -> float:
    """Return the fraction of all stages that is done; every stage counts the same."""
    return (stages.index(stage) + fraction) / len(stages) if stage in stages else 0.0


def _get_with_retry(api: ApiClient, path: str, console: Console) -> Json:
    """Load the job, waiting for an unavailable API for a while, because the job continues without it."""
    deadline, is_reported = time.monotonic() + _UNAVAILABLE_TIMEOUT_SECONDS, False
    while True:
        try:
            return api.get(path)
        except ApiUnavailableError as error:
            delay = error.retry_after or _RETRY_INTERVAL_SECONDS
            if time.monotonic() + delay > deadline:
                raise
            if not is_reported:
                console.print(f"{error} The job continues; waiting up to {_UNAVAILABLE_TIMEOUT_SECONDS:.0f} seconds.")
                is_reported = True
            time.sleep(delay)
