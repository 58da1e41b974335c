"""Frequent updates write no index (heap-only tuples): no index depends on their columns, and pages have space."""

import psycopg
import pytest

from stafett.testing import ExportClient

FREQUENT_COLUMNS = {
    "exports": ("progress", "changes", "updated_at", "counts"),
    "bulk_registrations": ("registered", "failed", "cancelled", "changes", "updated_at"),
    "bulk_items": ("status", "error_code", "attempts"),
    "report_reexports": ("crashes", "run_id", "changes", "updated_at"),
    "deliveries": ("attempts", "failures", "last_error", "last_tried_at"),
    "api_keys": ("last_used_at",),
    "maintenance_runs": ("finished_at", "errors"),
}
UPDATES = 50


@pytest.mark.parametrize("table", FREQUENT_COLUMNS)
def test_no_index_depends_on_what_is_updated_often(owner_url: str, table: str) -> None:
    """A column is in the key of an index, in an expression or in the condition of a partial one."""
    query = """
        SELECT a.attname, d.objid::regclass::text FROM pg_depend d
        JOIN pg_index i ON i.indexrelid = d.objid
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.refobjid = %s::regclass AND a.attname = ANY(%s)
    """
    with psycopg.connect(owner_url) as connection:
        columns = connection.execute(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = ANY(%s)",
            [table, [*FREQUENT_COLUMNS[table]]],
        ).fetchone()
        assert columns == (len(FREQUENT_COLUMNS[table]),)
        assert connection.execute(query, [table, [*FREQUENT_COLUMNS[table]]]).fetchall() == []


async def test_reports_of_progress_are_heap_only(owner_url: str, export_client: ExportClient) -> None:
    export_id = await export_client.start_export()
    with psycopg.connect(owner_url, autocommit=True) as connection:

        def count_updates() -> tuple[int, int]:
            connection.execute("SELECT pg_stat_force_next_flush()")
            query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'exports'"
            row = connection.execute(query).fetchone()
            assert row is not None
            return row[0], row[1]

        before = count_updates()
        for done in range(UPDATES):
            connection.execute(
                "UPDATE exports SET progress = jsonb_build_object('done', %s::int) WHERE id = %s", [done, export_id]
            )
        after = count_updates()
    assert after[0] - before[0] >= UPDATES
    assert after[1] - before[1] >= UPDATES - 1  # the first one may find its page full
