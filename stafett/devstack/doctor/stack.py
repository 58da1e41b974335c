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
from stafett.devstack.doctor.audit import audit_bucket
from stafett.devstack.doctor.check import Finding
from stafett.devstack.errors import DevStackError
from stafett.devstack.loopback import HOST
from stafett.devstack.ports import is_free
from stafett.devstack.stack_file import StackFile, read_stack
from stafett.devstack.temporal import polls
from stafett.settings import AuditSettings, TemporalSettings
from stafett.temporal.client import cpu_queue, notification_queue

_PATIENCE_SECONDS = 5.0
_RESTART = "stop `stafett dev` and start it again"


def checkup(folder: DataFolder) -> Iterator[Finding]:
    """What a stack that holds this folder answers."""
    try:
        stack = read_stack(folder.path)
    except DevStackError as fault:
        yield Finding("stack", ok=False, sentence=f"It is starting, or not what `stafett dev` started. {fault}")
        return
    logs = f"look into {folder.path / 'logs'}"
    answering: dict[str, Callable[[StackFile], bool]] = {
        "running postgres": lambda stack: _postgres_answers(stack.database_url),
        "running temporal": lambda stack: not is_free(int(stack.temporal_address.rpartition(":")[2])),
        "running temporal-ui": lambda stack: _http_answers(stack.temporal_ui_url),
        "running s3": lambda stack: _http_answers(stack.s3_endpoint),
        "running api": lambda stack: _http_answers(f"{stack.api_url}/healthz"),
    }
    for subject, answers in answering.items():
        ok = answers(stack)
        yield Finding(subject, ok=ok, sentence="It answers." if ok else f"It does not answer; {logs}.")
    yield _schema(stack, logs)
    with urllib3.PoolManager(retries=False, timeout=_PATIENCE_SECONDS) as pool:
        s3 = _s3(stack, pool)
        yield _bucket(s3, stack, logs)
        yield audit_bucket(s3, stack.database_url, AuditSettings(), logs)
    yield from _workers(stack, logs)
    yield _readiness(stack, logs)


def revisions() -> list[str]:
    """The schemas that this version of the program knows, the newest first."""
    with as_file(files("stafett.database") / "migrations") as scripts:
        return [script.revision for script in ScriptDirectory(str(scripts)).walk_revisions()]


def _schema(stack: StackFile, logs: str) -> Finding:
    known = revisions()
    try:
        with psycopg.connect(stack.database_url, connect_timeout=3) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        found = None
    except psycopg.Error:
        return Finding("schema", ok=False, sentence=f"PostgreSQL does not say where it stands; {logs}.")
    stands = found[0] if found else None
    if stands == known[0]:
        return Finding("schema", ok=True, sentence=f"It stands at {stands}, the newest.")
    if stands is None or stands in known:
        sentence = f"It stands at {stands or 'nothing'} instead of {known[0]}; {_RESTART}, which migrates."
    else:
        sentence = f"It stands at {stands}, of another version of Stafett; run that one, or choose another --data-dir."
    return Finding("schema", ok=False, sentence=sentence)


def _s3(stack: StackFile, pool: urllib3.PoolManager) -> Minio:
    return Minio(
        stack.s3_endpoint.removeprefix("http://"),
        access_key=stack.s3_access_key,
        secret_key=stack.s3_secret_key,
        secure=False,
        region="us-east-1",
        http_client=pool,
    )


def _bucket(s3: Minio, stack: StackFile, logs: str) -> Finding:
    try:
        there = s3.bucket_exists(stack.s3_bucket)
    except (MinioException, urllib3.exceptions.HTTPError, ValueError):
        return Finding("bucket", ok=False, sentence=f"S3 does not say whether {stack.s3_bucket} is there; {logs}.")
    if there:
        return Finding("bucket", ok=True, sentence=f"{stack.s3_bucket} is there.")
    return Finding("bucket", ok=False, sentence=f"{stack.s3_bucket} is missing; {_RESTART}, which makes it.")


def _workers(stack: StackFile, logs: str) -> Iterator[Finding]:
    """At each of the task queues: what waits at one is done by nobody at another."""
    queue = TemporalSettings().task_queue
    waiting = {
        queue: "every job waits",
        cpu_queue(queue): "every report waits",
        notification_queue(queue): "nobody is told",
    }
    for name, harm in waiting.items():
        ok = asyncio.run(_any_polls(stack, name))
        yield Finding(
            "worker",
            ok=ok,
            sentence=f"It works at the task queue {name}." if ok else f"None works at {name}, so {harm}; {logs}.",
        )


async def _any_polls(stack: StackFile, queue: str) -> bool:
    alive = filter(processes.lives, stack.pids.worker)
    where = (stack.temporal_address, stack.temporal_namespace, queue)
    asked = (polls(*where, pid, for_activities=True) for pid in alive)
    return any(await asyncio.gather(*asked))


def _readiness(stack: StackFile, logs: str) -> Finding:
    answer = _http(f"{stack.api_url}/readyz")
    try:
        said = answer.json() if answer else {}
        away = [name for name, state in said.items() if state != "ok"]
    except (ValueError, AttributeError):
        said, away = {}, []
    if said and not away:
        return Finding("readiness", ok=True, sentence="The API reaches everything it stands on.")
    about = f"The API does not reach {', '.join(away)}" if away else "The API does not say what it reaches"
    return Finding("readiness", ok=False, sentence=f"{about}; {logs}.")


def _postgres_answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.Error:
        return False
    return True


def _http_answers(url: str) -> bool:
    answer = _http(url)
    return answer is not None and answer.status < 500


def _http(url: str) -> urllib3.BaseHTTPResponse | None:
    if urlsplit(url).hostname != HOST:
        return None
    try:
        with urllib3.PoolManager(retries=False, timeout=_PATIENCE_SECONDS) as pool:
            return pool.request("GET", url)
    except urllib3.exceptions.HTTPError:
        return None
