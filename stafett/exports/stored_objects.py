"""The objects of exports in storage: which of them are referenced, and the clean-up that spares later attempts."""

from collections.abc import Collection, Iterator, Sequence
from uuid import UUID

from sqlmodel import Session, col, select

from stafett.database.tables import Export, ExportMappedPart, ExportPartialFailures, ExportStageOutput, Reexport
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportStatus
from stafett.storage.files import FileStorage


def delete_objects_up_to_attempt(storage: FileStorage, job: ExportJob, *, protected_keys: Collection[str] = ()) -> None:
    """Delete the objects and abort the uploads of the job's attempt and earlier ones, except the protected keys.

    Call it after the transaction that decides on the deletion: another attempt may start at any time.
    """
    storage.delete_prefix(job.key_prefix, keep=lambda key: key in protected_keys or job.is_of_later_attempt(key))


def load_referenced_keys(session: Session, exports: Sequence[Export]) -> set[str]:
    """Load the keys of files, deviations and snapshots that are stored, and of what retries of failed exports reuse.

    The exports belong to the organisation of the transaction.
    """
    ids = [export.id for export in exports]
    completed_ids = {export.id for export in exports if export.status is ExportStatus.COMPLETED}
    return {
        *iterate_object_keys([export.file for export in exports]),
        *iterate_object_keys(_load_stage_outputs(session, ids, completed_ids)),
        *iterate_object_keys(_load_deviations(session, ids)),
        *iterate_object_keys(_load_mapped_parts(session, [id_ for id_ in ids if id_ not in completed_ids])),
        *iterate_object_keys(_load_reexport_files(session, ids)),
    }


def iterate_object_keys(node: object) -> Iterator[str]:
    """Iterate over the object keys anywhere in a JSON value of stage outputs."""
    if isinstance(node, dict):
        if isinstance(node.get("key"), str):
            yield node["key"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from iterate_object_keys(item)


def _load_stage_outputs(session: Session, ids: list[UUID], completed_ids: Collection[UUID]) -> list[object]:
    """Load the outputs that are still needed: of a completed export its snapshot only."""
    outputs = session.exec(select(ExportStageOutput).where(col(ExportStageOutput.export_id).in_(ids))).all()
    return [
        output.outputs
        for output in outputs
        if output.export_id not in completed_ids or output.stage is ExportStatus.QUERYING_ACTIVITIES
    ]


def _load_deviations(session: Session, ids: list[UUID]) -> list[object]:
    query = select(ExportPartialFailures.deviations).where(col(ExportPartialFailures.export_id).in_(ids))
    return list(session.exec(query).all())


def _load_mapped_parts(session: Session, ids: list[UUID]) -> list[object]:
    return list(session.exec(select(ExportMappedPart.parts).where(col(ExportMappedPart.export_id).in_(ids))).all())


def _load_reexport_files(session: Session, ids: list[UUID]) -> list[object]:
    """Load the results that an administrator has moved below the prefixes of these exports."""
    return list(session.exec(select(Reexport.file).where(col(Reexport.result_export_id).in_(ids))).all())
