"""An organisation with a thousand jobs: one real job of each kind, and copies of it in the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import httpx
import psycopg
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from stafett.cli.demo import run_stafett
from stafett.database.migrate import OWNER_ROLE
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.stack_file import load_stack_file
from stafett.domain.reporting_period import OSLO
from stafett.seed.organisations import dev_user_id

ORGANISATION, YEAR = "nhf", datetime.now(OSLO).year
_COPIED_TABLES = (
    *("exports", "export_attempts", "export_partial_failures", "reports", "report_files"),
    *("report_reexports", "bulk_registrations", "bulk_items", "notifications"),
)
_FAILED_SHARE = 10
"""One of so many exports has failed."""


@dataclass(frozen=True)
class JobCounts:
    """Rows of the organisation."""

    activities: int
    exports: int
    reexports: int
    batches: int
    mentors_per_batch: int

    def __str__(self) -> str:
        jobs = self.exports + self.reexports + self.batches
        return (
            f"One organisation with {self.activities:,} activities of {YEAR} and {jobs:,} jobs:\n"
            f"{self.exports:,} exports of all activities, {self.reexports:,} re-exports, and "
            f"{self.batches:,} batches of {self.mentors_per_batch:,} peer mentors."
        )


@dataclass(frozen=True)
class ConsoleObjects:
    """The ids of objects with pages, by the name of the parameter in the page's path."""

    ids: Mapping[str, str]
    mentors: tuple[str, ...]


