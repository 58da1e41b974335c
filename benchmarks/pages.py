"""Time that the server takes for each page of the console, for one user at a time."""

import hashlib
import re
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import LiteralString
from uuid import uuid4

import httpx
import psycopg
from psycopg import Connection

from api.console.cookies import SecretCookie
from benchmarks.api_load import run_quiet_stack, wait_until_healthy
from benchmarks.console_data import ORGANISATION, YEAR, ConsoleObjects, JobCounts, create_jobs
from benchmarks.cores import Cores, run_on
from stafett.devstack.stack_file import load_stack_file
from stafett.seed.organisations import OPERATOR_EMAIL, dev_user_id

_FORM_TOKEN = re.compile(r'name="form_token" value="([0-9a-f]{64})"')
_WARM_UP_REQUESTS = 3
_ALL_MENTORS = "all of the batch"
_ADDRESSES = {
    "admin": f"admin@{ORGANISATION}.example",
    "auditor": f"auditor@{ORGANISATION}.example",
    "operator": OPERATOR_EMAIL,
}


@dataclass(frozen=True)
class PageLoad:
    """The organisation's rows, and the number of requests for each page."""

    jobs: JobCounts
    requests: int


FULL = PageLoad(JobCounts(activities=50_000, exports=600, reexports=200, batches=200, mentors_per_batch=200), 40)
TINY = PageLoad(JobCounts(activities=200, exports=3, reexports=2, batches=2, mentors_per_batch=4), 2)


@dataclass(frozen=True)
class MeasuredPage:
    """A page: its path with the parameters of its route, the user who opens it, and the form that it answers."""

    route: str
    user: str = "admin"
    query: str = ""
    form: Mapping[str, str] | None = None
    limit_ms: int = 100
    change: tuple[str, LiteralString] | None = None
    """What happens before each request, and the statement that does it."""

    @property
    def name(self) -> str:
        path = re.sub(r":\w+}", "}", self.route)
        name = f"`{'POST ' if self.form is not None else ''}{path}{'?' if self.query else ''}{self.query}`"
        return f"{name}, {self.change[0]}" if self.change else name


