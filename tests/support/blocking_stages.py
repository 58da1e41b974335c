"""Fake stages that block until a test lets them continue."""

import asyncio

from temporalio import activity

from stafett.domain.export_job import ExportJob, ExportOutcome, StageResult
from tests.support.fake_stages import FakeStages


class BlockingStages(FakeStages):
    """One stage blocks until it is released or cancelled; with `ignores_cancel` only until it is released."""

    def __init__(self, stage: str, *, ignores_cancel: bool = False) -> None:
        super().__init__()
        self.reached, self.released = asyncio.Event(), asyncio.Event()
        self._stage, self._ignores_cancel = stage, ignores_cancel

    async def block(self, name: str) -> None:
        if name != self._stage:
            return
        self.reached.set()
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            if not self._ignores_cancel:
                raise
            await self.released.wait()

    @activity.defn
    async def query_activities(self, _job: ExportJob) -> StageResult:
        await self.block("query_activities")
        return self.play("query_activities")

    @activity.defn
    async def map_columns(self, _job: ExportJob) -> StageResult:
        await self.block("map_columns")
        return self.play("map_columns")

    @activity.defn
    async def generate_file(self, _job: ExportJob) -> StageResult:
        await self.block("generate_file")
        return self.play("generate_file")

    @activity.defn
    async def bundle_attachments(self, _job: ExportJob) -> StageResult:
        await self.block("bundle_attachments")
        return self.play("bundle_attachments")

    @activity.defn
    async def store_file(self, _job: ExportJob) -> StageResult:
        await self.block("store_file")
        return self.play("store_file")

    @activity.defn
    async def record_cancellation(self, _job: ExportJob) -> ExportOutcome:
        await self.block("record_cancellation")
        self.play("record_cancellation")
        return self.cancel_outcome
