"""Dependencies of route handlers: services, the authenticated caller and the permission check."""

from collections.abc import Callable, Coroutine, Mapping
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

from api.auth import UNAUTHENTICATED_MESSAGE, TokenVerifier, VerifiedToken, load_caller
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
_DENIED_MESSAGES: Mapping[Permission, str] = {
    Permission.VIEW_JOBS: "Your role does not allow reading jobs.",
    Permission.READ_ORGANISATION: "Your role does not allow reading the organisation's data.",
    Permission.START_JOBS: "Your role does not allow starting jobs.",
    Permission.DOWNLOAD_FILES: "Your role does not allow downloading files.",
    Permission.CANCEL_AND_RETRY: "Your role does not allow cancelling or retrying jobs.",
    Permission.READ_AUDIT_EVENTS: "Your role does not allow reading the audit trail.",
    Permission.ADMINISTER: "Only an administrator of the organisation may do this.",
    Permission.DECODE_PAYLOADS: "Only an operator may decode or encode payloads.",
    Permission.READ_NOTIFICATIONS: "Your role does not allow reading notifications.",
}
_bearer_scheme = HTTPBearer(auto_error=False, bearerFormat="JWT", description="A JWT issued by the configured issuer.")


@dataclass(frozen=True)
class Services:
    """Everything that handlers use, created in the application's lifespan."""

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
    """The permission that a route requires of the caller's role. Every guarded route has exactly one."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission
        self.roles = tuple(role for role in Role if permission in PERMISSIONS_BY_ROLE[role])

    def __call__(self) -> None:
        """Do nothing: ``GuardedRoute`` reads the declaration and checks it before the body is read."""


def require(permission: Permission) -> params.Depends:
    """Declare the permission that a route requires, as an element of its ``dependencies``."""
    dependency: params.Depends = Depends(PermissionRequirement(permission))
    return dependency


class GuardedRoute(APIRoute):
    """A route that authenticates, applies the rate limit and checks the permission before it reads the body."""

    @property
    def requirement(self) -> PermissionRequirement:
        requirements = [
            each.dependency for each in self.dependencies if isinstance(each.dependency, PermissionRequirement)
        ]
        if len(requirements) != 1:
            raise SettingsError(f"The route {self.name} declares {len(requirements)} permissions instead of one.")
        return requirements[0]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle, takes_json = super().get_route_handler(), self.body_field is not None
        permission = self.requirement.permission
        # For a path with an id, the service decides whether the caller may know of the resource: 404 comes before 403.
        has_path_parameters = bool(self.param_convertors)

        async def handle_guarded(request: Request) -> Response:
            services, credentials = get_services(request), await _bearer_scheme(request)
            if credentials is None:
                raise UnauthenticatedError(UNAUTHENTICATED_MESSAGE)
            token, caller = await run_in_threadpool(_authenticate, services, credentials.credentials)
            # Operators see the jobs of every organisation, so 403 reveals nothing to them.
            if (not has_path_parameters or caller.is_operator) and not caller.has_permission(permission):
                raise PermissionDeniedError(_DENIED_MESSAGES[permission])
            request.state.token, request.state.caller = token, caller
            if takes_json:
                _require_json_content_type(request)
            return await handle(request)

        return handle_guarded


def _authenticate(services: Services, bearer_token: str) -> tuple[VerifiedToken, Caller]:
    """Verify the token and load the caller. The rate limit comes before the query, so that it protects PostgreSQL."""
    token = services.token_verifier.verify(bearer_token)
    services.rate_limiter.take_token(token.user_id)
    return token, load_caller(services.database, token)


async def read_json_body(request: Request, *, max_bytes: int) -> bytes:
    """Return the unparsed JSON body, for parsers that are stricter than FastAPI's; ``max_bytes`` is its limit."""
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
