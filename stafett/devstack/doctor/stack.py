"""The doctor's checks of a running stack: each server answers, and everything that a job needs is there."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import urllib3
from alembic.script import ScriptDirectory
from minio import Minio
from minio.error import MinioException

from stafett.devstack import processes
from stafett.devstack.data_folder import DataFolder
from stafett.devstack.doctor import Check, DoctorCheck
from stafett.devstack.doctor.audit import check_audit_bucket
from stafett.devstack.errors import DevStackError
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.loopback import HOST
from stafett.devstack.ports import is_port_free
from stafett.devstack.stack_file import StackFile, load_stack_file
from stafett.devstack.temporal import is_polling
from stafett.seed.organisations import dev_user_id
from stafett.settings import AuditSettings, TemporalSettings
from stafett.temporal.queues import (
    cpu_queue,
    maintenance_queue,
    notification_queue,
    outcome_queue,
    preview_queue,
    query_queue,
)

_TIMEOUT_SECONDS = 5.0
_OPERATOR = "operator@stafett.example"
_RESTART_HINT = "stop `stafett dev` and start it again"


def list_stack_checks(folder: DataFolder) -> Mapping[str, Check]:
    """List the checks of the stack that has locked this folder, by their subjects."""
    try:
        stack = load_stack_file(folder.path)
    except DevStackError as error:
        message = f"The stack is starting, or was not started by `stafett dev`. {error}"
        failed = DoctorCheck("stack", ok=False, message=message)
        return {"stack": lambda: failed}
    log_hint = f"see the logs in {folder.path / 'logs'}"
    postgres_address = urlsplit(stack.database_url).netloc.rpartition("@")[2]
    probes: dict[str, tuple[str, Callable[[], bool]]] = {
        "postgres": (postgres_address, partial(_is_postgres_reachable, stack.database_url)),
        "temporal": (stack.temporal_address, partial(_is_listening, stack.temporal_address)),
        "temporal-ui": (stack.temporal_ui_url, partial(_is_http_reachable, stack.temporal_ui_url)),
        "s3": (stack.s3_endpoint, partial(_is_http_reachable, stack.s3_endpoint)),
        "api": (stack.api_url, partial(_is_http_reachable, f"{stack.api_url}/healthz")),
    }
    return {
        **{
            f"running {name}": partial(_check_probe, name, address, probe, log_hint)
            for name, (address, probe) in probes.items()
        },
        "schema": partial(_check_schema, stack, log_hint),
        "bucket": partial(_check_bucket, stack, log_hint),
        "audit bucket": partial(_check_audit, stack, log_hint),
        "worker": partial(_check_workers, stack, log_hint),
        "readiness": partial(_check_readiness, stack, log_hint),
        "api call": partial(_check_api_call, stack, folder.path, log_hint),
    }


def _check_probe(name: str, address: str, probe: Callable[[], bool], log_hint: str) -> DoctorCheck:
    ok = probe()
    message = f"It answers at {address}." if ok else f"It does not answer at {address}; {log_hint}."
    return DoctorCheck(f"running {name}", ok=ok, message=message)


def _is_listening(address: str) -> bool:
    return not is_port_free(int(address.rpartition(":")[2]))


def _check_api_call(stack: StackFile, data_dir: Path, log_hint: str) -> DoctorCheck:
    """Call the API as a user does, with a token of the development issuer."""
    token = DevIssuer(data_dir).create_token(dev_user_id(_OPERATOR), None, "operator")
    headers = {"Authorization": f"Bearer {token}"}
    response = _get_response(f"{stack.api_url}/api/v1/bufdir-exports?page_size=1", headers)
    if response is not None and response.status == HTTPStatus.OK:
        return DoctorCheck("api call", ok=True, message="The API lists exports for an operator.")
    answer = f"answers {response.status}" if response is not None else "does not answer"
    return DoctorCheck("api call", ok=False, message=f"The API {answer} to a list of exports; {log_hint}.")


def list_schema_revisions() -> list[str]:
    """Return the schema revisions of this version of Stafett, the newest first."""
    with as_file(files("stafett.database") / "migrations") as scripts:
        return [script.revision for script in ScriptDirectory(str(scripts)).walk_revisions()]


def _check_schema(stack: StackFile, log_hint: str) -> DoctorCheck:
    known = list_schema_revisions()
    try:
        with psycopg.connect(stack.database_url, connect_timeout=3) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    except psycopg.Error:
        return DoctorCheck(
            "schema", ok=False, message=f"The schema revision cannot be read from PostgreSQL; {log_hint}."
        )
    current = row[0] if row else None
    if current == known[0]:
        return DoctorCheck("schema", ok=True, message=f"The schema revision is {current}, the newest.")
    if current is None or current in known:
        message = f"The schema revision is {current or 'not set'} instead of {known[0]}; {_RESTART_HINT} to migrate."
    else:
        message = (
            f"The schema revision {current} is another Stafett version's; run that one or choose another --data-dir."
        )
    return DoctorCheck("schema", ok=False, message=message)


def _create_s3_client(stack: StackFile, pool: urllib3.PoolManager) -> Minio:
    return Minio(
        stack.s3_endpoint.removeprefix("http://"),
        access_key=stack.s3_access_key,
        secret_key=stack.s3_secret_key,
        secure=False,
        region="us-east-1",
        http_client=pool,
    )


def _check_audit(stack: StackFile, log_hint: str) -> DoctorCheck:
    with urllib3.PoolManager(retries=False, timeout=_TIMEOUT_SECONDS) as pool:
        return check_audit_bucket(_create_s3_client(stack, pool), stack.database_url, AuditSettings(), log_hint)


def _check_bucket(stack: StackFile, log_hint: str) -> DoctorCheck:
    try:
        with urllib3.PoolManager(retries=False, timeout=_TIMEOUT_SECONDS) as pool:
            exists = _create_s3_client(stack, pool).bucket_exists(stack.s3_bucket)
    except (MinioException, urllib3.exceptions.HTTPError, ValueError):
        return DoctorCheck("bucket", ok=False, message=f"S3 did not answer for bucket {stack.s3_bucket}; {log_hint}.")
    if exists:
        return DoctorCheck("bucket", ok=True, message=f"{stack.s3_bucket} exists.")
    return DoctorCheck("bucket", ok=False, message=f"{stack.s3_bucket} is missing; {_RESTART_HINT} to create it.")


def _check_workers(stack: StackFile, log_hint: str) -> Iterator[DoctorCheck]:
    """Check that a worker polls each task queue, because workers of one queue run no tasks of another."""
    queue = TemporalSettings().task_queue
    effects = {
        queue: "every job waits",
        cpu_queue(queue): "every report waits",
        query_queue(queue): "every export waits",
        outcome_queue(queue): "no job ends",
        preview_queue(queue): "every preview fails",
        notification_queue(queue): "no notification is sent",
        maintenance_queue(queue): "no job is reconciled, and nothing is removed or signed",
    }
    for name, effect in effects.items():
        ok = asyncio.run(_is_any_worker_polling(stack, name))
        yield DoctorCheck(
            "worker",
            ok=ok,
            message=f"A worker polls the task queue {name}."
            if ok
            else f"No worker polls the task queue {name}, so {effect}; {log_hint}.",
        )


async def _is_any_worker_polling(stack: StackFile, task_queue: str) -> bool:
    alive = filter(processes.is_alive, stack.pids.worker)
    queue = (stack.temporal_address, stack.temporal_namespace, task_queue)
    checks = (is_polling(*queue, pid, for_activities=True) for pid in alive)
    return any(await asyncio.gather(*checks))


def _check_readiness(stack: StackFile, log_hint: str) -> DoctorCheck:
    response = _get_response(f"{stack.api_url}/readyz")
    try:
        states = response.json() if response else {}
        unavailable = [name for name, state in states.items() if state != "ok"]
    except (ValueError, AttributeError):
        states, unavailable = {}, []
    if states and not unavailable:
        return DoctorCheck("readiness", ok=True, message="Every dependency of the API is available.")
    problem = (
        f"The API cannot reach {', '.join(unavailable)}" if unavailable else "The API does not report its readiness"
    )
    return DoctorCheck("readiness", ok=False, message=f"{problem}; {log_hint}.")


def _is_postgres_reachable(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.Error:
        return False
    return True


def _is_http_reachable(url: str) -> bool:
    response = _get_response(url)
    return response is not None and response.status < 500  # noqa: PLR2004 - a client error shows that the server runs


def _get_response(url: str, headers: Mapping[str, str] | None = None) -> urllib3.BaseHTTPResponse | None:
    if urlsplit(url).hostname != HOST:
        return None
    try:
        with urllib3.PoolManager(retries=False, timeout=_TIMEOUT_SECONDS) as pool:
            return pool.request("GET", url, headers=headers)
    except urllib3.exceptions.HTTPError:
        return None
