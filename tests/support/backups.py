"""Backups of PostgreSQL and of the bucket, and their restore on empty servers, with the commands of the manual."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg
from minio import Minio
from psycopg import sql
from sqlalchemy import make_url

from stafett.database.migrate import migrate
from stafett.devstack.binaries import find_program
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage
from stafett.storage.s3 import create_s3_client


class DatabaseBackup(NamedTuple):
    """The dump of the roles and that of the database."""

    roles: Path
    database: Path


def back_up_database(settings: Settings, folder: Path) -> DatabaseBackup:
    """Dump the roles and the database, with the commands of deploy/README.md."""
    backup = DatabaseBackup(folder / "roles.sql", folder / "stafett.dump")
    owner_url = require_setting(settings.database.owner_url, "owner")
    backup.roles.write_bytes(_run(owner_url, "pg_dumpall", "--roles-only"))
    options = ("--format", "custom", "--no-unlogged-table-data")
    backup.database.write_bytes(_run(owner_url, "pg_dump", *options, "stafett"))
    return backup


def restore_database(settings: Settings, backup: DatabaseBackup) -> None:
    """Restore into a server without the database, and migrate, which sets this installation's passwords."""
    owner_url = require_setting(settings.database.owner_url, "owner")
    with psycopg.connect(_replace_database(owner_url, "postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE stafett WITH (FORCE)")  # `stafett dev` has created it, empty
        password = make_url(owner_url).password
        assert password is not None
        _run(owner_url, "psql", "--quiet", "--dbname", "postgres", "--file", str(backup.roles))
        # The dump has the administrator's password of the other server.
        connection.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal(password)))
    _run(owner_url, "pg_restore", "--create", "--exit-on-error", "--dbname", "postgres", str(backup.database))
    migrate(settings.database)


def _run(owner_url: str, program: str, *arguments: str) -> bytes:
    url = make_url(owner_url)
    environment = {"PGHOST": url.host, "PGPORT": str(url.port), "PGUSER": url.username, "PGPASSWORD": url.password}
    command = [str(find_program("postgres").with_name(program)), *arguments]
    completed = subprocess.run(
        command,
        capture_output=True,
        check=True,
        env=os.environ | {name: value or "" for name, value in environment.items()},
    )
    return completed.stdout


def _replace_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def back_up_bucket(settings: Settings, folder: Path) -> Path:
    """Copy all objects into a folder."""
    client, bucket = _open_bucket(settings)
    for item in client.list_objects(bucket, recursive=True):
        assert item.object_name is not None
        client.fget_object(bucket, item.object_name, str(folder / item.object_name))
    return folder


def restore_bucket(settings: Settings, folder: Path) -> None:
    client, bucket = _open_bucket(settings)
    FileStorage(settings.s3).ensure_bucket()
    for path in _list_files(folder):
        client.fput_object(bucket, str(path.relative_to(folder)), str(path))


def _list_files(folder: Path) -> Sequence[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _open_bucket(settings: Settings) -> tuple[Minio, str]:
    return create_s3_client(settings.s3, settings.s3.endpoint), settings.s3.bucket
