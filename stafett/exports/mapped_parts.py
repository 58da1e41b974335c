"""Mapped parts of an export whose mapping stage is not finished; its next execution reuses them.

They are stored until the stage is committed or its outputs are invalidated.
"""

import hashlib
from typing import Any

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from stafett.column_mapper.outcome import PartOutcome
from stafett.database.session import Database
from stafett.database.tables import ExportMappedPart, ExportStageOutput
from stafett.domain.export import ExportParameters
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import QueriedRows, StagedDeviations, StagedPart
from stafett.domain.export_status import ExportStatus
from stafett.domain.frozen import PayloadModel
from stafett.exports.state import lock_active_export, reset_crash_count


class StoredPart(PayloadModel):
    """A mapped part in storage, in slices that fit into memory, and its share of the outcome."""

    written: tuple[StagedPart, ...]
    excluded: tuple[StagedPart, ...]
    deviations: tuple[StagedDeviations, ...]
    """With the numbers of rows before them in this part."""
    outcome: PartOutcome

    @property
    def parts(self) -> tuple[StagedPart, ...]:
        return (*self.written, *self.excluded, *self.deviations)

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(part.key for part in self.parts)


class MappedPartStore:
    """The finished parts of a mapping stage. Parts of another build of the program or of other inputs are ignored."""

    def __init__(self, database: Database, *, build_fingerprint: str) -> None:
        self._database = database
        self._build_fingerprint = build_fingerprint

    def input_fingerprint(self, queried: QueriedRows, parameters: ExportParameters) -> str:
        """Hash everything that a mapped part depends on: mapping, locale, format, build, and the rows of every part.

        The rows of all parts count, because earlier parts decide which invalid rows of a part are still listed.
        """
        inputs = [queried.mapping.sha256, parameters.locale, parameters.export_format, self._build_fingerprint]
        inputs += [part.sha256 for part in queried.parts]
        return hashlib.sha256("\n".join(inputs).encode()).hexdigest()

    def load(self, job: ExportJob, fingerprint: str) -> dict[int, StoredPart]:
        """Load the stored parts by their number."""
        query = select(ExportMappedPart).where(
            ExportMappedPart.export_id == job.export_id, ExportMappedPart.input_sha256 == fingerprint
        )
        with self._database.transaction(job.org_id) as session:
            return {row.number: _part_from_row(row) for row in session.exec(query).all()}

    def store(self, job: ExportJob, number: int, fingerprint: str, part: StoredPart) -> StoredPart | None:
        """Store a part unless another execution has; return the stored part, or None if the stage is finished."""
        with self._database.transaction(job.org_id) as session:
            lock_active_export(session, job)
            if session.get(ExportStageOutput, (job.export_id, ExportStatus.MAPPING_COLUMNS)) is not None:
                return None
            row = session.get(ExportMappedPart, (job.export_id, number))
            if row is not None and row.input_sha256 == fingerprint:
                return _part_from_row(row)
            if row is not None:
                _delete_row(session, job, number)
            keys = {"export_id": job.export_id, "number": number, "org_id": job.org_id, "input_sha256": fingerprint}
            session.execute(insert(ExportMappedPart).values(**keys, **_columns_from_part(part)))
            reset_crash_count(session, job, ExportStatus.MAPPING_COLUMNS)
            return part

    def delete_row(self, job: ExportJob, number: int, part: StoredPart) -> None:
        """Delete the row of a part that is damaged in storage, unless another execution has stored it again."""
        with self._database.transaction(job.org_id) as session:
            lock_active_export(session, job)
            row = session.get(ExportMappedPart, (job.export_id, number))
            if row is not None and _part_from_row(row) == part:
                _delete_row(session, job, number)


def _columns_from_part(part: StoredPart) -> dict[str, Any]:
    """Separate the storage references, which other roles may read, from the outcome, which only the worker reads."""
    return {
        "parts": part.model_dump(mode="json", include={"written", "excluded", "deviations"}),
        "outcome": part.outcome.model_dump(mode="json"),
    }


def _part_from_row(row: ExportMappedPart) -> StoredPart:
    return StoredPart.model_validate({**row.parts, "outcome": row.outcome})


def _delete_row(session: Session, job: ExportJob, number: int) -> None:
    is_this_export = col(ExportMappedPart.export_id) == job.export_id
    session.execute(delete(ExportMappedPart).where(is_this_export, col(ExportMappedPart.number) == number))
