"""Worker Deployments: Temporal sends runs only to the workers of their deployment's current version."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import WorkerDeploymentConfig

from stafett.settings import TemporalSettings
from stafett.version import VERSION, build_fingerprint

_FINGERPRINT_LENGTH = 12
_RETRY_INTERVAL_SECONDS = 1.0
_RPC_TIMEOUT = timedelta(seconds=5)
_log = structlog.get_logger("stafett.temporal")


def create_deployment_config(settings: TemporalSettings) -> WorkerDeploymentConfig | None:
    """Return the version that a worker is of, or None if workers have no versions.

    A run moves to the current version with its next task, so that the workers of other versions can be stopped.
    """
    if settings.deployment is None:
        return None
    build_id = settings.build_id or f"{VERSION}-{build_fingerprint()[:_FINGERPRINT_LENGTH]}"
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.deployment, build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )


@asynccontextmanager
async def start_deployment(client: Client, config: WorkerDeploymentConfig | None) -> AsyncIterator[None]:
    """Make the version of a deployment's first workers current. Every later version waits for an operator."""
    if config is None:
        yield
        return
    task = asyncio.create_task(_set_first_version(client, config.version))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _set_first_version(client: Client, version: WorkerDeploymentVersion) -> None:
    while True:
        with suppress(RPCError):  # the server has not registered the version yet, or is unavailable
            if await _has_current_version(client, version.deployment_name):
                return
            request = SetWorkerDeploymentCurrentVersionRequest(
                namespace=client.namespace, deployment_name=version.deployment_name, build_id=version.build_id
            )
            await client.workflow_service.set_worker_deployment_current_version(request, timeout=_RPC_TIMEOUT)
            _log.info("deployment_started", deployment=version.deployment_name, build_id=version.build_id)
            return
        await asyncio.sleep(_RETRY_INTERVAL_SECONDS)


async def _has_current_version(client: Client, deployment: str) -> bool:
    request = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=deployment)
    description = await client.workflow_service.describe_worker_deployment(request, timeout=_RPC_TIMEOUT)
    return bool(description.worker_deployment_info.routing_config.current_deployment_version.build_id)
