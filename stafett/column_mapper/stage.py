"""The stage ``mapping_columns``: part by part, from the snapshot to the organisation's columns."""

from stafett.activity_rows import from_arrow, to_arrow
from stafett.column_mapper.plain import COUNTS, PlainMapping
from stafett.domain.export import ExportCounts, Locale
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import MappedRows, Part, QueriedRows
from stafett.domain.export_status import ExportStatus
from stafett.export_record import ExportRecord
from stafett.export_stages import Workbench
from stafett.file_storage import FileStorage


class ColumnMapping:
    """Applies the organisation's mapping to the staged rows."""

    def __init__(self, record: ExportRecord, storage: FileStorage) -> None:
        self._record = record
        self._storage = storage

    def __call__(self, job: ExportJob, bench: Workbench) -> MappedRows:
        queried = self._record.outputs(job, ExportStatus.QUERYING_ACTIVITIES, QueriedRows)
        locale: Locale = self._record.parameters(job).locale
        mapping, parts, countable = PlainMapping(locale), list[Part](), 0
        for number, part in enumerate(queried.parts):
            mapped = mapping.apply(from_arrow(self._storage.read_part(part)))
            countable += int(mapped[COUNTS].sum())
            parts.append(bench.put_part(number, to_arrow(mapped.drop(COUNTS)), mapped.height))
            bench.progress(sum(part.rows for part in parts), queried.rows)
        counts = ExportCounts(
            queried=queried.rows, written=queried.rows, countable=countable, not_countable=queried.rows - countable
        )
        return MappedRows(parts=tuple(parts), counts=counts, mapping=mapping.version)
