"""Search the database for personal data that an erasure should have removed."""

import psycopg
from psycopg import sql


def ignore_progress(_step: str, _done: int, _total: int) -> None:
    pass


def find_rows_containing(owner_url: str, texts: tuple[str, ...]) -> set[tuple[str, str]]:
    """Return the table and the text of each row that contains one of the lower-case texts, also in pg_statistic."""
    matches = set[tuple[str, str]]()
    with psycopg.connect(owner_url) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'public' OR tablename = 'pg_statistic'"
        ).fetchall()
        for schema, table in tables:
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(schema, table))
            for (row,) in connection.execute(query):
                if any(text in row.casefold() for text in texts):
                    matches.add((table, row))
    return matches
