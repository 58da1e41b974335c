"""What handlers are given."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Request, Response, params
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from temporalio.client import Client

from api.auth import TokenVerifier, VerifiedToken, load_caller
from api.dispatcher import JobDispatcher
from api.rate_limit import RateLimiter
from api.readiness import Probes
from stafett.audit.steps import JobHistory
from stafett.bulk.commands import BulkCommands
from stafett.bulk.service import BulkService
from stafett.column_mapper.versions import MappingService
from stafett.database.job_changes import JobNotifier
from stafett.database.session import Database
from stafett.directory import ActivityService, OrganisationService, PeerMentorService
from stafett.domain.errors import PermissionDeniedError, SettingsError, UnauthenticatedError
from stafett.domain.membership import PERMISSIONS_BY_ROLE, Caller, Permission, Role
from stafett.exports.commands import ExportCommands
from stafett.exports.downloads import ExportDownloads
from stafett.exports.file_removal import FileRemoval
from stafett.exports.service import ExportAuditTrail, ExportService
from stafett.notifications.inbox import Inbox
from stafett.reports.commands import ReexportCommands
from stafett.reports.history import ReportHistory
from stafett.reports.reexports import ReexportService
from stafett.temporal.codec import EncryptionCodec
from stafett.webhooks.destinations import DestinationPolicy
from stafett.webhooks.service import WebhookService

UtcClock = Callable[[], datetime]
_bearer_scheme = HTTPBearer(auto_error=False, bearerFormat="JWT", description="A token of the configured issuer.")


@dataclass(frozen=True)
class Services:
    """Everything a request may need, put together in the application's lifespan."""

    database: Database
    temporal: Client
    task_queue: str
    token_verifier: TokenVerifier
    exports: ExportService
    export_commands: ExportCommands
    reports: ReportHistory
    file_removal: FileRemoval
    downloads: ExportDownloads
    export_audit_trail: ExportAuditTrail
    reexports: ReexportService
    reexport_commands: ReexportCommands
    mappings: MappingService
    organisations: OrganisationService
    mentors: PeerMentorService
    batches: BulkService
    batch_commands: BulkCommands
    activities: ActivityService
    inbox: Inbox
    webhooks: WebhookService
    destinations: DestinationPolicy
    dispatcher: JobDispatcher
    job_notifier: JobNotifier
    job_history: JobHistory
    rate_limiter: RateLimiter
    probes: Probes
    clock: UtcClock
    codec: EncryptionCodec


def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]


class PermissionRequirement:
    """A route's rule: what the caller's role must allow. A route without one is a mistake, and no application."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission
        self.roles = tuple(role for role in Role if permission in PERMISSIONS_BY_ROLE[role])

    def __call__(self) -> None:
        """It is asked for by ``GuardedRoute``, before anything is read; here it is a declaration."""


def require(permission: Permission) -> params.Depends:
    """For a route's ``dependencies``."""
    dependency: params.Depends = Depends(PermissionRequirement(permission))
    return dependency


class GuardedRoute(APIRoute):
    """Who asks, whether they ask too often and whether their role allows it is settled before the body is read."""

    @property
    def requirement(self) -> PermissionRequirement:
        rules = [each.dependency for each in self.dependencies if isinstance(each.dependency, PermissionRequirement)]
        if len(rules) != 1:
            raise SettingsError(f"{self.name} says who may ask for it {len(rules)} times instead of once.")
        return rules[0]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle, takes_json, rule = super().get_route_handler(), self.body_field is not None, self.requirement
        # Of a thing that is named, its resource says first whether it is there for the caller at all: 404, then 403.
        names_a_thing = bool(self.param_convertors)

        async def handle_guarded(request: Request) -> Response:
            given, credentials = get_services(request), await _bearer_scheme(request)
            if credentials is None:
                raise UnauthenticatedError("A valid bearer token is needed.")
            bearer, caller = await run_in_threadpool(_authenticate, given, credentials.credentials)
            # To an operator nothing is another organisation's.
            if (not names_a_thing or caller.is_operator) and not caller.has_permission(rule.permission):
                raise PermissionDeniedError(f"The role {caller.role} lacks the permission {rule.permission}.")
            request.state.token, request.state.caller = bearer, caller
            if takes_json:
                _require_json_content_type(request)
            return await handle(request)

        return handle_guarded


def _authenticate(services: Services, token: str) -> tuple[VerifiedToken, Caller]:
    """The database is asked only for somebody who may ask us now."""
    bearer = services.token_verifier.verify(token)
    services.rate_limiter.take_token(bearer.user_id)
    return bearer, load_caller(services.database, bearer)


async def read_json_body(request: Request, *, max_bytes: int) -> bytes:
    """The body as it was sent, for what is read more strictly than FastAPI would."""
    _require_json_content_type(request)
    body = await request.body()
    if len(body) > max_bytes:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return body


def _require_json_content_type(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def get_current_caller(request: Request, _credentials: Annotated[object, Depends(_bearer_scheme)]) -> Caller:
    caller: Caller = request.state.caller
    return caller


CurrentCaller = Annotated[Caller, Depends(get_current_caller)]
