"""Following a job to its end: a bar for people at a terminal, a line a stage for everybody else."""

import time

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from stafett.cli.client import Api, Json
from stafett.cli.screen import bar

_ENDS = {"completed", "completed_empty", "completed_with_failures", "failed", "cancelled"}
_SECONDS_BETWEEN_LOOKS = 0.25


def watch_job(api: Api, path: str, *, quiet: bool) -> Json:
    """The job as it is when it has ended."""
    columns = (TextColumn("{task.description:22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with bar(*columns, quiet=quiet) as shown:
        task, stage = shown.add_task("", total=None), ""
        while True:
            job = api.get(path)
            if job["status"] != stage:
                stage = job["status"]
                if shown.disable and not quiet:
                    shown.console.print(f"{job['org_id']}: {stage.replace('_', ' ')}")
            progress = job["progress"] or {"done": 0, "total": 0}
            shown.update(
                task, description=stage.replace("_", " "), completed=progress["done"], total=progress["total"] or None
            )
            if stage in _ENDS:
                return job
            time.sleep(_SECONDS_BETWEEN_LOOKS)
