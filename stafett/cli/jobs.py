"""Options and output that the commands of all kinds of jobs share."""

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn

from stafett.cli.client import ApiClient, Json
from stafett.cli.terminal import make_progress_bar, print_json, print_lines
from stafett.domain.errors import StafettError

EXIT_WITHOUT_FILE = 3

WatchOption = Annotated[bool, typer.Option("--watch", help="Wait for the job to finish and show its progress.")]


def print_result(result: Json, as_json: bool, *lines: str) -> None:
    if as_json:
        print_json(result)
    else:
        print_lines(*lines)


def format_created_at(job: Json) -> str:
    """Format the creation time in the local time zone."""
    return f"{datetime.fromisoformat(job['created_at']).astimezone():%Y-%m-%d %H:%M:%S}"


def download_job_file(api: ApiClient, job: Json, output: str, *, force: bool, quiet: bool) -> Path:
    """Save a finished job's file, under its own name unless `output` names a file."""
    if not job["download_url"]:
        raise StafettError(f"Job {job['id']} has no file that you can download; its status is {job['status']}.")
    target = Path(output)
    if output.endswith(os.sep):
        target.mkdir(parents=True, exist_ok=True)
    target = target / Path(job["file"]["name"]).name if target.is_dir() else target
    if target.exists() and not force:
        raise StafettError(f"{target} already exists; use --force to overwrite it.")
    with make_progress_bar("{task.description}", BarColumn(), DownloadColumn(), quiet=quiet) as progress:
        task = progress.add_task(target.name, total=job["file"]["size_bytes"])
        api.download(job["download_url"], target, job["file"]["sha256"], lambda size: progress.advance(task, size))
    return target