_ACTIVITY = {
    "activity_type": "samtalegruppe",
    "starts_at": f"{YEAR + 1}-03-02T10:00",
    "duration_minutes": "60",
    "participants": "5",
    "new_participants": "1",
    "place": "Tromsø",
    "in_person": "true",
    "in_norway": "true",
}
_CHANGE_ACTIVITY: LiteralString = """
UPDATE activities SET note = note WHERE id = (SELECT id FROM activities WHERE org_id = %s ORDER BY random() LIMIT 1)
"""
_CHANGE_MENTORS: LiteralString = "UPDATE peer_mentors SET branch = branch WHERE org_id = %s"
PAGES: Sequence[MeasuredPage] = (
    MeasuredPage("/console/login"),
    MeasuredPage("/console/accessibility"),
    MeasuredPage("/console", limit_ms=300),
    MeasuredPage("/console", limit_ms=300, change=("after a change of an activity", _CHANGE_ACTIVITY)),
    MeasuredPage("/console", limit_ms=300, change=("after a change of all peer mentors", _CHANGE_MENTORS)),
    MeasuredPage("/console", query=f"year={YEAR - 1}", limit_ms=300),
    MeasuredPage("/console/organisation"),
    MeasuredPage("/console/sessions"),
    MeasuredPage("/console/notifications"),
    MeasuredPage("/console/exports/new"),
    MeasuredPage("/console/exports/check", query=f"period={YEAR}&export_format=csv&locale=nb"),
    MeasuredPage("/console/exports/check", query=f"period={YEAR}-01&export_format=csv&locale=nb"),
    MeasuredPage(
        "/console/exports/check",
        query=f"period={YEAR}&export_format=csv&locale=nb",
        change=("after a change of an activity", _CHANGE_ACTIVITY),
    ),
    MeasuredPage("/console/exports"),
    MeasuredPage("/console/exports/{export_id:uuid}"),
    MeasuredPage("/console/exports/{export_id:uuid}/cancel"),
    MeasuredPage("/console/exports/{export_id:uuid}/delete"),
    MeasuredPage("/console/reports"),
    MeasuredPage("/console/reports/{report_id:uuid}"),
    MeasuredPage("/console/reports/{report_id:uuid}/submission/clear"),
    MeasuredPage("/console/reports/{report_id:uuid}/versions/check"),
    MeasuredPage("/console/reports/{report_id:uuid}/changes"),
    MeasuredPage("/console/reexports/{reexport_id:uuid}"),
    MeasuredPage("/console/reexports/{reexport_id:uuid}/cancel"),
    MeasuredPage("/console/bulk"),
    MeasuredPage("/console/bulk/new"),
    MeasuredPage("/console/bulk/mentors", form=_ACTIVITY | {"action": "all"}),
    MeasuredPage("/console/bulk/check", form=_ACTIVITY | {"mentors": _ALL_MENTORS}),
    MeasuredPage("/console/bulk/upload"),
    MeasuredPage("/console/bulk/{batch_id:uuid}"),
    MeasuredPage("/console/bulk/{batch_id:uuid}/cancel"),
    MeasuredPage("/console/bulk/{batch_id:uuid}/delete"),
    MeasuredPage("/console/bulk/{batch_id:uuid}/correct"),
    MeasuredPage("/console/activities"),
    MeasuredPage("/console/activities", query=f"start={YEAR}-03-01&end={YEAR}-03-31"),
    MeasuredPage("/console/activities", query=f"start={YEAR}-01-01&end={YEAR}-12-31&cause=not-countable"),
    MeasuredPage("/console/activities", query=f"start={YEAR}-01-01&end={YEAR}-12-31&cause=no_such_cause"),
    MeasuredPage("/console/activities/{activity_id:uuid}"),
    MeasuredPage("/console/activities/{activity_id:uuid}/correct"),
    MeasuredPage("/console/activities/{activity_id:uuid}/delete"),
    MeasuredPage("/console/mentors"),
    MeasuredPage("/console/mentors", query="q=an"),
    MeasuredPage("/console/mentors/new"),
    MeasuredPage("/console/mentors/import"),
    MeasuredPage("/console/mentors/{mentor_id:uuid}"),
    MeasuredPage("/console/mentors/{mentor_id:uuid}/edit"),
    MeasuredPage("/console/admin"),
    MeasuredPage("/console/admin/organisation"),
    MeasuredPage("/console/admin/erasure"),
    MeasuredPage("/console/admin/members"),
    MeasuredPage("/console/admin/members/new"),
    MeasuredPage("/console/admin/members/{user_id:uuid}"),
    MeasuredPage("/console/admin/members/{user_id:uuid}/remove"),
    MeasuredPage("/console/admin/api-keys"),
    MeasuredPage("/console/admin/api-keys/new"),
    MeasuredPage("/console/admin/api-keys/{key_id:uuid}/revoke"),
    MeasuredPage("/console/admin/webhooks"),
    MeasuredPage("/console/admin/webhooks/new"),
    MeasuredPage("/console/admin/webhooks/{webhook_id:uuid}"),
    MeasuredPage("/console/admin/webhooks/{webhook_id:uuid}/secret"),
    MeasuredPage("/console/admin/webhooks/{webhook_id:uuid}/remove"),
    MeasuredPage("/console/admin/mapping"),
    MeasuredPage("/console/admin/mapping/compare", query="first=1&second=2"),
    MeasuredPage("/console/admin/mapping/draft"),
    MeasuredPage("/console/admin/mapping/versions/{version}"),
    MeasuredPage("/console/audit", user="auditor"),
    MeasuredPage("/console/audit", user="auditor", query="event=export_requested"),
    MeasuredPage("/console/audit", user="auditor", query="actor=00000000"),
    MeasuredPage("/console/audit", user="auditor", query=f"start={YEAR}-01-01&end={YEAR}-12-31"),
    MeasuredPage("/console/operator", user="operator"),
    MeasuredPage("/console/operator", user="operator", query="kind=export&status=failed"),
    MeasuredPage("/console/operator", user="operator", query="kind=batch"),
)


