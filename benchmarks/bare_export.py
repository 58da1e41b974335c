"""An export without the API and Temporal: the functions of its stages, called one after another in one process."""

import sys
import time
from datetime import UTC, date, datetime

import polars as pl

from stafett.activity_frames import arrow_from_frame, frame_from_arrow
from stafett.column_mapper import compile_mapping
from stafett.column_mapper.organisations import load_bundled_mappings
from stafett.column_mapper.outcome import MappingOutcome
from stafett.database.session import Database
from stafett.domain.export_outputs import MappedRows, MappingVersion, StagedPart
from stafett.exports.stages.query_activities import ROWS_PER_PART, stream_activity_frames
from stafett.file_generator.content_hash import ContentHash
from stafett.file_generator.xlsx import WorkbookSpec, render_workbook
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage

PREFIX = "benchmarks/bare/"


def run_bare_export(database: Database, storage: FileStorage, year: int) -> int:
    """Query, map and render a year, staging the rows in storage between the steps, like the stages do."""
    document = load_bundled_mappings("nhf")[-1]
    period = ("nhf", datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC))
    with database.snapshot("nhf") as connection:
        queried = [
            _stage_part(storage, "rows", number, frame)
            for number, frame in enumerate(stream_activity_frames(connection, period, ROWS_PER_PART))
        ]
    outcome = MappingOutcome(compile_mapping(document, "nb"))
    report_parts, excluded_parts = list[StagedPart](), list[StagedPart]()
    for number, part in enumerate(queried):
        (mapped,) = outcome.map_and_add_slices(frame_from_arrow(storage.read_part(part)))
        report_parts.append(_stage_part(storage, "written", number, mapped.report_rows))
        if mapped.excluded_rows.height:
            excluded_parts.append(_stage_part(storage, "excluded", number, mapped.excluded_rows))
    rows = MappedRows(
        parts=tuple(report_parts),
        excluded_parts=tuple(excluded_parts),
        counts=outcome.counts,
        not_countable=outcome.not_countable,
        totals=outcome.totals,
        mapping=MappingVersion(version=1, sha256=document.sha256),
    )
    reporting_period = (date(year, 1, 1), date(year, 12, 31))
    book = WorkbookSpec(
        document=document, locale="nb", organisation_name="NHF", period=reporting_period, mapped_rows=rows
    )
    frames = (frame_from_arrow(storage.read_part(part)) for part in report_parts)
    report_frames = map(ContentHash().hash_frame, frames)
    chunks = render_workbook(
        book,
        report_frames=report_frames,
        excluded_frames=(frame_from_arrow(storage.read_part(part)) for part in excluded_parts),
    )
    return storage.write(f"{PREFIX}report.xlsx", chunks).size_bytes


def _stage_part(storage: FileStorage, part_name: str, number: int, frame: pl.DataFrame) -> StagedPart:
    stored = storage.write(f"{PREFIX}{part_name}-{number:05}.arrow", [arrow_from_frame(frame)])
    return StagedPart(key=stored.key, rows=frame.height, sha256=stored.sha256)


def main(year: int, repetitions: int) -> None:
    """Print the seconds of each export but the first, which warms the process up."""
    settings = Settings.load()
    database, storage = Database(require_setting(settings.database.worker_url, "it")), FileStorage(settings.s3)
    for number in range(repetitions + 1):
        started = time.perf_counter()
        run_bare_export(database, storage, year)
        if number:
            print(time.perf_counter() - started)
    database.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
