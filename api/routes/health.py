"""Whether the process lives, and whether what it stands on answers."""

import asyncio
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Response

from api.dependencies import ServicesDep
from api.readiness import ProbeState
from stafett.domain.frozen import FrozenModel

router = APIRouter(tags=["Health"])


class Liveness(FrozenModel):
    status: Literal["alive"] = "alive"


class Readiness(FrozenModel):
    """Each part by its name."""

    database: ProbeState
    temporal: ProbeState
    s3: ProbeState


@router.get("/healthz", operation_id="get_liveness")
async def get_liveness() -> Liveness:
    """Whether the process lives."""
    return Liveness()


@router.get("/readyz", operation_id="get_readiness", responses={503: {"model": Readiness}})
async def get_readiness(services: ServicesDep, response: Response) -> Readiness:
    """Whether what it stands on answers, each part by its name."""
    probes = services.probes
    database, temporal, s3 = await asyncio.gather(probes.database.check(), probes.temporal.check(), probes.s3.check())
    ready = Readiness(database=database, temporal=temporal, s3=s3)
    if "away" in {database, temporal, s3}:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return ready