@dataclass
class PageTimes:
    """The duration of each request for a page."""

    page: MeasuredPage
    durations_ms: list[float] = field(default_factory=list)
    size: int = 0

    @property
    def median_ms(self) -> float:
        return statistics.median(self.durations_ms)

    @property
    def is_slow(self) -> bool:
        return self.median_ms > self.page.limit_ms

    def __str__(self) -> str:
        verdict = "**above**" if self.is_slow else ""
        return (
            f"| {self.page.name} | {self.page.user} | {self.median_ms:.1f} | {max(self.durations_ms):.1f} | "
            f"{self.size / 1000:.0f} | {self.page.limit_ms} | {verdict} |"
        )


async def run(load: PageLoad) -> list[str]:
    cores = Cores.from_machine()
    with tempfile.TemporaryDirectory(prefix="stafett-bench-") as name, run_quiet_stack(Path(name), cores) as api_url:
        folder = Path(name)
        await wait_until_healthy(api_url)
        objects = create_jobs(folder, api_url, load.jobs)
        with run_on(cores.clients):
            times = [*_measure_pages(load_stack_file(folder).database_url, api_url, objects, load.requests)]
    return [_format_table(load, cores, times)]


def _measure_pages(database_url: str, api_url: str, objects: ConsoleObjects, requests: int) -> Iterator[PageTimes]:
    with ExitStack() as stack:
        owner = stack.enter_context(psycopg.connect(database_url, autocommit=True))
        clients = {user: stack.enter_context(_sign_in(database_url, api_url, user)) for user in _ADDRESSES}
        for page in PAGES:
            yield _measure(clients[page.user], page, objects, requests, owner)


@contextmanager
def _sign_in(database_url: str, api_url: str, user: str) -> Iterator[httpx.Client]:
    """Insert a session, and open a client with its cookie."""
    secret, cookie = secrets.token_urlsafe(32), SecretCookie("stafett", api_url, timedelta(hours=1))
    row = [uuid4(), hashlib.sha256(secret.encode()).hexdigest(), dev_user_id(_ADDRESSES[user])]
    organisation = None if user == "operator" else ORGANISATION
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO user_sessions (id, token_sha256, user_id, org_id, provider, id_token, browser,"
            " idle_expires_at, expires_at) VALUES (%s, %s, %s, %s, 'development', '-', 'benchmark',"
            " now() + interval '1 hour', now() + interval '1 hour')",
            [*row, organisation],
        )
    headers = {"Cookie": f"{cookie.name}={secret}", "Origin": api_url, "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=api_url, headers=headers, timeout=120) as client:
        yield client


def _measure(
    client: httpx.Client, page: MeasuredPage, objects: ConsoleObjects, requests: int, owner: Connection
) -> PageTimes:
    path = re.sub(r"{(\w+)[^}]*}", lambda match: objects.ids[match[1]], page.route)
    request = client.build_request("GET", path, params=page.query or None)
    if page.form is not None:
        request = client.build_request("POST", path, data=_fill_form(client, page.form, objects))
    times = PageTimes(page)
    for number in range(-_WARM_UP_REQUESTS, requests):
        if page.change:
            owner.execute(page.change[1], [ORGANISATION])
        started = time.perf_counter()
        response = client.send(request)
        if number >= 0:
            times.durations_ms.append(1000 * (time.perf_counter() - started))
        if response.status_code != httpx.codes.OK:
            raise RuntimeError(f"{page.name} answers {response.status_code}")
        times.size = len(response.content)
    return times


def _fill_form(client: httpx.Client, form: Mapping[str, str], objects: ConsoleObjects) -> dict[str, str]:
    token = _FORM_TOKEN.search(client.get("/console/sessions").raise_for_status().text)
    if token is None:
        raise RuntimeError("The page of sessions has no form.")
    mentors = {"mentors": " ".join(objects.mentors)} if form.get("mentors") == _ALL_MENTORS else {}
    return {"form_token": token[1]} | dict(form) | mentors


def _format_table(load: PageLoad, cores: Cores, times: Sequence[PageTimes]) -> str:
    slow = [each for each in times if each.is_slow]
    summary = f"{len(slow)} of {len(times)} pages are above their limit." if slow else "No page is above its limit."
    return "\n".join(
        [
            str(load.jobs),
            "",
            f"{cores}\nEach page is loaded {load.requests} times by one client; the API writes no request log.",
            "",
            f"{summary} The limit is for the median.",
            "",
            "| page | user | p50, ms | longest, ms | kB | limit, ms | |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *map(str, times),
            "",
        ]
    )
