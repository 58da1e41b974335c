"""Inputs of a stage: what the transaction that starts it has read."""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from sqlmodel import Session, select

from stafett.database.tables import Export, ExportPartialFailures, ExportStageOutput
from stafett.domain.export import ExportParameters
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import BundledFile, MappedRows, QueriedRows, ReportFile
from stafett.domain.export_status import ExportStatus

Outputs = TypeVar("Outputs", QueriedRows, MappedRows, ReportFile, BundledFile)


class StageInputs(NamedTuple):
    """The export, the outputs of its finished stages, and for the file its partial failures and deviating rows."""

    export: Export
    outputs: Mapping[ExportStatus, ExportStageOutput]
    failures: ExportPartialFailures | None = None

    @property
    def parameters(self) -> ExportParameters:
        return ExportParameters.model_validate(self.export.parameters)

    def get_outputs(self, stage: ExportStatus, output_type: type[Outputs]) -> Outputs:
        return output_type.model_validate(self.outputs[stage].outputs)

    @property
    def queried_rows(self) -> QueriedRows:
        return self.get_outputs(ExportStatus.QUERYING_ACTIVITIES, QueriedRows)

    @property
    def mapped_rows(self) -> MappedRows:
        """The outputs of the mapping stage; with the failures and deviations of their own table if they are inputs."""
        outputs = self.outputs[ExportStatus.MAPPING_COLUMNS].outputs
        if self.failures is not None:
            outputs = {
                **outputs,
                "partial_failures": self.failures.reports,
                "deviations": self.failures.deviations or {},
            }
        return MappedRows.model_validate(outputs)

    @property
    def report(self) -> ReportFile:
        return self.get_outputs(ExportStatus.GENERATING_FILE, ReportFile)


def load_inputs(session: Session, job: ExportJob, export: Export, stage: ExportStatus) -> StageInputs:
    """Load the inputs of a stage; only the file contains the partial failures and deviations."""
    query = select(ExportStageOutput).where(ExportStageOutput.export_id == job.export_id)
    outputs = {output.stage: output for output in session.exec(query).all()}
    if stage is not ExportStatus.GENERATING_FILE:
        return StageInputs(export, outputs)
    return StageInputs(export, outputs, session.get(ExportPartialFailures, job.export_id))
