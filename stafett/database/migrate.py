"""Migration to the newest schema, which is safe to run repeatedly and concurrently."""

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
"""Role without login. The migrating login switches to it, and then has only the privileges for erasing a person."""
_ADVISORY_LOCK_ID = 7_832_384_111  # arbitrary, but the same on every machine that migrates

# Only their owner, a superuser, can restrict these functions. They exist once per database.
_RESTRICT_FUNCTIONS: LiteralString = """
DO $$
DECLARE
    restricted text;
BEGIN
    FOR restricted IN
        SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
            AND (proname = 'pg_notify' OR proname ~ '^pg_(try_)?advisory_')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', restricted);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO stafett_owner, stafett_api, stafett_worker,
                        stafett_maintenance, stafett_erasure', restricted);
    END LOOP;
END $$
"""


class MigrationError(StafettError):
    """The migration failed, and the schema is unchanged."""


def migrate(settings: DatabaseSettings) -> str:
    """Create missing roles, run the pending migrations, and return the current revision."""
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
        raise MigrationError(f"This version cannot migrate the existing schema: {error}.") from error
    except (DBAPIError, psycopg.Error) as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise MigrationError(f"The migration failed: {reason}") from error
    finally:
        engine.dispose()


def _run_migrations(connection: Connection) -> None:
    with as_file(files("stafett.database") / "migrations") as scripts:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(scripts))
        command.upgrade(config, "head")


def _ensure_roles(connection: Connection, settings: DatabaseSettings) -> None:
    driver = get_driver_connection(connection)

    def execute(statement: LiteralString, role: str, secret: str = "") -> None:
        driver.execute(sql.SQL(statement).format(role=sql.Identifier(role), secret=sql.Literal(secret)))

    existing_roles = {name for (name,) in driver.execute("SELECT rolname FROM pg_roles").fetchall()}
    if OWNER_ROLE not in existing_roles:
        execute("CREATE ROLE {role} NOLOGIN BYPASSRLS", OWNER_ROLE)
        execute("GRANT {role} TO CURRENT_USER", OWNER_ROLE)
    if ERASURE_ROLE not in existing_roles:
        execute("CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS", ERASURE_ROLE)
        execute("GRANT {role} TO CURRENT_USER", ERASURE_ROLE)
    execute("GRANT ALL ON SCHEMA public TO {role}", OWNER_ROLE)
    database = sql.Identifier(connection.scalar(text("SELECT current_database()")) or "")
    driver.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, sql.Identifier(OWNER_ROLE)))
    # A client that can connect can send notifications and hold advisory locks of this database, and a temporary table
    # could shadow a real one in a function that uses its caller's search path.
    driver.execute(sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))
    passwords = _passwords_by_role(settings)
    for role in LOGIN_ROLES:
        if role not in existing_roles:
            execute("CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS", role)
        driver.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(role)))
        if role in passwords:
            execute("ALTER ROLE {role} LOGIN PASSWORD {secret}", role, passwords[role])
    if driver.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (True,):
        driver.execute(_RESTRICT_FUNCTIONS)


def _passwords_by_role(settings: DatabaseSettings) -> dict[str, str]:
    """Return the passwords in the processes' own URLs, so that an operator configures each of them once."""
    urls = (settings.api_url, settings.worker_url, settings.maintenance_url)
    parts = [urlsplit(url.get_secret_value()) for url in urls if url is not None]
    return {unquote(part.username): unquote(part.password) for part in parts if part.username and part.password}
