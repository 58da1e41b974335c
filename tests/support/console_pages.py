"""Visits to all pages of the console: one for each route, state and error, derived from the routes and the forms."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import NamedTuple

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api.console import start
from api.console.app import ROUTE_MODULES
from api.console.security import CrossSiteRequestError
from api.rate_limit import TooManyRequestsError
from stafett.domain.errors import ServiceUnavailableError, SignInRefusedError
from stafett.domain.export import Locale
from stafett.domain.membership import Role
from tests.support.console_world import ACTIVITY, YEAR, ConsoleWorld
from tests.support.page_markup import PageForm, PageMarkup
from tests.support.sign_in import ConsoleBrowser

_ALL_ROUTES = [route for module in ROUTE_MODULES for route in module.router.routes if isinstance(route, APIRoute)]
ROUTES = {method: [each for each in _ALL_ROUTES if method in (each.methods or ())] for method in ("GET", "POST")}
"""The routes of the console by method."""

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_OPERATOR_PATH, _FAILING_PATH = "/console/operator", "/console/accessibility"
_SIGNED_OUT = ("/console/login", "/console/accessibility", "/console/callback")
_MENTOR_FILE = "display_name;branch\r\nÅse Ødegård;Tromsø\r\n;Tromsø\r\nKari Nordmann;Oslo\r\n".encode()


class Visit(NamedTuple):
    """A request for a page by a user with a role, or by one who is not signed in."""

    name: str
    path: str
    role: Role | None = Role.ADMIN
    fields: Mapping[str, str] | None = None
    """Fields of the form that is sent, without its token."""
    is_upload: bool = False
    file: bytes = b""
    failure: Exception | None = None
    """An error that the page raises."""


def find_route(method: str, path: str) -> str | None:
    """Return the path of the first route that serves the request."""
    return next((each.path for each in ROUTES[method] if each.path_regex.match(path)), None)


def list_page_visits(world: ConsoleWorld) -> list[Visit]:
    """List the visits of all addresses that a user can enter."""
    return [*_visit_routes(world), *_visit_roles(world), *_visit_notices(world), *_visit_errors(world)]


def _visit_routes(world: ConsoleWorld) -> Iterator[Visit]:
    """Visit each route in each state of its object, and the pages below an object in its first state."""
    queries = {
        "/console/exports/check": f"?period={YEAR}&export_format=xlsx&locale=nb",
        "/console/admin/mapping/compare": "?first=1&second=2",
        _OPERATOR_PATH: f"?organisation={world.tenant.org_id}",
    }
    for route in sorted(
        ROUTES["GET"], key=lambda each: not each.path.startswith("/console/audit")
    ):  # visits add events
        states = [("", route.path)]
        for parameter in _PARAMETER.finditer(route.path):
            objects = world.objects[parameter[1]]  # a new parameter needs an object in the world
            chosen = list(objects.items())[: None if route.path.endswith("}") else 1]
            states = [(state, route.path.replace(parameter[0], str(object_id))) for state, object_id in chosen]
        name = "-".join(re.findall(r"\w+", _PARAMETER.sub("", route.path).removeprefix("/console"))) or (
            "start" if len(route.path) > 1 else "root"
        )
        for state, path in states:
            suffix = f"-{state}" if state and route.path.endswith("}") else ""
            query = queries.get(route.path, "")
            yield Visit(f"{name}{suffix}", path + query, _choose_role(path))


def _choose_role(path: str) -> Role | None:
    if path in _SIGNED_OUT or path == "/" or path.startswith("/console/login"):
        return None
    return Role.OPERATOR if path.startswith(_OPERATOR_PATH) else Role.ADMIN


def _visit_roles(world: ConsoleWorld) -> Iterator[Visit]:
    """Visit the pages that users with other roles see in another way."""
    export, report = world.objects["export_id"], world.objects["report_id"]
    waiting = f"/console/exports/{export['waiting']}"
    yield Visit("start-auditor", "/console", Role.AUDITOR)
    yield Visit("start-coordinator", "/console", Role.COORDINATOR)
    yield Visit("start-operator", "/console", Role.OPERATOR)
    yield Visit("exports-auditor", f"/console/exports/{export['completed']}", Role.AUDITOR)
    yield Visit("exports-coordinator", waiting, Role.COORDINATOR)
    yield Visit("reports-auditor", f"/console/reports/{report['submitted']}", Role.AUDITOR)
    yield Visit("mentors-auditor", "/console/mentors", Role.AUDITOR)
    yield Visit("activity-auditor", f"/console/activities/{world.objects['activity_id']['own']}", Role.AUDITOR)


def _visit_notices(world: ConsoleWorld) -> Iterator[Visit]:
    """Visit pages in states that their address gives them."""
    objects = {name: next(iter(states.values())) for name, states in world.objects.items()}
    yield Visit("login-signed-out", "/console/login?signed_out=true", None)
    yield Visit("start-year-without-activities", f"/console?year={YEAR - 5}")
    yield Visit("new-report-own-dates", f"/console/exports/new?period=dates&start={YEAR}-01-01&end={YEAR}-06-30")
    yield Visit("check-report-error", "/console/exports/check?period=dates&start=x&export_format=csv&locale=nb")
    yield Visit("mentors-nothing-found", "/console/mentors?q=x&active=no")
    yield Visit("activities-error", "/console/activities?start=x&activity=x")
    yield Visit("activities-nothing-found", f"/console/activities?start={YEAR - 5}-01-01&end={YEAR - 5}-12-31")
    year = f"/console/activities?start={YEAR}-01-01&end={YEAR}-12-31"
    yield Visit("activities-not-countable", f"{year}&cause=not-countable")
    yield Visit("activities-without-such-a-cause", f"{year}&cause=unknown")
    yield Visit("activities-without-a-mapping", "/console/activities?end=1950-12-31&cause=left-out")
    yield Visit("audit-error", f"/console/audit?start={YEAR}-02-01&end={YEAR}-01-01&job=x")
    yield Visit("audit-nothing-found", "/console/audit?event=nothing")
    yield Visit("operator-error", f"{_OPERATOR_PATH}?hours=x", Role.OPERATOR)
    yield Visit("operator-nothing-found", f"{_OPERATOR_PATH}?organisation=unknown", Role.OPERATOR)
    for kind in ("batch", "reexport"):
        yield Visit(
            f"operator-{kind}", f"{_OPERATOR_PATH}?organisation={world.tenant.org_id}&kind={kind}", Role.OPERATOR
        )
    for name, path, notices in (
        ("members", "/console/admin/members", ("invited", "role_changed", "removed")),
        ("api-keys", "/console/admin/api-keys", ("revoked",)),
        ("webhooks", "/console/admin/webhooks", ("removed",)),
        ("webhook", f"/console/admin/webhooks/{objects['webhook_id']}", ("enabled", "test_sent")),
        ("mapping", "/console/admin/mapping", ("published",)),
        ("mentor", f"/console/mentors/{objects['mentor_id']}", ("saved", "same_name")),
        ("activity", f"/console/activities/{objects['activity_id']}", ("corrected", "unchanged")),
        ("reports", "/console/reports", ("activity_deleted",)),
    ):
        for notice in notices:
            yield Visit(f"{name}-{notice.replace('_', '-')}", f"{path}?notice={notice}")
    yield Visit("erasure-mentor", f"/console/admin/erasure?mentor={objects['mentor_id']}")


def _visit_errors(world: ConsoleWorld) -> Iterator[Visit]:
    exports = world.objects["export_id"]
    yield Visit("error-403", "/console/admin", Role.COORDINATOR)
    yield Visit("error-404", "/console/nowhere", None)
    yield Visit("error-405", "/console/logout")
    yield Visit("error-409", f"/console/exports/{exports['completed']}/cancel", fields={})
    yield Visit("error-410", f"/console/exports/{exports['removed']}/file")
    yield Visit("error-422", "/console?year=x")
    yield Visit("error-429", _FAILING_PATH, None, failure=TooManyRequestsError(5))
    yield Visit("error-500", _FAILING_PATH, None, failure=RuntimeError())
    yield Visit("error-503", _FAILING_PATH, None, failure=ServiceUnavailableError("S3 (SlowDown)"))
    for status in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE):
        yield Visit(f"error-{status.value}", _FAILING_PATH, failure=HTTPException(status))
    yield Visit("error-421", _FAILING_PATH, None, failure=HTTPException(HTTPStatus.MISDIRECTED_REQUEST))
    yield Visit("error-cross-site", _FAILING_PATH, None, failure=CrossSiteRequestError())
    yield Visit("error-unknown-user", _FAILING_PATH, None, failure=SignInRefusedError("unknown_user"))
    yield Visit("error-404-signed-in", "/console/nowhere")
    yield Visit("accessibility-signed-in", "/console/accessibility")


def list_fault_visits(pages: Iterable[tuple[Visit, str]]) -> list[Visit]:
    """List a visit of each route to which the pages have a form, which sends the form with empty fields."""
    visits = dict[str, Visit]()
    for visit, form in ((visit, form) for visit, page in pages for form in PageMarkup(page).list_forms()):
        route = find_route("POST", form.action)
        assert route is not None, form
        if form.visible:
            name = f"{'-'.join(re.findall(r'[a-z]+', _PARAMETER.sub('', route).removeprefix('/console')))}-blank"
            visits.setdefault(route, Visit(name, form.action, visit.role, _send_empty(form), form.is_upload))
    return list(visits.values())


def _send_empty(form: PageForm) -> Mapping[str, str]:
    values = {name: value for name, value in form.hidden.items() if name != "form_token"}
    return values | {name: "" for name in form.visible if name != "file"}


def list_answer_visits(world: ConsoleWorld) -> list[Visit]:
    """List the visits of pages that answer a form whose fields have values. The last ones change something."""
    mentors = world.objects["mentor_id"]
    batch = ACTIVITY | {"starts_at": f"{YEAR}-04-02T10:00", "mentors": f"{mentors['active']} {mentors['inactive']}"}
    report = f"/console/reports/{world.objects['report_id']['submitted']}"
    draft, trial = "/console/admin/mapping/draft", {"start": f"{YEAR}-01-01", "end": f"{YEAR}-12-31"}
    document = {"document": world.document, "revision": "2"}
    changed = world.document.replace(
        '"effective_from"', '"attachments": {"unavailable": "report"}, "effective_from"', 1
    )
    correction = f"/console/activities/{world.objects['activity_id']['own']}/correct"
    overlapping = ACTIVITY | {"starts_at": f"{YEAR}-02-02T10:00", "revision": "0"}
    mentor, jobs = f"/console/mentors/{mentors['active']}/edit", world.objects["export_id"]
    selection = {"kind": "export", "jobs": str(jobs["waiting"]), f"attempt-{jobs['waiting']}": "1"}
    return [
        Visit("bulk-mentors", "/console/bulk/mentors", fields=batch),
        Visit("bulk-mentors-search", "/console/bulk/mentors", fields=batch | {"q": "kari", "mentors": ""}),
        Visit("bulk-check", "/console/bulk/check", fields=batch),
        Visit("bulk-check-without-mentors", "/console/bulk/check", fields=batch | {"mentors": ""}),
        Visit("bulk-upload-check", "/console/bulk/upload", fields={}, is_upload=True, file=world.batch_file()),
        Visit(
            "bulk-upload-faults", "/console/bulk/upload", fields={}, is_upload=True, file=b"mentor_id;hvem\r\nx;y\r\n"
        ),
        Visit("mentors-import-check", "/console/mentors/import", fields={}, is_upload=True, file=_MENTOR_FILE),
        Visit("mentors-import-faults", "/console/mentors/import", fields={}, is_upload=True, file=b"navn\r\nx\r\n"),
        Visit("verification-other", f"{report}/verification", fields={}, is_upload=True, file=b"another file"),
        Visit("verification-error", f"{report}/verification", fields={"sha256": "x"}, is_upload=True),
        Visit("mapping-draft-unchanged", draft, fields={}, is_upload=True, file=world.document.encode()),
        Visit("mapping-draft-changed", draft, fields={}, is_upload=True, file=changed.encode()),
        Visit("mapping-draft-faults", draft, fields={}, is_upload=True, file=b'{"format": 1, "columns": 2}'),
        Visit("mapping-draft-not-json", draft, fields={}, is_upload=True, file=b'{"format": 1,\n "columns"'),
        Visit("mapping-trial", f"{draft}/trial", fields=document | trial, is_upload=True),
        Visit("mapping-trial-error", f"{draft}/trial", fields=document | {"start": "x", "end": ""}, is_upload=True),
        Visit("activity-without-event", correction, fields=overlapping | {"event_id": "x"}),
        Visit("activity-overlapping", correction, fields=overlapping),
        Visit("activity-stale", correction, fields=ACTIVITY | {"revision": "7"}),
        Visit("mentor-stale", mentor, fields={"display_name": "Kari", "revision": "7"}),
        Visit("operator-check-cancel", f"{_OPERATOR_PATH}/check", Role.OPERATOR, selection | {"action": "cancel"}),
        Visit("operator-check-retry", f"{_OPERATOR_PATH}/check", Role.OPERATOR, selection | {"action": "retry"}),
        Visit("operator-retry", _OPERATOR_PATH, Role.OPERATOR, selection | {"action": "retry"}),
        Visit("new-api-key", "/console/admin/api-keys", fields={"name": "Lønn", "role": "coordinator", "days": "90"}),
        Visit("new-webhook", "/console/admin/webhooks", fields={"url": "https://93.184.215.14/ny"}),
        Visit(
            "mentors-import-result",
            "/console/mentors/import",
            fields={"action": "import"},
            is_upload=True,
            file=_MENTOR_FILE,
        ),
    ]


@asynccontextmanager
async def failing_page(failure: Exception | None) -> AsyncIterator[None]:
    """Let the page of the visit raise the error, for the length of the block."""

    def fail(*_args: object, **_values: object) -> None:
        assert failure is not None
        raise failure

    with pytest.MonkeyPatch.context() as patch:
        if failure is not None:
            patch.setattr(start, "render_page", fail)
        yield


class PageVisitor:
    """Users of all roles who visit pages over HTTP, and the routes that have answered them without an error."""

    def __init__(self, world: ConsoleWorld, language: Locale, stack: AsyncExitStack) -> None:
        self._world, self._language, self._stack = world, language, stack
        self._browsers = dict[Role | None, ConsoleBrowser]()
        self.answered = set[str | None]()
        """Paths of the routes that have answered a GET with a page, or led elsewhere."""
        self.failed = set[str | None]()

    async def fetch(self, visit: Visit) -> httpx.Response:
        """Fetch the page. The body is read only if it is one: an event stream has no end."""
        browser = await self._find_browser(visit.role)
        request = await self._build_request(browser, visit)
        async with failing_page(visit.failure):
            response = await browser.http.send(request, stream=True)
        try:
            if is_page(response):
                await response.aread()
        finally:
            await response.aclose()
        return response

    async def fetch_pages(self, visits: Sequence[Visit]) -> list[tuple[Visit, str]]:
        """Fetch all of them, and return those whose response is a page."""
        responses = [(visit, await self.fetch(visit)) for visit in visits]
        return [(visit, response.text) for visit, response in responses if is_page(response)]

    async def list_cookies(self, role: Role | None) -> Mapping[str, str]:
        """Return the cookies of the user with the role, with which another browser continues their session."""
        return {each.name: each.value or "" for each in (await self._find_browser(role)).http.cookies.jar}

    async def _find_browser(self, role: Role | None) -> ConsoleBrowser:
        if role not in self._browsers:
            browser = self._browsers[role] = ConsoleBrowser(self._world.origin)
            self._stack.push_async_callback(browser.http.aclose)
            browser.http.event_hooks["response"] = [self._record]
            browser.http.headers["User-Agent"] = "Lynx"
            browser.http.cookies.set("stafett-lang", self._language)
            if role is not None:
                await browser.sign_in(self._world.users[role])
        return self._browsers[role]

    async def _record(self, response: httpx.Response) -> None:
        if response.request.method == "GET" and str(response.request.url).startswith(self._world.origin):
            outcome = self.failed if response.is_error else self.answered
            outcome.add(find_route("GET", response.request.url.path))

    @staticmethod
    async def _build_request(browser: ConsoleBrowser, visit: Visit) -> httpx.Request:
        if visit.fields is None:
            return browser.http.build_request("GET", visit.path)
        headers = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin"}
        data = dict(visit.fields) | {"form_token": await browser.get_form_token()}
        files = {"file": ("file" if visit.file else "", visit.file)} if visit.is_upload else None
        return browser.http.build_request("POST", visit.path, data=data, files=files, headers=headers)


def is_page(response: httpx.Response) -> bool:
    return str(response.headers.get("content-type", "")).startswith("text/html")
