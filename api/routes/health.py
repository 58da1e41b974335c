"""Liveness and readiness of the API process."""

import asyncio
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import Field

from api.dependencies import ServicesDep
from api.readiness import ProbeState
from stafett.domain.frozen import FrozenModel

router = APIRouter(tags=["Health"])


class Liveness(FrozenModel):
    status: Literal["alive"] = "alive"


class Readiness(FrozenModel):
    """The state of each dependency."""

    database: ProbeState = Field(description="PostgreSQL. Without it, no job can be accepted or read.")
    temporal: ProbeState = Field(description="Temporal. Without it, accepted jobs wait and previews fail.")
    s3: ProbeState = Field(description="The object storage.")


@router.get(
    "/healthz", operation_id="get_liveness", summary="Check liveness", description="Check that the process is alive."
)
async def get_liveness() -> Liveness:
    return Liveness()


@router.get(
    "/readyz",
    operation_id="get_readiness",
    summary="Check readiness",
    description=(
        "Report PostgreSQL, Temporal and S3 as `ok` or `away`. "
        "The status is `503` only if PostgreSQL is unavailable, because then no job can be accepted."
    ),
    responses={503: {"model": Readiness}},
)
async def get_readiness(services: ServicesDep, response: Response) -> Readiness:
    probes = services.probes
    database, temporal, s3 = await asyncio.gather(probes.database.check(), probes.temporal.check(), probes.s3.check())
    readiness = Readiness(database=database, temporal=temporal, s3=s3)
    if database == "away":
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return readiness
