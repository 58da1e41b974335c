"""``stafett demo``, which `make demo` runs: the whole stack, and one complete run through it."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from stafett.cli.client import Json, connect
from stafett.cli.demo_bulk import run_bulk_demo
from stafett.cli.jobs import download_job_file
from stafett.cli.reexport import find_result_export
from stafett.cli.terminal import make_console, make_table, print_lines
from stafett.cli.verify import RecordedFile, verify_file
from stafett.cli.watch import watch_job
from stafett.devstack.errors import summarise_output
from stafett.devstack.privileges import parent_death_prefix
from stafett.devstack.stack_file import load_stack_file
from stafett.domain.errors import StafettError

YEAR = 2026
ACTIVITIES_PER_ORG = {"nhf": 5000, "blindeforbundet": 1200, "hlf": 2400}
BULK_ORG = "nhf"
FORMAT_PER_ORG = {"nhf": "xlsx", "blindeforbundet": "csv", "hlf": "xlsx"}
ATTACHMENTS_PER_ORG = {"nhf": 60}
REEXPORT_ORG = "nhf"
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_START_TIMEOUT_SECONDS, _STOP_TIMEOUT_SECONDS = 90, 20


def demo(
    output: Annotated[Path, typer.Option(help="Folder for the downloaded files.")] = Path("demo-output"),
) -> None:
    """Run exports, a re-export and a bulk registration on a temporary stack, and print the results."""
    report_ids = dict[str, str]()
    console, results = make_console(), make_table("organisation", "job", "status", "rows", "bytes", "seconds", "file")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StafettError(f"{output} cannot be created: {error.strerror}.") from None
    with (
        _interrupt_on_stop_signals(),
        tempfile.TemporaryDirectory(prefix="stafett-demo-") as folder,
        running_stack(Path(folder), console),
    ):
        for org, activities in ACTIVITIES_PER_ORG.items():
            counts = ("--activities", str(activities), "--attachments", str(ATTACHMENTS_PER_ORG.get(org, 0)))
            run_stafett("seed", "--org", org, *counts, "--year", str(YEAR), data_dir=Path(folder))
            row, report_ids[org] = _run_export(Path(folder), org, output)
            results.add_row(*row)
        results.add_row(*_run_reexport(Path(folder), REEXPORT_ORG, report_ids[REEXPORT_ORG], output))
        for result in run_bulk_demo(Path(folder), BULK_ORG, YEAR, output):
            size, seconds = str(result.size) if result.size else "", f"{result.seconds:.1f}"
            results.add_row(BULK_ORG, result.job, result.status, str(result.rows), size, seconds, result.file)
        console_url = load_stack_file(Path(folder)).console_url
    console.print(results)
    console.print(f"The files are in {output}.")
    print_lines(*_describe_console(console_url))


def _describe_console(url: str) -> list[str]:
    """Describe how to open the console of `make dev`, at the port that the demo's own stack no longer uses."""
    users = ", ".join(f"{role}@{BULK_ORG}.example" for role in ("coordinator", "admin", "auditor"))
    return [
        "",
        "The same in a browser:",
        f"  make dev API_PORT={urlsplit(url).port}",
        f"  {url}",
        f"Sign in without a password as one of {users}.",
        "Activities to look at, while it runs:",
        f"  .venv/bin/stafett seed --data-dir .stafett --org {BULK_ORG} --activities 5000 --year {YEAR}",
    ]


