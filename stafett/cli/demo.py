"""``make demo``: the whole real stack, and one complete run through it."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stafett.cli.client import Json, connect
from stafett.cli.demo_bulk import bulk
from stafett.cli.jobs import download_to
from stafett.cli.terminal import console_for, table
from stafett.cli.verify import examine
from stafett.cli.watch import watch_job
from stafett.devstack.errors import last_words
from stafett.devstack.privileges import die_with_us
from stafett.domain.errors import StafettError

YEAR = 2026
ACTIVITIES = {"nhf": 5000, "blindeforbundet": 1200, "hlf": 2400}
BULK_ORG = "nhf"
FORMATS = {"nhf": "xlsx", "blindeforbundet": "csv", "hlf": "xlsx"}
ATTACHMENTS = {"nhf": 60}
MADE_AGAIN = "nhf"
_REQUESTS_TO_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SECONDS_TO_START, _SECONDS_TO_STOP = 90, 20


def demo(
    output: Annotated[Path, typer.Option(help="Where the downloaded files are saved.")] = Path("demo-output"),
) -> None:
    """Bring up the whole stack in a private folder, export, make a report again, and show what came out."""
    reports = dict[str, str]()
    console, ran = console_for(), table("organisation", "job", "status", "rows", "bytes", "seconds", "file")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StafettError(f"{output} cannot be made: {error.strerror}.") from None
    with (
        _interruptible(),
        tempfile.TemporaryDirectory(prefix="stafett-demo-") as folder,
        running_stack(Path(folder), console),
    ):
        for org, activities in ACTIVITIES.items():
            counts = ("--activities", str(activities), "--attachments", str(ATTACHMENTS.get(org, 0)))
            run_stafett("seed", "--org", org, *counts, "--year", str(YEAR), data_dir=Path(folder))
            row, reports[org] = _export(Path(folder), org, output)
            ran.add_row(*row)
        ran.add_row(*_reexport(Path(folder), MADE_AGAIN, reports[MADE_AGAIN], output))
        for one in bulk(Path(folder), BULK_ORG, YEAR, output):
            size = str(one.size) if one.size else ""
            ran.add_row(BULK_ORG, one.job, one.status, str(one.rows), size, f"{one.seconds:.1f}", one.file)
    console.print(ran)
    console.print(f"The files are in {output}.")


def _export(data_dir: Path, org: str, output: Path) -> tuple[tuple[str, ...], str]:
    """What there is to show of it, and the report that it became."""
    api, started = connect(data_dir, None, org), time.monotonic()
    period = {"start": f"{YEAR}-01-01", "end": f"{YEAR}-12-31"}
    asked = {"org_id": org, "reporting_period": period, "export_format": FORMATS[org]}
    accepted = api.post("/bufdir-exports", asked | {"include_attachments": org in ATTACHMENTS})
    job = watch_job(api, f"/bufdir-exports/{accepted['id']}", quiet=False)
    seconds = time.monotonic() - started
    if job["status"] != "completed":
        raise StafettError(f"The export for {org} ended {job['status']}: {job['error']}.")
    file = download_to(api, job, str(output), force=True, quiet=False)
    examined = examine(file, job["id"], lambda export_id: api.get(f"/bufdir-exports/{export_id}"))
    if examined.findings:
        raise StafettError(f"{file} is not what was exported: {' '.join(examined.findings)}")
    what = f"export {FORMATS[org]}" + (" with attachments" if org in ATTACHMENTS else "")
    return _row(job, what, job["row_count"], seconds, file), job["report_id"]


def _reexport(data_dir: Path, org: str, report_id: str, output: Path) -> tuple[str, ...]:
    """The report that was just made, as if its file had been lost: it is the same file."""
    api, started = connect(data_dir, None, org), time.monotonic()
    asked = {"report_id": report_id, "source": "same_snapshot", "reason": "Demonstration."}
    job = watch_job(api, f"/report-reexports/{api.post('/report-reexports', asked)['id']}", quiet=False)
    seconds = time.monotonic() - started
    if job["status"] != "completed":
        raise StafettError(f"The re-export for {org} ended {job['status']}: {job['error']}.")
    name = Path(job["file"]["name"])
    file = download_to(
        api, job, str(output / f"{name.stem}-version-{job['file_version']}{name.suffix}"), force=True, quiet=False
    )
    if file.read_bytes() != (output / name).read_bytes():
        raise StafettError(f"{file} is not what {name} is.")
    return _row(
        job, "re-export, same snapshot", api.get(f"/bufdir-exports/{job['export_id']}")["row_count"], seconds, file
    )


def _row(job: Json, what: str, rows: int, seconds: float, file: Path) -> tuple[str, ...]:
    return (job["org_id"], what, job["status"], str(rows), str(file.stat().st_size), f"{seconds:.1f}", file.name)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Every request to stop is a Ctrl-C: what was begun is cleaned up."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in _REQUESTS_TO_STOP}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running_stack(data_dir: Path, console: Console) -> Iterator[None]:
    """`stafett dev` as anybody starts it, ended again whatever happens."""
    # In a session of its own a Ctrl-C reaches us alone; if we are killed, it ends by itself.
    command = [*die_with_us(signal.SIGTERM), *_command("dev", data_dir)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as stack:
        try:
            with console.status("Starting PostgreSQL, Temporal, S3, the API and a worker"):
                _wait_until_ready(stack, data_dir)
            yield
        finally:
            # Once: a second Ctrl-C would cut the cleaning up short, which ends by itself within seconds.
            for number in _REQUESTS_TO_STOP:
                signal.signal(number, signal.SIG_IGN)
            stack.terminate()
            try:
                stack.communicate(timeout=_SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                stack.kill()


def _wait_until_ready(stack: "subprocess.Popen[str]", data_dir: Path) -> None:
    patience = time.monotonic() + _SECONDS_TO_START
    while not (data_dir / "stack.json").exists():
        if stack.poll() is not None:
            said, _ = stack.communicate()
            raise StafettError(f"The stack did not start: {said.strip() or 'it said nothing'}")
        if time.monotonic() > patience:
            raise StafettError(f"The stack was not ready after {_SECONDS_TO_START} seconds.")
        time.sleep(0.1)


def run_stafett(*arguments: str, data_dir: Path) -> None:
    command = [*_command(arguments[0], data_dir), *arguments[1:]]
    finished = subprocess.run(command, check=False, capture_output=True)
    if finished.returncode:
        raise StafettError(f"`stafett {arguments[0]}` ended with {finished.returncode}. {last_words(finished.stderr)}")


def _command(name: str, data_dir: Path) -> list[str]:
    return [sys.executable, "-m", "stafett", name, "--data-dir", str(data_dir)]
