"""Following a job to its end: a bar for people at a terminal, a line a stage for everybody else."""

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
    """The job as it is when it has ended."""
    columns = (TextColumn("{task.description:22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with make_progress_bar(*columns, quiet=quiet) as shown:
        task, stage = shown.add_task("", total=None), ""
        while True:
            job = _get_with_retry(api, path, shown.console)
            if job["status"] != stage:
                stage = job["status"]
                if shown.disable and not quiet:
                    shown.console.print(f"{job['org_id']}: {stage.replace('_', ' ')}")
            done, total = _done_and_total(job)
            shown.update(task, description=stage.replace("_", " "), completed=done, total=total or None)
            if stage in _FINAL_STATUSES:
                return job
            time.sleep(_POLL_INTERVAL_SECONDS)


def _done_and_total(job: Json) -> tuple[int, int]:
    """Of a stage its rows, of a batch its items."""
    if "progress" not in job:
        total: int = job["counts"]["total"]
        return total - job["counts"]["pending"], total
    progress = job["progress"] or {"done": 0, "total": 0}
    return progress["done"], progress["total"]


def _get_with_retry(api: ApiClient, path: str, console: Console) -> Json:
    """The job goes on without the API: one that is away is waited for, for a while."""
    patience, told = time.monotonic() + _UNAVAILABLE_TIMEOUT_SECONDS, False
    while True:
        try:
            return api.get(path)
        except ApiUnavailableError as away:
            pause = away.retry_after or _RETRY_INTERVAL_SECONDS
            if time.monotonic() + pause > patience:
                raise
            if not told:
                console.print(f"{away} The job goes on; waiting for up to {_UNAVAILABLE_TIMEOUT_SECONDS:.0f} seconds.")
                told = True
            time.sleep(pause)
