"""Number of PostgreSQL transactions of a small export."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event

from stafett.exports import stage_runner
from stafett.testing import ActivityFactory, ExportClient
from tests.support.fixture_types import RunWorker

ROWS = 500
MAX_TRANSACTIONS = 12
ROLE_OF_THE_WORKER = "stafett_worker"
INSERT_ACTIVITIES = """
INSERT INTO activities (id, org_id, mentor_id, activity_type, starts_at, ends_at, participants, new_participants, place,
                        in_person, in_norway)
SELECT gen_random_uuid(), %s, %s, 'samtalegruppe', start, start + interval '1 hour', 5, 1, 'Bodø', true, true
FROM generate_series(timestamptz '2026-01-05Z', timestamptz '2026-01-05Z' + %s * interval '2 hours' - interval '1 hour',
                     interval '2 hours') AS start
"""


@contextmanager
def count_transactions() -> Iterator[Counter[str]]:
    """Count the transactions that this process begins, by role; the API and the worker run in this process."""
    counts: Counter[str] = Counter()

    def count(connection: Connection) -> None:
        counts[str(connection.engine.url.username)] += 1

    event.listen(Engine, "begin", count)
    try:
        yield counts
    finally:
        event.remove(Engine, "begin", count)


async def test_small_export_takes_few_transactions(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    owner_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two transactions for each stage, one for the snapshot and one for the acceptance; reports of progress are not
    counted, because only a slow machine makes any.
    """
    monkeypatch.setattr(stage_runner, "_PROGRESS_INTERVAL_SECONDS", 3600)
    mentor = activity_factory.create_mentor()
    with psycopg.connect(owner_url) as connection:
        connection.execute(INSERT_ACTIVITIES, [activity_factory.org_id, mentor, ROWS])
    async with run_worker():
        await export_client.wait_for_completion(await export_client.start_export())  # the mapping is loaded once
        with count_transactions() as counts:
            export = await export_client.wait_for_completion(await export_client.start_export())
    assert (export["status"], export["row_count"]) == ("completed", ROWS)
    acceptance = 1
    assert 0 < counts[ROLE_OF_THE_WORKER] <= MAX_TRANSACTIONS - acceptance
