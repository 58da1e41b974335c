"""Following a job to its end: a bar for people at a terminal, a line a stage for everybody else."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from stafett.cli.client import Api, AwayError, Json
from stafett.cli.terminal import bar
from stafett.domain import bulk_status, export_status

_ENDS = export_status.EXPORT_FINAL_STATUSES | bulk_status.BULK_FINAL_STATUSES
_SECONDS_BETWEEN_LOOKS = 0.25
_SECONDS_BETWEEN_TRIES, _PATIENCE_SECONDS = 1.0, 60.0


def watch_job(api: Api, path: str, *, quiet: bool) -> Json:
    """The job as it is when it has ended."""
    columns = (TextColumn("{task.description:22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with bar(*columns, quiet=quiet) as shown:
        task, stage = shown.add_task("", total=None), ""
        while True:
            job = _patiently(api, path, shown.console)
            if job["status"] != stage:
                stage = job["status"]
                if shown.disable and not quiet:
                    shown.console.print(f"{job['org_id']}: {stage.replace('_', ' ')}")
            done, total = _progress(job)
            shown.update(task, description=stage.replace("_", " "), completed=done, total=total or None)
            if stage in _ENDS:
                return job
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _progress(job: Json) -> tuple[int, int]:
    """Of a stage its rows, of a batch its items."""
    if "progress" not in job:
        total: int = job["counts"]["total"]
        return total - job["counts"]["pending"], total
    progress = job["progress"] or {"done": 0, "total": 0}
    return progress["done"], progress["total"]


def _patiently(api: Api, path: str, errors: Console) -> Json:
    """The job goes on without the API: one that is away is waited for, for a while."""
    patience, told = time.monotonic() + _PATIENCE_SECONDS, False
    while True:
        try:
            return api.get(path)
        except AwayError as away:
            pause = away.retry_after or _SECONDS_BETWEEN_TRIES
            if time.monotonic() + pause > patience:
                raise
            if not told:
                errors.print(f"{away} The job goes on; waiting for up to {_PATIENCE_SECONDS:.0f} seconds.")
                told = True
            time.sleep(pause)
