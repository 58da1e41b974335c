"""Searches free texts for a name, regardless of case, Unicode composition and white space."""

import io
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import LiteralString
from uuid import UUID

import polars as pl

from stafett.database.session import Database
from stafett.domain.erasure import Person

_ROWS_PER_READ = 50_000
_FREE_TEXT_COLUMNS = ("note", "place", "file_name", "text")
_SCHEMA = pl.Schema({"id": pl.String(), "text": pl.String()})
# The mentor's own notes and attachments are erased anyway. The fields are separated by a character that is never typed.
_ACTIVITY_TEXTS: LiteralString = """
COPY (
    SELECT a.id, concat_ws(chr(31), a.place, CASE WHEN NOT a.own THEN a.note END, CASE WHEN NOT a.own THEN (
        SELECT string_agg(f.file_name, chr(31)) FROM attachments f
        WHERE f.org_id = a.org_id AND f.activity_id = a.id) END)
    FROM (SELECT id, org_id, place, note, mentor_id = %s AS own FROM activities WHERE org_id = %s) a
) TO STDOUT (FORMAT csv)
"""


# A batch with all its free texts; the notes of the mentor's own items are erased anyway.
_BATCH_TEXTS: LiteralString = """
COPY (
    SELECT b.id, concat_ws(chr(31), b.label, b.activity->>'note', b.activity->>'place', (
        SELECT string_agg(concat_ws(chr(31), i.client_ref, i.mentor_ref, i.overrides->>'place',
                                    CASE WHEN i.mentor_id IS DISTINCT FROM %s THEN i.overrides->>'note' END), chr(31))
        FROM bulk_items i WHERE i.org_id = b.org_id AND i.batch_id = b.id))
    FROM bulk_registrations b WHERE b.org_id = %s
) TO STDOUT (FORMAT csv)
"""


class NamePattern:
    """A full name to be found in free texts."""

    def __init__(self, name: str) -> None:
        self._folded_name = pl.select(_fold(pl.lit(name))).item().strip()

    def filter_rows(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows whose free texts contain the name."""
        texts = [column for column in _FREE_TEXT_COLUMNS if column in frame.columns]
        if not texts or not self._folded_name:
            return frame.clear()
        return frame.filter(
            pl.any_horizontal(_fold(pl.col(text)).str.contains(self._folded_name, literal=True) for text in texts)
        )


class NameSearch:
    """Searches an organisation's activities and batches with a bounded amount of memory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_activities(self, person: Person, name: str | None) -> tuple[UUID, ...]:
        """Return the activities in which others wrote the name, including deleted ones."""
        return self._find(person, name, _ACTIVITY_TEXTS, [person.id, person.org_id])

    def find_batches(self, person: Person, name: str | None) -> tuple[UUID, ...]:
        """Return the batches in which others wrote the name."""
        return self._find(person, name, _BATCH_TEXTS, [person.id, person.org_id])

    def find(self, person: Person, name: str | None, query: LiteralString) -> tuple[UUID, ...]:
        """Return the ids of the rows whose text contains the name. The query selects both for an organisation."""
        return self._find(person, name, "COPY (" + query + ") TO STDOUT (FORMAT csv)", [person.org_id])

    def _find(
        self, person: Person, name: str | None, query: LiteralString, params: Sequence[object]
    ) -> tuple[UUID, ...]:
        if name is None:
            return ()
        pattern = NamePattern(name)
        matches = pl.concat(
            [_SCHEMA.to_frame(), *(pattern.filter_rows(frame) for frame in self._read_texts(person, query, params))]
        )
        return tuple(UUID(match_id) for match_id in matches["id"].unique().sort())

    def _read_texts(self, person: Person, query: LiteralString, params: Sequence[object]) -> Iterator[pl.DataFrame]:
        with (
            self._database.snapshot(person.org_id) as connection,
            connection.cursor() as cursor,
            cursor.copy(query, params) as copy,
        ):
            records = connection.read_records(copy)
            while batch := b"".join(islice(records, _ROWS_PER_READ)):
                yield pl.read_csv(io.BytesIO(batch), has_header=False, schema=_SCHEMA)


def _fold(text: pl.Expr) -> pl.Expr:
    return text.str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", " ")
