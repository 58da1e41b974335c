"""Dependencies of route handlers: services, the authenticated caller and the permission check."""

import inspect
from collections.abc import Callable, Container, Coroutine, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from temporalio.client import Client

from api.auth import NO_CREDENTIALS_MESSAGE, OTHER_SCHEME_MESSAGE, Credential
from api.authenticator import Authenticator
from api.concurrency import (
    ConcurrencyLimit,
    ConcurrencyLimiter,
    OccupyingUse,
    is_large_list,
    measure_computing_time,
    occupy_thread,
    run_in_threadpool,
)
from api.dispatcher import JobDispatcher
from api.job_feeds import JobFeeds
from api.long_requests import LongRequestProcess
from api.polls import PolledJob, respond_if_unchanged
from api.readiness import Probes
from api.request_body import BoundedRequest, JsonLimits, has_large_body, require_json_content_type
from stafett.audit.events import OrganisationAuditTrail
from stafett.audit.names import AuditNames
from stafett.audit.steps import JobHistory
from stafett.bulk.activities import ActivityService
from stafett.bulk.commands import BulkCommands
from stafett.bulk.service import BulkService
from stafett.column_mapper.versions import MappingService
from stafett.database.job_changes import JobNotifier
from stafett.database.session import Database
from stafett.domain.errors import PermissionDeniedError, SettingsError, UnauthenticatedError
from stafett.domain.membership import PERMISSIONS_BY_ROLE, Caller, Permission, Role
from stafett.exports.activity_outcomes import ActivityOutcomes
from stafett.exports.commands import ExportCommands
from stafett.exports.deviations import DeviationFiles
from stafett.exports.downloads import ExportDownloads
from stafett.exports.figures import FigureService
from stafett.exports.file_removal import FileRemoval
from stafett.exports.recent_previews import RecentPreviews
from stafett.exports.service import ExportAuditTrail, ExportService
from stafett.jobs.attention import AttentionService
from stafett.jobs.titles import JobTitles
from stafett.notifications.inbox import Inbox
from stafett.people.api_keys import ApiKeyService
from stafett.people.members import MemberService
from stafett.people.mentor_import import MentorImport
from stafett.people.mentors import MentorService
from stafett.people.organisations import OrganisationService
from stafett.reports.commands import ReexportCommands
from stafett.reports.history import ReportHistory
from stafett.reports.reexports import ReexportService
from stafett.reports.row_changes import VersionChanges
from stafett.temporal.codec import EncryptionCodec
from stafett.webhooks.destinations import DestinationPolicy
from stafett.webhooks.service import WebhookService

Declaration = TypeVar("Declaration")
UtcClock = Callable[[], datetime]
_DENIED_MESSAGES: Mapping[Permission, str] = {
    Permission.VIEW_JOBS: "Your role does not allow reading jobs.",
    Permission.READ_ORGANISATION: "Your role does not allow reading the organisation's data.",
    Permission.START_JOBS: "Your role does not allow starting jobs or recording submissions.",
    Permission.DOWNLOAD_FILES: "Your role does not allow downloading files.",
    Permission.CANCEL_AND_RETRY: "Your role does not allow cancelling or retrying jobs.",
    Permission.READ_AUDIT_EVENTS: "Your role does not allow reading the audit trail.",
    Permission.READ_AUDIT_TRAIL: "Your role does not allow reading the organisation's audit trail.",
    Permission.ADMINISTER: "Only an administrator of the organisation may do this.",
    Permission.DECODE_PAYLOADS: "Only an operator may decode or encode payloads.",
    Permission.MANAGE_MENTORS: "Your role does not allow adding or changing peer mentors.",
    Permission.CORRECT_ACTIVITIES: "Your role does not allow correcting or deleting activities.",
    Permission.ADD_ORGANISATIONS: "Only an operator may add an organisation.",
    Permission.RENAME_ORGANISATIONS: "Only an operator or an administrator may rename an organisation.",
    Permission.READ_NOTIFICATIONS: "Your role does not allow reading notifications.",
}
_JSON_LIMITS = JsonLimits()
_NO_QUERY = (params.Path, params.Header, params.Cookie)
"""The parameters of a route that are not in the query; the fields of a query's model are of none of these classes."""

_bearer_scheme = HTTPBearer(auto_error=False, description="A JWT of the configured issuer, or an API key.")


@dataclass(frozen=True)
class Services:
    """Everything that handlers use, created in the application's lifespan."""

    database: Database
    temporal: Client
    task_queue: str
    authenticator: Authenticator
    concurrency: ConcurrencyLimiter
    exports: ExportService
    export_commands: ExportCommands
    reports: ReportHistory
    file_removal: FileRemoval
    downloads: ExportDownloads
    deviations: DeviationFiles
    version_changes: VersionChanges
    export_audit_trail: ExportAuditTrail
    audit_trail: OrganisationAuditTrail
    figures: FigureService
    recent_previews: RecentPreviews
    activity_outcomes: ActivityOutcomes
    attention: AttentionService
    audit_names: AuditNames
    job_titles: JobTitles
    reexports: ReexportService
    reexport_commands: ReexportCommands
    mappings: MappingService
    organisations: OrganisationService
    members: MemberService
    api_keys: ApiKeyService
    mentors: MentorService
    mentor_import: MentorImport
    batches: BulkService
    batch_commands: BulkCommands
    activities: ActivityService
    inbox: Inbox
    webhooks: WebhookService
    destinations: DestinationPolicy
    dispatcher: JobDispatcher
    job_notifier: JobNotifier
    job_feeds: JobFeeds
    job_history: JobHistory
    probes: Probes
    clock: UtcClock
    codec: EncryptionCodec
    long_requests: LongRequestProcess | None = None