def create_jobs(folder: Path, api_url: str, counts: JobCounts) -> ConsoleObjects:
    """Run one job of each kind in a running stack, and copy them."""
    run_stafett(
        *("seed", "--org", ORGANISATION, "--activities", str(counts.activities), "--year", str(YEAR)), data_dir=folder
    )
    token = DevIssuer(folder).create_token(dev_user_id(f"admin@{ORGANISATION}.example"), ORGANISATION, "admin")
    headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=60"}
    with httpx.Client(base_url=f"{api_url}/api/v1", headers=headers, timeout=120) as client:
        mentors = _list_mentors(client, counts.mentors_per_batch)
        ids = _run_jobs(client, mentors)
        ids |= _create_others(client)
    with psycopg.connect(load_stack_file(folder).database_url) as connection:
        _copy_jobs(connection, ids, counts)
    with psycopg.connect(load_stack_file(folder).database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")  # as autovacuum does within a minute
    return ConsoleObjects(ids | {"mentor_id": mentors[0], "version": "1"}, tuple(mentors))


def _list_mentors(client: httpx.Client, count: int) -> list[str]:
    mentors, query = list[str](), dict[str, Any](active=True, page_size=200)
    while len(mentors) < count:
        page = _read(client.get("/peer-mentors", params=query))
        mentors += [mentor["id"] for mentor in page["items"]]
        if (token := page["next_page_token"]) is None:
            break
        query["page_token"] = token
    return mentors[:count]


def _run_jobs(client: httpx.Client, mentors: list[str]) -> dict[str, str]:
    period = {"start": f"{YEAR}-01-01", "end": f"{YEAR}-12-31"}
    export_body = {"org_id": ORGANISATION, "reporting_period": period, "export_format": "xlsx"}
    export = _complete(client, "/bufdir-exports", export_body)
    reexport_body = {"report_id": export["report_id"], "source": "same_snapshot", "reason": "Benchmark."}
    reexport = _complete(client, "/report-reexports", reexport_body)
    activity = {
        "activity_type": "samtalegruppe",
        "starts_at": f"{YEAR + 1}-03-02T10:00:00+01:00",
        "duration_minutes": 60,
        "participants": 5,
        "new_participants": 1,
        "place": "Tromsø",
        "in_person": True,
        "in_norway": True,
    }
    batch_body, items = {"org_id": ORGANISATION, "activity": activity}, [{"mentor_id": each} for each in mentors]
    _complete(client, "/bulk-registrations", batch_body | {"items": items[::2]})
    batch = _complete(client, "/bulk-registrations", batch_body | {"items": items})  # half of them fail
    return {
        "export_id": export["id"],
        "report_id": export["report_id"],
        "reexport_id": reexport["id"],
        "batch_id": batch["id"],
        "activity_id": _read(client.get("/activities", params={"page_size": 1}))["items"][0]["id"],
    }


def _create_others(client: httpx.Client) -> dict[str, str]:
    webhook = _read(client.post("/webhooks", json={"url": "https://93.184.215.14/hook"}))
    key = _read(
        client.post(f"/organisations/{ORGANISATION}/api-keys", json={"name": "Benchmark", "role": "coordinator"})
    )
    user_id = dev_user_id(f"coordinator@{ORGANISATION}.example")
    return {"webhook_id": webhook["id"], "key_id": key["id"], "user_id": str(user_id)}


def _complete(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Start a job and return it when it has ended."""
    job = _read(client.post(path, json=body))
    while job["completed_at"] is None:
        job = _read(client.get(f"{path}/{job['id']}", headers={"Prefer": "wait=60"}))
    return job


def _read(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.raise_for_status().json()
    return body


def _copy_jobs(connection: Connection, ids: Mapping[str, str], counts: JobCounts) -> None:
    """Copy the rows as the owner, without the triggers that require each job to start at its first status."""
    connection.execute(SQL("SET LOCAL ROLE {}").format(Identifier(OWNER_ROLE)))
    connection.execute("SELECT set_config('app.org_id', %s, true)", [ORGANISATION])
    for table in _COPIED_TABLES:
        connection.execute(SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(Identifier(table)))
    new_ids = {
        "export_ids": [uuid4() for _ in range(counts.exports - 1)],  # the original is one of the jobs
        "reexport_ids": [uuid4() for _ in range(counts.reexports - 1)],
        "batch_ids": [uuid4() for _ in range(counts.batches - 1)],
    }
    for statement in _COPIES:
        connection.execute(_WITH_COPIES + statement, dict(ids) | new_ids | {"failed_share": _FAILED_SHARE})
    for table in _COPIED_TABLES:
        connection.execute(SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(Identifier(table)))


_WITH_COPIES: LiteralString = """
WITH export_copies AS (
    SELECT n, %(export_id)s::uuid AS original_id, id, now() - n * interval '1 hour' AS at,
        md5(id::text)::uuid AS report_id
    FROM unnest(%(export_ids)s::uuid[]) WITH ORDINALITY AS c (id, n)
), reexport_copies AS (
    SELECT n, %(reexport_id)s::uuid AS original_id, id, now() - n * interval '1 hour' AS at
    FROM unnest(%(reexport_ids)s::uuid[]) WITH ORDINALITY AS c (id, n)
), batch_copies AS (
    SELECT n, %(batch_id)s::uuid AS original_id, id, now() - n * interval '1 hour' AS at
    FROM unnest(%(batch_ids)s::uuid[]) WITH ORDINALITY AS c (id, n)
), reexported AS (
    SELECT row_number() OVER (ORDER BY n) AS n, report_id FROM export_copies WHERE n %% %(failed_share)s > 0
), all_copies AS (
    SELECT n, original_id, id, at FROM export_copies UNION ALL TABLE reexport_copies UNION ALL TABLE batch_copies
)
"""
_COPIES: tuple[LiteralString, ...] = (
    """
    INSERT INTO exports SELECT (jsonb_populate_record(e, jsonb_build_object(
        'id', c.id, 'created_at', c.at, 'updated_at', c.at, 'completed_at', c.at, 'audit_id', gen_random_uuid())
        || CASE WHEN c.n %% %(failed_share)s = 0
           THEN '{"status": "failed", "report_id": null, "file": null,
                  "error": {"code": "storage_unavailable", "message": "S3 is unavailable.", "retryable": true}}'
           ELSE jsonb_build_object('report_id', c.report_id) END)).*
    FROM export_copies c JOIN exports e ON e.id = c.original_id
    """,
    """
    INSERT INTO export_attempts SELECT (jsonb_populate_record(a, jsonb_build_object('export_id', c.id))).*
    FROM export_copies c JOIN export_attempts a ON a.export_id = c.original_id
    """,
    """
    INSERT INTO export_partial_failures SELECT (jsonb_populate_record(f, jsonb_build_object('export_id', c.id))).*
    FROM export_copies c JOIN export_partial_failures f ON f.export_id = c.original_id
    """,
    """
    INSERT INTO reports SELECT (jsonb_populate_record(r, jsonb_build_object(
        'id', c.report_id, 'export_id', c.id, 'created_at', c.at))).*
    FROM export_copies c JOIN reports r ON r.export_id = c.original_id WHERE c.n %% %(failed_share)s > 0
    """,
    """
    INSERT INTO report_files SELECT (jsonb_populate_record(f, jsonb_build_object(
        'report_id', c.report_id, 'export_id', c.id, 'created_at', c.at))).*
    FROM export_copies c JOIN report_files f ON f.export_id = c.original_id AND f.version = 1
    WHERE c.n %% %(failed_share)s > 0
    """,
    """
    INSERT INTO report_reexports SELECT (jsonb_populate_record(x, jsonb_build_object(
        'id', c.id, 'report_id', r.report_id, 'export_id', null, 'audit_id', gen_random_uuid(),
        'created_at', c.at, 'updated_at', c.at, 'completed_at', c.at))).*
    FROM reexport_copies c JOIN report_reexports x ON x.id = c.original_id JOIN reexported r USING (n)
    """,
    """
    INSERT INTO report_files SELECT (jsonb_populate_record(f, jsonb_build_object(
        'report_id', r.report_id, 'reexport_id', c.id, 'created_at', c.at))).*
    FROM reexport_copies c JOIN report_files f ON f.reexport_id = c.original_id JOIN reexported r USING (n)
    """,
    """
    INSERT INTO bulk_registrations SELECT (jsonb_populate_record(b, jsonb_build_object(
        'id', c.id, 'label', 'Batch ' || c.n, 'created_at', c.at, 'updated_at', c.at, 'completed_at', c.at))).*
    FROM batch_copies c JOIN bulk_registrations b ON b.id = c.original_id
    """,
    """
    INSERT INTO bulk_items SELECT (jsonb_populate_record(i, jsonb_build_object(
        'batch_id', c.id, 'activity_id', gen_random_uuid()))).*
    FROM batch_copies c JOIN bulk_items i ON i.batch_id = c.original_id
    """,
    """
    INSERT INTO notifications SELECT (jsonb_populate_record(o, jsonb_build_object(
        'id', gen_random_uuid(), 'subject_id', c.id, 'created_at', c.at))).*
    FROM all_copies c
    JOIN notifications o ON o.subject_id = c.original_id
    """,
    """
    SELECT append_audit_event(
        gen_random_uuid(), e.org_id, e.actor, e.event, e.subject_kind, c.id, e.status, e.detail)
    FROM all_copies c
    JOIN audit_events e ON e.subject_id = c.original_id
    ORDER BY c.n DESC, e.seq
    """,
)