def _run_export(data_dir: Path, org: str, output: Path) -> tuple[tuple[str, ...], str]:
    """Run and verify one export; return its row of the result table and its report's id."""
    api, started = connect(data_dir, None, org), time.monotonic()
    period = {"start": f"{YEAR}-01-01", "end": f"{YEAR}-12-31"}
    body = {"org_id": org, "reporting_period": period, "export_format": FORMAT_PER_ORG[org]}
    accepted = api.post("/bufdir-exports", body | {"include_attachments": org in ATTACHMENTS_PER_ORG})
    job = watch_job(api, f"/bufdir-exports/{accepted['id']}", quiet=False)
    seconds = time.monotonic() - started
    if job["status"] != "completed":
        raise StafettError(f"The export for {org} ended with status {job['status']}: {job['error']}.")
    file = download_job_file(api, job, job["id"], str(output), force=True, quiet=False)
    verification = verify_file(file, job["id"], lambda _: RecordedFile(job["id"], job["file"]))
    if verification.findings:
        raise StafettError(f"{file} does not match its export: {' '.join(verification.findings)}")
    description = f"export {FORMAT_PER_ORG[org]}" + (" with attachments" if org in ATTACHMENTS_PER_ORG else "")
    return _result_row(job, description, job["row_count"], seconds, file), job["report_id"]


def _run_reexport(data_dir: Path, org: str, report_id: str, output: Path) -> tuple[str, ...]:
    """Re-export a report from its snapshot, as if its file were lost, and require the same bytes."""
    api, started = connect(data_dir, None, org), time.monotonic()
    body = {"report_id": report_id, "source": "same_snapshot", "reason": "Demonstration."}
    job = watch_job(api, f"/report-reexports/{api.post('/report-reexports', body)['id']}", quiet=False)
    seconds = time.monotonic() - started
    if job["status"] != "completed":
        raise StafettError(f"The re-export for {org} ended with status {job['status']}: {job['error']}.")
    name = Path(job["file"]["name"])
    target = output / f"{name.stem}-version-{job['file_version']}{name.suffix}"
    file = download_job_file(api, job, find_result_export(api, job), str(target), force=True, quiet=False)
    if file.read_bytes() != (output / name).read_bytes():
        raise StafettError(f"{file} is not identical to {name}.")
    return _result_row(
        job, "re-export, same snapshot", api.get(f"/bufdir-exports/{job['export_id']}")["row_count"], seconds, file
    )


def _result_row(job: Json, description: str, rows: int, seconds: float, file: Path) -> tuple[str, ...]:
    return (job["org_id"], description, job["status"], str(rows), str(file.stat().st_size), f"{seconds:.1f}", file.name)


@contextmanager
def _interrupt_on_stop_signals() -> Iterator[None]:
    """Turn every stop signal into a KeyboardInterrupt, so that the stack and its folder are cleaned up."""
    previous_handlers = {number: signal.signal(number, signal.default_int_handler) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)


@contextmanager
def running_stack(data_dir: Path, console: Console) -> Iterator[None]:
    """Run `stafett dev` as a subprocess, and stop it on every exit from the block."""
    # In a session of its own, the stack receives no Ctrl-C. If this process is killed, the kernel stops the stack.
    command = [*parent_death_prefix(signal.SIGTERM), *_build_command("dev", data_dir)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as stack:
        try:
            with console.status("Starting PostgreSQL, Temporal, S3, the API and a worker"):
                _wait_until_ready(stack, data_dir)
            yield
        finally:
            # A second Ctrl-C would interrupt the cleanup, which takes only seconds.
            for number in _STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            stack.terminate()
            try:
                stack.communicate(timeout=_STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                stack.kill()


def _wait_until_ready(stack: "subprocess.Popen[str]", data_dir: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    while not (data_dir / "stack.json").exists():
        if stack.poll() is not None:
            output, _ = stack.communicate()
            raise StafettError(f"The stack did not start: {output.strip() or 'it printed nothing'}")
        if time.monotonic() > deadline:
            raise StafettError(f"The stack was not ready after {_START_TIMEOUT_SECONDS} seconds.")
        time.sleep(0.1)


def run_stafett(*arguments: str, data_dir: Path) -> None:
    command = [*_build_command(arguments[0], data_dir), *arguments[1:]]
    finished = subprocess.run(command, check=False, capture_output=True)
    if finished.returncode:
        raise StafettError(
            f"`stafett {arguments[0]}` failed with exit code {finished.returncode}. {summarise_output(finished.stderr)}"
        )


def _build_command(subcommand: str, data_dir: Path) -> list[str]:
    return [sys.executable, "-m", "stafett", subcommand, "--data-dir", str(data_dir)]
