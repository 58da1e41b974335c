"""Progress of a job until it finishes: a progress bar on a terminal, otherwise one line per status."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from stafett.cli.client import ApiClient, ApiUnavailableError, Json
from stafett.cli.terminal import make_progress_bar
from stafett.domain import bulk_status, export_status

_FINAL_STATUSES = export_status.EXPORT_FINAL_STATUSES | bulk_status.BULK_FINAL_STATUSES
_POLL_INTERVAL_SECONDS = 0.25
_RETRY_INTERVAL_SECONDS, _UNAVAILABLE_TIMEOUT_SECONDS = 1.0, 60.0


def watch_job(api: ApiClient, path: str, *, quiet: bool) -> Json:
    """Poll a job, show its progress, and return it once its status is final."""
    columns = (TextColumn("{task.description:22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with make_progress_bar(*columns, quiet=quiet) as progress:
        task, status = progress.add_task("", total=None), ""
        while True:
            job = _get_with_retry(api, path, progress.console)
            if job["status"] != status:
                status = job["status"]
                if progress.disable and not quiet:
                    progress.console.print(f"{job['org_id']}: {status.replace('_', ' ')}")
            done, total = _done_and_total(job)
            progress.update(task, description=status.replace("_", " "), completed=done, total=total or None)
            if status in _FINAL_STATUSES:
                return job
            time.sleep(_POLL_INTERVAL_SECONDS)


def _done_and_total(job: Json) -> tuple[int, int]:
    """Return the rows of an export's stage, or the items of a batch."""
    if "progress" not in job:
        total: int = job["counts"]["total"]
        return total - job["counts"]["pending"], total
    progress = job["progress"] or {"done": 0, "total": 0}
    return progress["done"], progress["total"]


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
