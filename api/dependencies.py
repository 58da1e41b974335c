"""What handlers are given."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException
from temporalio.client import Client

from api.auth import TokenVerifier, identify
from api.starting import JobStarter
from stafett.database.session import Database
from stafett.domain.errors import UnauthenticatedError
from stafett.domain.membership import Caller
from stafett.export_jobs import ExportJobs
from stafett.file_storage import FileStorage

_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="A token of the configured issuer.")


@dataclass(frozen=True)
class Services:
    """Everything a request may need, put together in the application's lifespan."""

    database: Database
    storage: FileStorage
    temporal: Client
    verifier: TokenVerifier
    jobs: ExportJobs
    starter: JobStarter


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Given = Annotated[Services, Depends(services_of)]


def caller_of(given: Given, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    if credentials is None:
        raise UnauthenticatedError("A valid bearer token is needed.")
    return identify(given.database, given.verifier.verify(credentials.credentials))


CallerOf = Annotated[Caller, Depends(caller_of)]


def json_only(request: Request) -> None:
    """A body of another kind is refused by its name, not by a parser's complaint."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415)
