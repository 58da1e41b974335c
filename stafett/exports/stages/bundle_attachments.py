"""The stage ``bundling_attachments``: streams the report and its attachments from storage into one ZIP file."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import PurePosixPath

import polars as pl

from stafett.activity_frames import activities_from_arrow, arrow_from_frame, frame_from_arrow
from stafett.attachment_bundler.bundle import BundleWriter, attachments_from_frame
from stafett.attachment_bundler.manifest import BundleManifest, BundleMember, ManifestPeriod, ReportRendering
from stafett.attachment_bundler.unavailable import (
    UnavailableAttachment,
    build_deviations,
    to_export_error,
    to_partial_failures,
)
from stafett.column_mapper.deviations import select_facts
from stafett.column_mapper.versions import MappingVersions
from stafett.domain.errors import StagedDataLostError
from stafett.domain.export import ExportFormat, ExportParameters
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import BundledFile, QueriedRows, ReportFile, StagedPart
from stafett.domain.reporting_period import OSLO
from stafett.exports.stage_inputs import StageInputs
from stafett.exports.stage_runner import StageContext
from stafett.storage.files import FileStorage

_MIME_TYPE = "application/zip"


class AttachmentBundlingStage:
    """Bundles the report and the attachments of its snapshot."""

    def __init__(self, storage: FileStorage, mappings: MappingVersions) -> None:
        self._storage = storage
        self._mappings = mappings

    def __call__(self, job: ExportJob, context: StageContext) -> BundledFile:
        inputs = context.inputs
        parameters, queried, report = inputs.parameters, inputs.queried_rows, inputs.report
        staged = self._load_staged_attachments(queried)
        bundle = BundleWriter(
            self._storage,
            timestamp=job.period_end.astimezone(OSLO),
            report_progress=_build_progress_callback(
                context, report, report.size_bytes + int(staged["size_bytes"].sum())
            ),
            on_unavailable=self._build_unavailable_handler(job, queried),
        )
        manifest = partial(_build_manifest, job, inputs)
        name = f"{PurePosixPath(report.name).stem}.zip"
        stored = context.put_file(
            name, bundle.write_chunks(report, attachments_from_frame(staged), manifest), _MIME_TYPE
        )
        file_fields = {
            "name": name,
            "mime_type": _MIME_TYPE,
            **stored.model_dump(include={"key", "size_bytes", "sha256"}),
        }
        return BundledFile(
            file=report.model_copy(update=file_fields),
            partial_failures=tuple(to_partial_failures(bundle.unavailable, parameters.locale)),
            deviations=self._store_deviations(context, bundle.unavailable) if bundle.unavailable else None,
        )

    def _store_deviations(self, context: StageContext, unavailable: Sequence[UnavailableAttachment]) -> StagedPart:
        """Store the activities whose attachments are missing, with the facts of the snapshot that identify them."""
        deviations, first_row, described = build_deviations(unavailable, context.inputs.parameters.locale), 0, []
        for part in context.inputs.queried_rows.parts:
            affected = deviations.filter(pl.col("row").is_between(first_row, first_row + part.rows - 1))
            if affected.height:
                rows = activities_from_arrow(self._storage.read_part(part))[affected["row"] - first_row]
                described.append(affected.hstack(select_facts(rows).drop("activity_id")))
            first_row += part.rows
        lines = pl.concat(described).sort("row")
        return context.put_part(0, arrow_from_frame(lines), lines.height, "deviations")

    def _load_staged_attachments(self, queried_rows: QueriedRows) -> pl.DataFrame:
        if queried_rows.attachments is None:
            raise StagedDataLostError
        return frame_from_arrow(self._storage.read_part(queried_rows.attachments))

    def _build_unavailable_handler(
        self, job: ExportJob, queried_rows: QueriedRows
    ) -> Callable[[UnavailableAttachment], None]:
        attachments = self._mappings.load_document(job.org_id, queried_rows.mapping).attachments

        def raise_if_fatal(attachment: UnavailableAttachment) -> None:
            if attachments.unavailable == "fail":
                raise to_export_error(attachment)

        return raise_if_fatal


def _build_manifest(job: ExportJob, inputs: StageInputs, members: tuple[BundleMember, ...]) -> BundleManifest:
    queried, mapped = inputs.queried_rows, inputs.mapped_rows
    first_day, last_day = job.date_range
    return BundleManifest(
        export_id=queried.identical_export_id or job.export_id,
        org_id=job.org_id,
        organisation=queried.organisation_name,
        reporting_period=ManifestPeriod(start=first_day, end=last_day),
        snapshot_at=queried.snapshot_at,
        mapping=mapped.mapping,
        counts=mapped.counts,
        report=_build_rendering(inputs.parameters, inputs.report),
        members=members,
    )


def _build_rendering(parameters: ExportParameters, report: ReportFile) -> ReportRendering:
    is_csv = parameters.export_format is ExportFormat.CSV
    return ReportRendering(
        export_format=parameters.export_format,
        locale=parameters.locale,
        csv_profile=parameters.csv_profile if is_csv else None,
        formulas_disarmed=is_csv and parameters.csv_profile == "excel",
        content_sha256=report.content_sha256,
    )


def _build_progress_callback(context: StageContext, report: ReportFile, total_bytes: int) -> Callable[[int], None]:
    """Build a callback that converts written bytes to rows, the unit of progress of all stages."""
    done = 0

    def report_bytes(size: int) -> None:
        nonlocal done
        done += size
        context.report_progress(report.rows * min(done, total_bytes) // total_bytes, report.rows)

    return report_bytes
