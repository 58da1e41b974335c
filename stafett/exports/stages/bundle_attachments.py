"""The stage ``bundling_attachments``: from storage through one ZIP file back into storage."""

from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath

import polars as pl

from stafett.activity_frames import frame_from_arrow
from stafett.attachment_bundler.bundle import Bundle, attachments_of
from stafett.attachment_bundler.manifest import Manifest, Member, Period, Rendering
from stafett.attachment_bundler.unavailable import Unavailable, failure, partial_failures
from stafett.column_mapper.versions import MappingsInUse
from stafett.domain.errors import StagedDataLostError
from stafett.domain.export import ExportFormat, ExportParameters
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import BundledFile, MappedRows, QueriedRows, ReportFile
from stafett.domain.export_status import ExportStatus
from stafett.domain.reporting_period import OSLO
from stafett.exports.stage_runner import StageContext
from stafett.exports.stage_store import StageStore
from stafett.storage.files import FileStorage

_MIME_TYPE = "application/zip"


class AttachmentBundler:
    """Puts the report and the attachments of its snapshot together."""

    def __init__(self, record: StageStore, storage: FileStorage, mappings: MappingsInUse) -> None:
        self._record = record
        self._storage = storage
        self._mappings = mappings

    def __call__(self, job: ExportJob, bench: StageContext) -> BundledFile:
        asked = self._record.load_parameters(job)
        queried = self._record.load_outputs(job, ExportStatus.QUERYING_ACTIVITIES, QueriedRows)
        report = self._record.load_outputs(job, ExportStatus.GENERATING_FILE, ReportFile)
        staged = self._staged(queried)
        bundle = Bundle(
            self._storage,
            at=job.period_end.astimezone(OSLO),
            progress=_progress(bench, report, report.size_bytes + int(staged["size_bytes"].sum())),
            refuse=self._policy(job, queried),
        )
        manifest = partial(self._manifest, job, asked, queried, report)
        name = f"{PurePosixPath(report.name).stem}.zip"
        stored = bench.put_file(name, bundle.chunks(report, attachments_of(staged), manifest), _MIME_TYPE)
        made = {"name": name, "mime_type": _MIME_TYPE, **stored.model_dump(include={"key", "size_bytes", "sha256"})}
        return BundledFile(
            file=report.model_copy(update=made),
            partial_failures=tuple(partial_failures(bundle.unavailable, asked.locale)),
        )

    def _staged(self, queried: QueriedRows) -> pl.DataFrame:
        if queried.attachments is None:
            raise StagedDataLostError
        return frame_from_arrow(self._storage.read_part(queried.attachments))

    def _policy(self, job: ExportJob, queried: QueriedRows) -> Callable[[Unavailable], None]:
        attachments = self._mappings.document(job.org_id, queried.mapping.version).attachments

        def refuse(found: Unavailable) -> None:
            if attachments.unavailable == "fail":
                raise failure(found)

        return refuse

    def _manifest(
        self,
        job: ExportJob,
        asked: ExportParameters,
        queried: QueriedRows,
        report: ReportFile,
        members: tuple[Member, ...],
    ) -> Manifest:
        mapped = self._record.load_outputs(job, ExportStatus.MAPPING_COLUMNS, MappedRows)
        first_day, last_day = job.date_range
        return Manifest(
            export_id=queried.identical_export_id or job.export_id,
            org_id=job.org_id,
            organisation=self._record.load_organisation_name(job),
            reporting_period=Period(start=first_day, end=last_day),
            snapshot_at=queried.snapshot_at,
            mapping=mapped.mapping,
            counts=mapped.counts,
            report=_rendering(asked, report),
            members=members,
        )


def _rendering(asked: ExportParameters, report: ReportFile) -> Rendering:
    is_csv = asked.export_format is ExportFormat.CSV
    return Rendering(
        export_format=asked.export_format,
        locale=asked.locale,
        csv_profile=asked.csv_profile if is_csv else None,
        formulas_disarmed=is_csv and asked.csv_profile == "excel",
        content_sha256=report.content_sha256,
    )


def _progress(bench: StageContext, report: ReportFile, total: int) -> Callable[[int], None]:
    """Bytes told in rows, as every other stage tells them."""
    done = 0

    def more(size: int) -> None:
        nonlocal done
        done += size
        bench.report_progress(report.rows * min(done, total) // total, report.rows)

    return more
