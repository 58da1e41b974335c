"""What a transaction does for itself behind a pooler, whose connections know nothing of the previous transaction."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import text

from stafett.database.session import Database, Timeouts
from stafett.settings import Settings, require_setting

TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
SELECT_TIMEOUTS = text("SELECT " + ", ".join(f"current_setting('{name}')" for name in TIMEOUTS))
INTERACTIVE = tuple(Timeouts.INTERACTIVE.server_settings[name] for name in TIMEOUTS)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    url = require_setting(settings.database.worker_url, "worker")
    with closing(Database(url, pool_size=1, timeouts=Timeouts.INTERACTIVE, transaction_pooling=True)) as database:
        yield database


def test_each_transaction_sets_the_timeouts_for_itself(database: Database) -> None:
    with database.transaction() as session:
        assert tuple(session.execute(SELECT_TIMEOUTS).one()) == INTERACTIVE
    assert [tuple(row) for row in database.execute(SELECT_TIMEOUTS, {})] == [INTERACTIVE]
    with database.snapshot("nhf") as connection:
        assert connection.execute(str(SELECT_TIMEOUTS)).fetchone() == ("1h", "5s", "10min")
        connection.rollback()
        assert connection.execute(str(SELECT_TIMEOUTS)).fetchone() == ("0", "0", "0")


@pytest.mark.parametrize("is_pooled", [False, True])
def test_statements_are_prepared_without_a_pooler_only(settings: Settings, is_pooled: bool) -> None:  # noqa: FBT001 - a case
    url = require_setting(settings.database.worker_url, "worker")
    with closing(Database(url, pool_size=1, transaction_pooling=is_pooled)) as database:
        for _ in range(20):
            database.ping()
        ((count,),) = database.execute(text("SELECT count(*) FROM pg_prepared_statements"), {})
    assert (count == 0) == is_pooled
