"""Worker Deployments: a run moves with the current version, forward and back."""

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowHandle

import worker
from stafett.devstack.binaries import find_program
from stafett.settings import Settings, WorkerRole
from stafett.testing import ActivityFactory, ExportClient, wait_until

_FIRST, _SECOND = "0.1.0", "0.2.0"


class Rollout:
    """Workers of several versions of one deployment, and the command that makes one of them current."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client, self._settings, self._name = client, settings, f"stafett-{uuid4().hex}"

    def run(self, build_id: str, role: WorkerRole | None = None) -> AbstractAsyncContextManager[None]:
        own = {"deployment": self._name, "build_id": build_id}
        temporal = self._settings.temporal.model_copy(update=own)
        return worker.run_queue_workers(
            self._client, self._settings.model_copy(update={"temporal": temporal}), role=role
        )

    async def make_current(self, build_id: str) -> None:
        await wait_until(lambda: self._try_to_make_current(build_id), bool)

    async def _try_to_make_current(self, build_id: str) -> bool:
        """Run the documented command, which fails until Temporal knows the version's workers."""
        temporal = self._settings.temporal
        command = await asyncio.create_subprocess_exec(
            *(str(find_program("temporal")), "worker", "deployment", "set-current-version", "--yes"),
            *("--address", temporal.address, "--namespace", temporal.namespace),
            *("--deployment-name", self._name, "--build-id", build_id),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await command.wait() == 0

    async def get_version(self, export_id: str) -> str:
        """Return the version that completed the last task of the run."""
        description = await self._get_run(export_id).describe()
        versioning = description.raw_description.workflow_execution_info.versioning_info
        return str(versioning.deployment_version.build_id)

    async def start_export(self, exports: ExportClient) -> str:
        """Start an export, and wait until it needs a worker for the mapping."""
        export_id = await exports.start_export()
        await wait_until(lambda: exports.get_export(export_id), lambda job: job["status"] != "initialised")
        await wait_until(lambda: self._list_pending_activities(export_id), lambda names: names == ["map_columns"])
        return export_id

    async def _list_pending_activities(self, export_id: str) -> list[str]:
        description = await self._get_run(export_id).describe()
        return [pending.activity_type.name for pending in description.raw_description.pending_activities]

    def _get_run(self, export_id: str) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(f"bufdir-export/{export_id}")

    async def assert_completed_on(self, build_id: str, exports: ExportClient, export_id: str) -> None:
        assert (await exports.wait_for_completion(export_id))["status"] == "completed"
        assert await self.get_version(export_id) == build_id


@pytest.fixture
def rollout(temporal: Client, settings: Settings) -> Rollout:
    return Rollout(temporal, settings)


async def test_run_moves_to_the_current_version_and_back(
    rollout: Rollout, export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with AsyncExitStack() as first:
        await first.enter_async_context(rollout.run(_FIRST, role="io"))
        earlier = await rollout.start_export(export_client)
        async with rollout.run(_SECOND):
            later = await rollout.start_export(export_client)
            assert [await rollout.get_version(each) for each in (earlier, later)] == [_FIRST, _FIRST]
            await rollout.make_current(_SECOND)
            await first.aclose()
            for export_id in (earlier, later):
                await rollout.assert_completed_on(_SECOND, export_client, export_id)
    async with rollout.run(_SECOND, role="io"):
        moved_back = await rollout.start_export(export_client)
        async with rollout.run(_FIRST):
            await rollout.make_current(_FIRST)
            await rollout.assert_completed_on(_FIRST, export_client, moved_back)
