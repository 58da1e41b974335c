"""``stafett dev`` runs the whole service for development; ``api``, ``worker`` and ``migrate`` run its parts.

``doctor`` finds problems of a set-up, and ``openapi`` prints the API's document.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from stafett.allocator import limit_allocator_arenas
from stafett.cli.options import DATA_DIR_VARIABLE, DataDirOption, JsonOption
from stafett.cli.terminal import print_file, print_json, print_lines
from stafett.monitoring.logs import configure_logging
from stafett.monitoring.tracing import start_tracing
from stafett.settings import Settings, WorkerRole
from stafett.temporal.sdk_runtime import ReadMetrics, configure_runtime


def dev(
    data_dir: Annotated[
        Path,
        typer.Option("--data-dir", metavar="D", envvar=DATA_DIR_VARIABLE, help="Directory for all data of the stack."),
    ],
    api_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the API. Default: a free port.")
    ] = None,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Encrypt Temporal payloads from now on, with keys stored in D.")
    ] = False,
) -> None:
    """Run the whole stack until Ctrl-C: PostgreSQL, Temporal with its Web UI, S3, the API and a worker."""
    from stafett.cli.dev_stack import run_development_stack

    asyncio.run(run_development_stack(data_dir, api_port, encrypt=encrypt))


def api() -> None:
    """Run the API."""
    from api.long_requests import reduce_settings, take_listener

    settings, listener = Settings.load(), take_listener()
    if listener is not None:
        settings = reduce_settings(settings)
    read_sdk_metrics = _configure_telemetry(settings, "stafett-api")
    if listener is None:
        from stafett.database.connection_budget import count_api_connections

        _announce_connections(settings, "api", settings.database.api_url, count_api_connections(settings))
    from api.app import serve

    serve(settings, listener, read_sdk_metrics)


def worker(
    queue: Annotated[str | None, typer.Option(help="Task queue, instead of STAFETT_TEMPORAL__TASK_QUEUE.")] = None,
    role: Annotated[
        WorkerRole | None, typer.Option(help="Run only CPU-bound (`cpu`) or only I/O-bound (`io`) activities.")
    ] = None,
) -> None:
    """Run a worker."""
    settings = Settings.load()
    read_sdk_metrics = _configure_telemetry(settings, "stafett-worker")
    limit_allocator_arenas(settings.worker.cpu_threads)
    from stafett.database.connection_budget import count_worker_connections

    _announce_connections(settings, "worker", settings.database.worker_url, count_worker_connections(settings, role))
    from worker import serve

    asyncio.run(serve(settings, queue, role, read_sdk_metrics))


def _announce_connections(settings: Settings, kind: str, url: SecretStr | None, maximum: int) -> None:
    """Check that PostgreSQL admits the process; behind a pooler, the pooler's limits apply."""
    from stafett.database.connection_budget import announce_connections

    if url is not None and not settings.database.transaction_pooling:
        announce_connections(url.get_secret_value(), kind, maximum)


def _configure_telemetry(settings: Settings, service: str) -> ReadMetrics | None:
    """Configure logs, traces and Temporal's SDK; return what reads the SDK's metrics if there is a port."""
    configure_logging(settings.log)
    start_tracing(service)
    return configure_runtime(has_metrics=settings.metrics.port is not None)


def migrate() -> None:
    """Migrate the database to the newest schema. Safe to run twice, and on two machines at once."""
    from stafett.database.migrate import migrate as run_migrations

    print_lines(f"The database schema is at revision {run_migrations(Settings.load().database)}.")


def doctor(
    data_dir: DataDirOption = None,
    storage: Annotated[
        bool,
        typer.Option(
            "--storage",
            help="Compare the bucket with the database instead, after a restore of one of them: name the exports and"
            " attachments whose objects are missing, and those of which only the bucket knows. Changes neither.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check this machine, the embedded servers' programs and a stack's data directory, each with a deadline."""
    if storage:
        from stafett.cli.storage import check_storage

        findings = check_storage(data_dir)
    else:
        from stafett.devstack.doctor.machine import diagnose

        findings = diagnose(data_dir)
    if as_json:
        rows = [{"subject": finding.subject, "ok": finding.ok, "message": finding.message} for finding in findings]
        print_json(rows)
    else:
        for finding in findings:
            print_lines(f"{'ok ' if finding.ok else 'NOT'} {finding.subject}: {finding.message}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def openapi() -> None:
    """Print the OpenAPI document of the HTTP API."""
    print_file(f"{render_openapi()}\n")


def render_openapi() -> str:
    """Render the document with sorted keys, so that a diff shows only what has changed."""
    from api.app import create_app_with_routes

    return json.dumps(create_app_with_routes().openapi(), indent=1, sort_keys=True, ensure_ascii=False)
