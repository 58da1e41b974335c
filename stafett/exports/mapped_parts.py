"""What mapping has done of an export that it has not finished: parts that whoever maps it next takes as they are.

They are kept until the stage is committed, or begun anew.
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
from stafett.domain.export_outputs import QueriedRows, StagedPart
from stafett.domain.export_status import ExportStatus
from stafett.domain.frozen import FrozenModel
from stafett.exports.state import lock_active_export


class StoredPart(FrozenModel):
    """A part as it was written, and what it adds to the outcome."""

    written: StagedPart
    excluded: StagedPart | None
    outcome: PartOutcome

    @property
    def parts(self) -> tuple[StagedPart, ...]:
        return (self.written, self.excluded) if self.excluded else (self.written,)

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(part.key for part in self.parts)


class MappedPartStore:
    """Parts that another edition of the program made, or that were made from anything else, are none."""

    def __init__(self, database: Database, *, build_fingerprint: str) -> None:
        self._database = database
        self._build_fingerprint = build_fingerprint

    def input_fingerprint(self, queried: QueriedRows, parameters: ExportParameters) -> str:
        """All that mapped parts depend on: rules, language, kind of file, program and rows, those of every part.

        Which faulty rows a part still names depends on the parts before it.
        """
        made_from = [queried.mapping.sha256, parameters.locale, parameters.export_format, self._build_fingerprint]
        told = "\n".join([*made_from, *(part.sha256 for part in queried.parts)])
        return hashlib.sha256(told.encode()).hexdigest()

    def load(self, job: ExportJob, fingerprint: str) -> dict[int, StoredPart]:
        """By their number."""
        query = select(ExportMappedPart).where(
            ExportMappedPart.export_id == job.export_id, ExportMappedPart.made_from == fingerprint
        )
        with self._database.transaction(job.org_id) as session:
            return {row.number: _part_from_row(row) for row in session.exec(query).all()}

    def store(self, job: ExportJob, number: int, fingerprint: str, part: StoredPart) -> StoredPart | None:
        """Write down that a part is done. Of two executions the first one's stands; none, once the stage is done."""
        with self._database.transaction(job.org_id) as session:
            lock_active_export(session, job)
            if session.get(ExportStageOutput, (job.export_id, ExportStatus.MAPPING_COLUMNS)) is not None:
                return None
            found = session.get(ExportMappedPart, (job.export_id, number))
            if found is not None and found.made_from == fingerprint:
                return _part_from_row(found)
            if found is not None:
                _delete_row(session, job, number)
            row = {"export_id": job.export_id, "number": number, "org_id": job.org_id, "made_from": fingerprint}
            session.execute(insert(ExportMappedPart).values(**row, **_columns_from_part(part)))
            return part

    def delete(self, job: ExportJob, number: int, part: StoredPart) -> None:
        """What is not in storage as it was is mapped anew, unless somebody has done so meanwhile."""
        with self._database.transaction(job.org_id) as session:
            lock_active_export(session, job)
            found = session.get(ExportMappedPart, (job.export_id, number))
            if found is not None and _part_from_row(found) == part:
                _delete_row(session, job, number)


def _columns_from_part(part: StoredPart) -> dict[str, Any]:
    """Where it lies is told apart from what was in it, which is nobody's business but the worker's."""
    return {
        "objects": part.model_dump(mode="json", include={"written", "excluded"}),
        "outcome": part.outcome.model_dump(mode="json"),
    }


def _part_from_row(row: ExportMappedPart) -> StoredPart:
    return StoredPart.model_validate({**row.objects, "outcome": row.outcome})


def _delete_row(session: Session, job: ExportJob, number: int) -> None:
    of_this_export = col(ExportMappedPart.export_id) == job.export_id
    session.execute(delete(ExportMappedPart).where(of_this_export, col(ExportMappedPart.number) == number))
