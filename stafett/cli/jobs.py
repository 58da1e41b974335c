"""What the commands about jobs have in common, of whatever kind the job is."""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn

from stafett.cli.client import ApiClient, Json
from stafett.cli.terminal import make_progress_bar
from stafett.domain.errors import StafettError

EXIT_WITHOUT_FILE = 3

WatchOption = Annotated[bool, typer.Option("--watch", help="Wait for the end, with a progress bar.")]


def print_result(result: Json, as_json: bool, *lines: str) -> None:
    typer.echo(json.dumps(result, ensure_ascii=False) if as_json else "\n".join(lines))


def format_created_at(job: Json) -> str:
    """When, on the clock of whoever looks."""
    return f"{datetime.fromisoformat(job['created_at']).astimezone():%Y-%m-%d %H:%M:%S}"


def download_job_file(api: ApiClient, job: Json, output: str, *, force: bool, quiet: bool) -> Path:
    """Save a finished job's file, under its own name unless another one is said."""
    if not job["download_url"]:
        raise StafettError(f"{job['id']} has no file for you to download; it is {job['status']}.")
    target = Path(output)
    if output.endswith(os.sep):
        target.mkdir(parents=True, exist_ok=True)
    target = target / job["file"]["name"] if target.is_dir() else target
    if target.exists() and not force:
        raise StafettError(f"{target} is there already; --force replaces it.")
    with make_progress_bar("{task.description}", BarColumn(), DownloadColumn(), quiet=quiet) as shown:
        task = shown.add_task(target.name, total=job["file"]["size_bytes"])
        api.download(job["download_url"], target, job["file"]["sha256"], lambda size: shown.advance(task, size))
    return target
