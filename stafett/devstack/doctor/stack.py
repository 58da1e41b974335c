"""The doctor's questions to a running stack: whether each part answers, and whether it has what a job needs."""

import asyncio
from collections.abc import Callable, Iterator
from importlib.resources import as_file, files
from urllib.parse import urlsplit

import psycopg
import urllib3
from alembic.script import ScriptDirectory
from minio import Minio
from minio.error import MinioException

from stafett.devstack import processes
from stafett.devstack.data_folder import DataFolder
from stafett.devstack.doctor.audit import check_audit_bucket
from stafett.devstack.doctor.check import DoctorCheck
from stafett.devstack.errors import DevStackError
from stafett.devstack.loopback import HOST
from stafett.devstack.ports import is_port_free
from stafett.devstack.stack_file import StackFile, load_stack_file
from stafett.devstack.temporal import is_polling
from stafett.settings import AuditSettings, TemporalSettings
from stafett.temporal.client import cpu_queue, notification_queue

_TIMEOUT_SECONDS = 5.0
_RESTART_HINT = "stop `stafett dev` and start it again"


def check_stack(folder: DataFolder) -> Iterator[DoctorCheck]:
    """What a stack that holds this folder answers."""
    try:
        stack = load_stack_file(folder.path)
    except DevStackError as fault:
        yield DoctorCheck("stack", ok=False, message=f"It is starting, or not what `stafett dev` started. {fault}")
        return
    logs = f"look into {folder.path / 'logs'}"
    answering: dict[str, Callable[[StackFile], bool]] = {
        "running postgres": lambda stack: _is_postgres_reachable(stack.database_url),
        "running temporal": lambda stack: not is_port_free(int(stack.temporal_address.rpartition(":")[2])),
        "running temporal-ui": lambda stack: _is_http_reachable(stack.temporal_ui_url),
        "running s3": lambda stack: _is_http_reachable(stack.s3_endpoint),
        "running api": lambda stack: _is_http_reachable(f"{stack.api_url}/healthz"),
    }
    for subject, answers in answering.items():
        ok = answers(stack)
        yield DoctorCheck(subject, ok=ok, message="It answers." if ok else f"It does not answer; {logs}.")
    yield _check_schema(stack, logs)
    with urllib3.PoolManager(retries=False, timeout=_TIMEOUT_SECONDS) as pool:
        s3 = _create_s3_client(stack, pool)
        yield _check_bucket(s3, stack, logs)
        yield check_audit_bucket(s3, stack.database_url, AuditSettings(), logs)
    yield from _check_workers(stack, logs)
    yield _check_readiness(stack, logs)


def list_schema_revisions() -> list[str]:
    """The schemas that this version of the program knows, the newest first."""
    with as_file(files("stafett.database") / "migrations") as scripts:
        return [script.revision for script in ScriptDirectory(str(scripts)).walk_revisions()]


def _check_schema(stack: StackFile, log_hint: str) -> DoctorCheck:
    known = list_schema_revisions()
    try:
        with psycopg.connect(stack.database_url, connect_timeout=3) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        found = None
    except psycopg.Error:
        return DoctorCheck("schema", ok=False, message=f"PostgreSQL does not say where it stands; {log_hint}.")
    stands = found[0] if found else None
    if stands == known[0]:
        return DoctorCheck("schema", ok=True, message=f"It stands at {stands}, the newest.")
    if stands is None or stands in known:
        sentence = f"It stands at {stands or 'nothing'} instead of {known[0]}; {_RESTART_HINT}, which migrates."
    else:
        sentence = f"It stands at {stands}, of another version of Stafett; run that one, or choose another --data-dir."
    return DoctorCheck("schema", ok=False, message=sentence)


def _create_s3_client(stack: StackFile, pool: urllib3.PoolManager) -> Minio:
    return Minio(
        stack.s3_endpoint.removeprefix("http://"),
        access_key=stack.s3_access_key,
        secret_key=stack.s3_secret_key,
        secure=False,
        region="us-east-1",
        http_client=pool,
    )


def _check_bucket(s3: Minio, stack: StackFile, log_hint: str) -> DoctorCheck:
    try:
        there = s3.bucket_exists(stack.s3_bucket)
    except (MinioException, urllib3.exceptions.HTTPError, ValueError):
        return DoctorCheck(
            "bucket", ok=False, message=f"S3 does not say whether {stack.s3_bucket} is there; {log_hint}."
        )
    if there:
        return DoctorCheck("bucket", ok=True, message=f"{stack.s3_bucket} is there.")
    return DoctorCheck("bucket", ok=False, message=f"{stack.s3_bucket} is missing; {_RESTART_HINT}, which makes it.")


def _check_workers(stack: StackFile, log_hint: str) -> Iterator[DoctorCheck]:
    """At each of the task queues: what waits at one is done by nobody at another."""
    queue = TemporalSettings().task_queue
    waiting = {
        queue: "every job waits",
        cpu_queue(queue): "every report waits",
        notification_queue(queue): "nobody is told",
    }
    for name, harm in waiting.items():
        ok = asyncio.run(_is_any_worker_polling(stack, name))
        yield DoctorCheck(
            "worker",
            ok=ok,
            message=f"It works at the task queue {name}." if ok else f"None works at {name}, so {harm}; {log_hint}.",
        )


async def _is_any_worker_polling(stack: StackFile, task_queue: str) -> bool:
    alive = filter(processes.is_alive, stack.pids.worker)
    where = (stack.temporal_address, stack.temporal_namespace, task_queue)
    asked = (is_polling(*where, pid, for_activities=True) for pid in alive)
    return any(await asyncio.gather(*asked))


def _check_readiness(stack: StackFile, log_hint: str) -> DoctorCheck:
    answer = _get_response(f"{stack.api_url}/readyz")
    try:
        said = answer.json() if answer else {}
        away = [name for name, state in said.items() if state != "ok"]
    except (ValueError, AttributeError):
        said, away = {}, []
    if said and not away:
        return DoctorCheck("readiness", ok=True, message="The API reaches everything it stands on.")
    about = f"The API does not reach {', '.join(away)}" if away else "The API does not say what it reaches"
    return DoctorCheck("readiness", ok=False, message=f"{about}; {log_hint}.")


def _is_postgres_reachable(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.Error:
        return False
    return True


def _is_http_reachable(url: str) -> bool:
    answer = _get_response(url)
    return answer is not None and answer.status < 500  # noqa: PLR2004 - a refusal is an answer


def _get_response(url: str) -> urllib3.BaseHTTPResponse | None:
    if urlsplit(url).hostname != HOST:
        return None
    try:
        with urllib3.PoolManager(retries=False, timeout=_TIMEOUT_SECONDS) as pool:
            return pool.request("GET", url)
    except urllib3.exceptions.HTTPError:
        return None
