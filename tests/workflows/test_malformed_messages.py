"""Signals and updates whose input cannot be decoded, as an operator may send them from Temporal's command line."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.common import RawValue

from stafett.domain.export_job import ExportJob, ExportOutcome
from stafett.domain.export_status import ExportStatus
from stafett.domain.reexport_job import ReexportJob, ReexportOutcome
from stafett.domain.reexport_status import ReexportStatus
from tests.support.blocking_stages import BlockingStages
from tests.support.fake_reexport_steps import FakeReexportSteps, run_reexport
from tests.support.fake_stages import run_export

_HANG_TIMEOUT = 120  # a run that cannot decode a message would retry for ever
INPUTS = {
    "text": "stop it",
    "object": {"reason": "wrong period"},
    "invalid json": RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b"{not json")),
    "unknown encoding": RawValue(Payload(metadata={"encoding": b"binary/unknown"}, data=b"?")),
    "no encoding": RawValue(Payload(data=b"?")),
    "unknown key": RawValue(
        Payload(metadata={"encoding": b"binary/encrypted", "encryption-key-id": b"unknown"}, data=b"?" * 40)
    ),
}


@pytest.mark.parametrize("arguments", [*([value] for value in INPUTS.values()), [1, 2, 3]], ids=[*INPUTS, "three"])
async def test_cancel_signal_with_any_input_cancels_the_export(
    temporal: Client, job: ExportJob, arguments: list[Any]
) -> None:
    stages = BlockingStages("map_columns")
    async with run_export(temporal, job, stages) as run:
        await stages.reached.wait()
        await run.signal("cancel", args=arguments)
        async with asyncio.timeout(_HANG_TIMEOUT):
            assert await run.result() == ExportOutcome(status=ExportStatus.CANCELLED)


async def test_unknown_signal_is_ignored(temporal: Client, job: ExportJob) -> None:
    stages = BlockingStages("map_columns")
    async with run_export(temporal, job, stages) as run:
        await stages.reached.wait()
        await run.signal("pause", INPUTS["invalid json"])
        stages.released.set()
        assert (await run.result()).status is ExportStatus.COMPLETED


async def test_undecodable_edit_is_rejected_and_an_edit_without_input_accepted(
    temporal: Client, job: ExportJob
) -> None:
    reexport = ReexportJob(
        reexport_id=uuid4(),
        report_id=uuid4(),
        org_id="nhf",
        attempt=1,
        period_start=job.period_start,
        period_end=job.period_end,
    )
    stages = BlockingStages("map_columns")
    async with (
        run_reexport(temporal, reexport, FakeReexportSteps(uuid4()), stages) as run,
        asyncio.timeout(_HANG_TIMEOUT),
    ):
        await stages.reached.wait()
        await run.execute_update("record_edit")
        for value in INPUTS.values():
            with pytest.raises(WorkflowUpdateFailedError):
                await run.execute_update("record_edit", value)
        stages.released.set()
        assert await run.result() == ReexportOutcome(status=ReexportStatus.COMPLETED)
