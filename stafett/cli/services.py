"""The parts of the service, all at once for development and one by one for production."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from stafett.allocator import limit_allocator_arenas
from stafett.settings import Settings, WorkerRole
from stafett.telemetry import configure_logging


def dev(
    data_dir: Annotated[Path, typer.Option("--data-dir", metavar="D", help="Where everything it keeps is kept.")],
    api_port: Annotated[int | None, typer.Option(min=1, max=65535, help="The API's port; else a free one.")] = None,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Seal what Temporal is told, from now on, with keys kept in D.")
    ] = False,
) -> None:
    """Run the whole stack: PostgreSQL, Temporal with its Web UI, S3, the API and a worker, until Ctrl-C."""
    from stafett.cli.dev_stack import run_development_stack

    asyncio.run(run_development_stack(data_dir, api_port, encrypt=encrypt))


def api() -> None:
    """Run the API."""
    settings = Settings.load()
    configure_logging(settings.log)
    from api.app import serve

    serve(settings)


def worker(
    queue: Annotated[str | None, typer.Option(help="The task queue, instead of STAFETT_TEMPORAL__TASK_QUEUE.")] = None,
    role: Annotated[
        WorkerRole | None, typer.Option(help="Run only CPU-bound (`cpu`) or only I/O-bound (`io`) activities.")
    ] = None,
) -> None:
    """Run a worker."""
    settings = Settings.load()
    configure_logging(settings.log)
    limit_allocator_arenas(settings.worker.cpu_threads)
    from worker import serve

    asyncio.run(serve(settings, queue, role))


def migrate() -> None:
    """Bring the database to the newest schema; safe to run twice, and from two machines at once."""
    from stafett.database.migrate import migrate as bring_up_to_date

    typer.echo(f"The schema stands at {bring_up_to_date(Settings.load().database)}.")