def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def provide_services(request: Request) -> Services:  # FastAPI runs dependencies in a thread unless they are async
    return get_services(request)


ServicesDep = Annotated[Services, Depends(provide_services)]


FindResource = Callable[["Services", Caller, Any], object]
"""Loads the resource of a path by its first id; raises ``NotFoundError`` if the caller may not see it."""


class PermissionRequirement:
    """The permission that a route requires of the caller's role. Every guarded route has exactly one."""

    def __init__(self, permission: Permission, find: FindResource | None = None) -> None:
        self.permission = permission
        self.find = find
        self.roles = tuple(role for role in Role if permission in PERMISSIONS_BY_ROLE[role])

    async def __call__(self) -> None:
        """Do nothing: ``GuardedRoute`` reads the declaration and checks it before the body is read."""


def require(permission: Permission, find: FindResource | None = None) -> params.Depends:
    """Declare the permission that a route requires, as an element of its ``dependencies``.

    A route with both an id and a body also declares how to ``find`` the resource: a caller without the permission is
    answered 404 or 403 before the body is read.
    """
    dependency: params.Depends = Depends(PermissionRequirement(permission, find))
    return dependency


def _is_long(request: Request) -> bool:
    return has_large_body(request) or is_large_list(request)


class GuardedRoute(APIRoute):
    """A route that authenticates, applies the rate limit and checks the permission before it reads the body."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not inspect.iscoroutinefunction(endpoint):
            endpoint = measure_computing_time(endpoint)
        super().__init__(path, endpoint, **options)

    @property
    def requirement(self) -> PermissionRequirement:
        requirements = self._list_declarations(PermissionRequirement)
        if len(requirements) != 1:
            raise SettingsError(f"The route {self.name} declares {len(requirements)} permissions instead of one.")
        return requirements[0]

    def _list_declarations(self, kind: type[Declaration]) -> list[Declaration]:
        return [each.dependency for each in self.dependencies if isinstance(each.dependency, kind)]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle, takes_json = super().get_route_handler(), self.body_field is not None
        if self.requirement.find is None and takes_json and self.param_convertors:
            raise SettingsError(
                f"The route {self.name} has an id and a body, and declares no way to find the resource."
            )
        limited_uses = [limit.use for limit in self._list_declarations(ConcurrencyLimit)]
        polled_job = next(iter(self._list_declarations(PolledJob)), None)
        is_always_long = OccupyingUse.LARGE_LISTS in limited_uses
        runs_in_thread = not inspect.iscoroutinefunction(self.endpoint)
        query_names = self._list_query_names() if self.methods == {"GET"} and not self.param_convertors else None

        async def handle_guarded(request: Request) -> Response:
            services, credentials = get_services(request), await _bearer_scheme(request)
            if credentials is None:
                has_header = "Authorization" in request.headers
                raise UnauthenticatedError(OTHER_SCHEME_MESSAGE if has_header else NO_CREDENTIALS_MESSAGE)
            job = polled_job.find_key(request) if polled_job else None
            credential, access = await services.authenticator.authenticate(credentials.credentials, job)
            caller = access.require_caller()
            await self._check_permission(request, caller)
            second_process = services.long_requests
            if second_process and second_process.is_ready and (is_always_long or _is_long(request)):
                return await second_process.forward(request, caller.user_id)
            for use in limited_uses:
                services.concurrency.check(use, caller)
            request.state.token, request.state.caller = credential, caller
            with ExitStack() as large_bodies:
                occupy = partial(services.concurrency.occupy, OccupyingUse.LARGE_BODIES, caller)
                request = BoundedRequest(request.scope, request.receive, lambda: large_bodies.enter_context(occupy()))
                request.check_query(query_names)
                if access.revision and (
                    unchanged := respond_if_unchanged(request, access.revision, caller, services.clock())
                ):
                    return unchanged
                if takes_json:
                    require_json_content_type(request)
                    await request.check_json(_JSON_LIMITS)
                async with occupy_thread() if runs_in_thread else nullcontext():
                    response = await handle(request)
                if "Preference-Applied" in response.headers:
                    await _require_same_access(services, credential, caller)
                return response

        return handle_guarded

    def _list_query_names(self) -> Container[str]:
        return {each.alias for each in get_flat_params(self.dependant) if not isinstance(each.field_info, _NO_QUERY)}

    async def _check_permission(self, request: Request, caller: Caller) -> None:
        """Raise if the caller's role lacks the permission. For a path with an id, 404 comes before 403."""
        requirement = self.requirement
        if caller.has_permission(requirement.permission):
            return
        # Operators see the jobs of every organisation, so 403 reveals nothing to them.
        if self.param_convertors and not caller.is_operator:
            if requirement.find is None:
                return  # there is no body, and the service decides whether the caller may know of the resource
            resource_id = next(iter(request.path_params.values()))
            await run_in_threadpool(requirement.find, get_services(request), caller, resource_id)
        raise PermissionDeniedError(_DENIED_MESSAGES[requirement.permission])


async def _require_same_access(services: Services, credential: Credential, caller: Caller) -> None:
    """Raise if the caller lost access while the request waited: the response may have a download link."""
    if await services.authenticator.load_caller(credential) != caller:
        raise PermissionDeniedError("Your role changed during the wait; send the request again.")


async def get_current_caller(request: Request, _credentials: Annotated[object, Depends(_bearer_scheme)]) -> Caller:
    caller: Caller = request.state.caller
    return caller


CurrentCaller = Annotated[Caller, Depends(get_current_caller)]
