"""Whether the process lives, and whether what it stands on answers."""

import asyncio
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Response

from api.dependencies import Given
from api.readiness import State
from stafett.domain.frozen import FrozenModel

router = APIRouter(tags=["Health"])


class Alive(FrozenModel):
    status: Literal["alive"] = "alive"


class Readiness(FrozenModel):
    """Each part by its name."""

    database: State
    temporal: State
    s3: State


@router.get("/healthz", operation_id="get_liveness")
async def healthz() -> Alive:
    """Whether the process lives."""
    return Alive()


@router.get("/readyz", operation_id="get_readiness", responses={503: {"model": Readiness}})
async def readyz(given: Given, response: Response) -> Readiness:
    """Whether what it stands on answers, each part by its name."""
    probes = given.probes
    database, temporal, s3 = await asyncio.gather(probes.database.state(), probes.temporal.state(), probes.s3.state())
    ready = Readiness(database=database, temporal=temporal, s3=s3)
    if "away" in {database, temporal, s3}:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return ready
