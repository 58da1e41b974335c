"""What PostgreSQL itself keeps of a row that was changed: its former version, and samples in its statistics."""

import psycopg

from stafett.database.migrate import OWNER

_TABLES = "peer_mentors, activities, attachments, users, preview_results, erasures"


def clear_leftovers(owner_url: str) -> bool:
    """False if PostgreSQL would not; nothing of it can be read by any of our roles, so it can be done later."""
    try:
        with psycopg.connect(owner_url, autocommit=True) as connection:
            connection.execute(f"SET ROLE {OWNER}".encode())
            connection.execute(f"VACUUM (ANALYZE) {_TABLES}".encode())
    except psycopg.Error:
        return False
    return True
