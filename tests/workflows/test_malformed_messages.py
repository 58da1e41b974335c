"""Signals and updates whose input cannot be decoded, as an operator may send them from Temporal's command line."""

import asyncio
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue

from stafett.domain.export_job import ExportJob, ExportOutcome
from stafett.domain.export_status import ExportStatus
from tests.support.blocking_stages import BlockingStages
from tests.support.fake_stages import run_export

_HANG_TIMEOUT = 8  # a run that cannot decode a message would retry for ever
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
