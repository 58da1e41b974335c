"""Whether the process lives, and whether what it stands on answers."""

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool

from api.dependencies import Given
from stafett.domain.frozen import Frozen

router = APIRouter(tags=["Health"])
_PATIENCE_SECONDS = 3.0

State = Literal["ok", "away"]


class Alive(Frozen):
    status: Literal["alive"] = "alive"


class Readiness(Frozen):
    """Each part by its name."""

    database: State
    temporal: State
    s3: State


@router.get("/healthz", operation_id="get_liveness")
async def healthz() -> Alive:
    return Alive()


@router.get("/readyz", operation_id="get_readiness", responses={503: {"model": Readiness}})
async def readyz(given: Given, response: Response) -> Readiness:
    database, temporal, s3 = await asyncio.gather(
        _state(run_in_threadpool(given.database.ping)),
        _state(given.temporal.service_client.check_health()),
        _state(run_in_threadpool(given.storage.ping)),
    )
    ready = Readiness(database=database, temporal=temporal, s3=s3)
    if "away" in {database, temporal, s3}:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return ready


async def _state(asked: Awaitable[object]) -> State:
    try:
        await asyncio.wait_for(asked, _PATIENCE_SECONDS)
    except Exception:  # noqa: BLE001 - whatever it is, the part cannot be relied on now
        return "away"
    return "ok"
