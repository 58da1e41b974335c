"""Brings a database to the newest schema: safe to run twice, and from two machines at once."""

from importlib.resources import as_file, files
from typing import LiteralString
from urllib.parse import unquote, urlsplit

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util.exc import CommandError
from psycopg import sql
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from stafett.database.session import get_driver_connection, to_sqlalchemy_url
from stafett.domain.errors import StafettError
from stafett.settings import DatabaseSettings, require_setting

OWNER_ROLE = "stafett_owner"
LOGIN_ROLES = ("stafett_api", "stafett_worker", "stafett_maintenance")
ERASURE_ROLE = "stafett_erasure"
"""Nobody logs in as it: the migrating login takes it on, and can then do no more than forgetting people needs."""
_ADVISORY_LOCK_ID = 7_832_384_111  # any number, the same on every machine that migrates


class MigrationError(StafettError):
    """The schema stands where it stood before."""


def migrate(settings: DatabaseSettings) -> str:
    """Create the roles that are missing, run what migrations are missing, and say which revision stands now."""
    engine = create_engine(to_sqlalchemy_url(require_setting(settings.owner_url, "STAFETT_DATABASE__OWNER_URL")))
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _ADVISORY_LOCK_ID})
            _ensure_roles(connection, settings)
            connection.execute(text(f"SET ROLE {OWNER_ROLE}"))
            connection.commit()
            _run_migrations(connection)
            connection.commit()
            return MigrationContext.configure(connection).get_current_revision() or ""
    except CommandError as error:
        raise MigrationError(f"This version does not know the schema that is there: {error}.") from error
    except (DBAPIError, psycopg.Error) as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise MigrationError(f"PostgreSQL refused: {reason}") from error
    finally:
        engine.dispose()


def _run_migrations(connection: Connection) -> None:
    with as_file(files("stafett.database") / "migrations") as scripts:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(scripts))
        command.upgrade(config, "head")


def _ensure_roles(connection: Connection, settings: DatabaseSettings) -> None:
    driver = get_driver_connection(connection)

    def say(statement: LiteralString, role: str, secret: str = "") -> None:
        driver.execute(sql.SQL(statement).format(role=sql.Identifier(role), secret=sql.Literal(secret)))

    known = {name for (name,) in driver.execute("SELECT rolname FROM pg_roles").fetchall()}
    if OWNER_ROLE not in known:
        say("CREATE ROLE {role} NOLOGIN BYPASSRLS", OWNER_ROLE)
        say("GRANT {role} TO CURRENT_USER", OWNER_ROLE)
    if ERASURE_ROLE not in known:
        say("CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS", ERASURE_ROLE)
        say("GRANT {role} TO CURRENT_USER", ERASURE_ROLE)
    say("GRANT ALL ON SCHEMA public TO {role}", OWNER_ROLE)
    database = sql.Identifier(connection.scalar(text("SELECT current_database()")) or "")
    driver.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, sql.Identifier(OWNER_ROLE)))
    # A temporary table could stand in for a real one where a function trusts its caller's search path.
    driver.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))
    passwords = _passwords_by_role(settings)
    for role in LOGIN_ROLES:
        if role not in known:
            say("CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS", role)
        driver.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(role)))
        if role in passwords:
            say("ALTER ROLE {role} LOGIN PASSWORD {secret}", role, passwords[role])


def _passwords_by_role(settings: DatabaseSettings) -> dict[str, str]:
    """The passwords that the processes' own URLs carry: an operator writes them down once."""
    urls = (settings.api_url, settings.worker_url, settings.maintenance_url)
    parts = [urlsplit(url.get_secret_value()) for url in urls if url is not None]
    return {unquote(part.username): unquote(part.password) for part in parts if part.username and part.password}
