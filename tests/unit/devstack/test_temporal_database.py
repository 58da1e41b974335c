"""The database that an interrupted first start of Temporal has left: incomplete ones are deleted, others stay."""

import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import pytest

from stafett.devstack.data_folder import DataFolder
from stafett.devstack.temporal import TemporalServer


@pytest.mark.parametrize(
    ("statements", "remaining"),
    [
        ("", set()),
        ("CREATE TABLE namespaces (id int)", set()),
        ("CREATE TABLE cluster_metadata_info (id int)", set()),
        ("CREATE TABLE cluster_metadata_info (id int); INSERT INTO cluster_metadata_info VALUES (1)", {"temporal.db"}),
    ],
    ids=["empty", "first table", "no row of the server", "initialised"],
)
async def test_database_is_deleted_unless_the_server_has_initialised_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: str, remaining: set[str]
) -> None:
    monkeypatch.setattr("stafett.devstack.temporal.find_program", Path)
    folder = DataFolder.from_path(tmp_path)
    folder.temporal.mkdir()
    with closing(sqlite3.connect(folder.temporal / "temporal.db")) as database:
        database.executescript(statements)
    server = TemporalServer(folder, defaultdict(int), (), durable=False)
    prepare = server.process_spec().prepare
    assert prepare is not None
    await prepare()
    assert {path.name for path in folder.temporal.iterdir()} == remaining
