"""A served console, and an organisation with an object in each state that its pages show."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from pydantic import AnyHttpUrl

from api.app import create_app
from stafett.bulk.service import BulkService
from stafett.database.session import Database
from stafett.devstack.sign_in import DevUser
from stafett.domain.bulk import BulkRequest
from stafett.domain.export import ExportRequest
from stafett.domain.export_job import RecordFailureInput
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.domain.membership import Caller, Role
from stafett.domain.reexport import ReexportRequest
from stafett.domain.reexport_job import RecordReexportFailureInput
from stafett.domain.reporting_period import OSLO
from stafett.exports.completion import ExportCompletion
from stafett.exports.service import ExportService
from stafett.exports.stage_store import StageStore
from stafett.reports.completion import ReexportCompletion
from stafett.reports.reexports import ReexportService
from stafett.settings import Settings, SignInSettings, require_setting
from stafett.temporal.client import connect
from stafett.testing import ActivityFactory, Tenant, create_operator, create_tenant
from tests.support.bulk import build_batch
from tests.support.console_forms import execute, parse_path, read_field, upload
from tests.support.console_jobs import start_report, wait_for_text
from tests.support.http_server import reserve_port, serve_app
from tests.support.sign_in import ConsoleBrowser, list_users, run_issuer
from worker import run_queue_workers

THIS_YEAR = datetime.now(OSLO).year
YEAR = THIS_YEAR - 1
"""The base year of the activities: the form of a new report suggests it."""

ACTIVITY = {
    "activity_type": "samtalegruppe",
    "starts_at": f"{YEAR}-03-02T10:00",
    "duration_minutes": "60",
    "participants": "5",
    "new_participants": "1",
    "place": "Tromsø",
    "in_person": "true",
    "in_norway": "true",
    "note": "Første møte",
    "label": "Kurskveld",
}
WEBHOOK_URL = "https://93.184.215.14/stafett"
BATCH_COLUMNS = (
    "mentor_id;activity_type;starts_at;duration_minutes;participants;new_participants;place;in_person;in_norway"
)

WriteText = Callable[[str], str]
"""Makes the text that a user writes from a plain one."""


@dataclass
class ConsoleWorld:
    """A console and its users. `objects` has the ids that pages' addresses contain, by parameter and state."""

    origin: str
    owner_url: str
    tenant: Tenant
    operator: UUID
    objects: dict[str, dict[str, object]] = field(default_factory=dict)
    document: str = ""
    """The column mapping in force."""

    @property
    def users(self) -> Mapping[Role, UUID]:
        return self.tenant.users | {Role.OPERATOR: self.operator}

    def batch_file(self) -> bytes:
        """Return a file of two registrations, the second of which fails."""
        line = f";samtalegruppe;02.04.{YEAR} 10:00;60;5;1;Tromsø;ja;ja"
        active, inactive = (self.objects["mentor_id"][state] for state in ("active", "inactive"))
        return f"{BATCH_COLUMNS}\r\n{active}{line}\r\n{inactive}{line}\r\n".encode()


@asynccontextmanager
async def open_world(
    settings: Settings, folder: Path, write: WriteText = lambda text: text
) -> AsyncIterator[ConsoleWorld]:
    """Serve a console, and create what its pages show. A worker runs for the length of the block."""
    owner_url = require_setting(settings.database.owner_url, "owner")
    tenant, operator = create_tenant(owner_url), create_operator(owner_url)
    async with AsyncExitStack() as stack:
        port = stack.enter_context(reserve_port())
        origin = port.origin
        users = [*list_users(tenant), DevUser(operator, f"{operator}@example.org", "Drift")]
        issuer = stack.enter_context(run_issuer(folder, users))
        issuer.register_console(origin)
        sign_in = SignInSettings(public_url=AnyHttpUrl(origin), issuers={"one": issuer.issuer_settings()})
        temporal = settings.temporal.model_copy(update={"ui_url": AnyHttpUrl("https://temporal.example.org")})
        served = settings.model_copy(update={"sign_in": sign_in, "temporal": temporal})
        await stack.enter_async_context(serve_app(create_app(served), port=port))
        await stack.enter_async_context(run_queue_workers(await connect(settings.temporal), settings))
        admin = ConsoleBrowser(origin)
        stack.push_async_callback(admin.http.aclose)
        await admin.sign_in(tenant.users[Role.ADMIN])
        world = ConsoleWorld(origin, owner_url, tenant, operator)
        builder = stack.enter_context(closing(_Builder(world, admin, settings, write)))
        await builder.build()
        yield world


class _Builder:
    """Creates the objects as their users do, and those in a state that does not last with the services themselves."""

    def __init__(self, world: ConsoleWorld, admin: ConsoleBrowser, settings: Settings, write: WriteText) -> None:
        self._world, self._admin, self._write = world, admin, write
        self._org_id = world.tenant.org_id
        self._caller = Caller(user_id=world.tenant.users[Role.ADMIN], org_id=self._org_id, role=Role.ADMIN)
        self._api = Database(require_setting(settings.database.api_url, "api"), pool_size=2)
        self._worker = Database(require_setting(settings.database.worker_url, "worker"), pool_size=2)
        self._factory = ActivityFactory(world.owner_url, self._org_id)

    def close(self) -> None:
        self._api.close()
        self._worker.close()

    async def build(self) -> None:
        objects = self._world.objects
        execute(
            self._world.owner_url,
            "UPDATE organisations SET name = %s WHERE id = %s",
            self._write("Prøveforbundet"),
            self._org_id,
        )
        # Added at different times, so that the list of members has one order.
        execute(
            self._world.owner_url,
            "UPDATE memberships SET created_at = created_at - length(role) * interval '1 minute' WHERE org_id = %s",
            self._org_id,
        )
        objects["mentor_id"] = dict(self._create_mentors())
        self._create_activities()
        objects["version"] = {"first": 1, "second": await self._publish_mapping()}
        objects["batch_id"] = await self._create_batches()
        objects["activity_id"] = await self._choose_activities()
        objects["export_id"], reports = await self._create_exports()
        objects["report_id"], objects["reexport_id"] = await self._create_versions(reports)
        objects["notification_id"] = {
            "unread": self._fetch_id("SELECT id FROM notifications WHERE org_id = %s LIMIT 1")
        }
        objects["webhook_id"] = await self._create_webhooks()
        objects["key_id"] = {"key": await self._create_key()}
        objects["user_id"] = await self._create_members()
        objects |= {"provider_name": {"one": "one"}, "name": {"stylesheet": "console.css"}}
        execute(
            self._world.owner_url,
            "INSERT INTO audit_verifications VALUES (%s, now(), 3, NULL, NULL, 2, now())",
            self._org_id,
        )

    def _fetch_id(self, query: str) -> UUID:
        with psycopg.connect(self._world.owner_url) as connection:
            row = connection.execute(query.encode(), [self._org_id]).fetchone()
        assert row is not None
        (row_id,) = row
        assert isinstance(row_id, UUID)
        return row_id

    def _create_mentors(self) -> Mapping[str, UUID]:
        create, write = self._factory.create_mentor, self._write
        self._busy = create(write("Ola Hansen"))
        return {
            "active": create(write("Kari Nordmann"), branch=write("Tromsø lokallag")),
            "inactive": create(write("Per Olsen"), active=False, branch=write("Oslo lokallag")),
        }

    def _create_activities(self) -> None:
        place, note = self._write("Tromsø kommune"), self._write("Første møte")
        kinds = (("samtalegruppe", 5), ("samtalegruppe", 2), ("telefonsamtale", 1), ("oppsokende_samtale", 1))
        for year in (YEAR, THIS_YEAR):
            for month, (kind, participants) in enumerate(kinds, start=1):
                self._factory.create_activity(
                    self._busy,
                    starts_at=datetime(year, month, 2, 10, tzinfo=OSLO),
                    activity_type=kind,
                    participants=participants,
                    place=place,
                    note=note,
                )
        starts_at, ends_at = datetime(YEAR, 5, 2, 10, tzinfo=OSLO), datetime(YEAR, 5, 4, 10, tzinfo=OSLO)
        self._factory.create_activity(self._busy, starts_at=starts_at, ends_at=ends_at, place=place)  # with a warning

    async def _publish_mapping(self) -> int:
        address = "/console/admin/mapping/versions/1/document.json"
        document = (await self._admin.get(address)).json()
        document["title"] = self._write("Kolonner med kommune")
        for column in document["columns"]:
            column["header"]["nb"] = self._write(column["header"]["nb"])[:200]
        page = (await upload(self._admin, "/console/admin/mapping/draft", json.dumps(document).encode())).text
        fields = {name: read_field(page, name) for name in ("document", "revision")}
        fields |= {"effective_from": f"{YEAR}-01-01", "confirm_past": "true"}
        parse_path(await upload(self._admin, "/console/admin/mapping/draft/publication", None, **fields))
        self._world.document = fields["document"]
        return 2

    async def _create_batches(self) -> dict[str, object]:
        mentors = self._world.objects["mentor_id"]
        fields = ACTIVITY | {"label": self._write(ACTIVITY["label"]), "place": self._write(ACTIVITY["place"])}
        states = dict[str, object]()
        for state, day, chosen, text in (
            ("partly-failed", 3, mentors.values(), "Registered, with failures"),
            ("completed", 4, [mentors["active"]], "All registered"),
        ):
            start = f"{YEAR}-03-0{day}T10:00"
            form = fields | {"starts_at": start, "mentors": " ".join(map(str, chosen))}
            path = parse_path(await self._admin.submit("/console/bulk", **form))
            await wait_for_text(self._admin, path, text)
            states[state] = path.rpartition("/")[2]
        request = build_batch(self._org_id, [mentors["active"]], label=self._write("Venter"))
        waiting = BulkService(self._api).accept(self._caller, BulkRequest.model_validate(request)).batch.id
        return states | {"waiting": waiting}

    async def _choose_activities(self) -> dict[str, object]:
        """Choose an activity of a batch and one of a mentor, and delete one of another batch."""
        query = "SELECT id FROM activities WHERE org_id = %s AND deleted_at IS NULL AND"
        batches = self._world.objects["batch_id"]
        deleted = self._fetch_id(f"{query} batch_id = '{batches['partly-failed']}'")
        page = (await self._admin.get(f"/console/activities/{deleted}/delete")).text
        parse_path(
            await self._admin.submit(f"/console/activities/{deleted}/delete", revision=read_field(page, "revision"))
        )
        return {
            "registered": self._fetch_id(f"{query} batch_id = '{batches['completed']}'"),
            "own": self._fetch_id(f"{query} batch_id IS NULL ORDER BY starts_at LIMIT 1"),
        }

    async def _create_exports(self) -> tuple[dict[str, object], dict[str, str]]:
        exports, reports = dict[str, object](), dict[str, str]()
        for state, period, text in (
            ("completed", f"{YEAR}", "The report is ready."),
            ("removed", f"{YEAR}-H1", "The report is ready."),
            ("empty", f"{YEAR - 1}", "there were no activities"),
        ):
            path = await start_report(self._admin, period=period)
            page = await wait_for_text(self._admin, path, text)
            exports[state] = path.rpartition("/")[2]
            if state != "empty":
                reports[state] = page.split('href="/console/reports/')[1][:36]
        not_handed_in = await start_report(self._admin, period=f"{YEAR}-01")
        await wait_for_text(self._admin, not_handed_in, "The report is ready.")
        removal = "UPDATE exports SET removal_started_at = now(), files_removed_at = now() WHERE id = %s"
        execute(self._world.owner_url, removal, exports["removed"])
        return exports | self._create_lasting_exports(), reports

    def _create_lasting_exports(self) -> dict[str, object]:
        """Create exports for which no workflow is started, so that they stay in their state."""
        period = {"start": f"{YEAR}-01-01", "end": f"{YEAR}-12-31"}
        request = {"org_id": self._org_id, "requesting_user_id": self._caller.user_id, "reporting_period": period}
        service, stages, completion = (
            ExportService(self._api),
            StageStore(self._worker),
            ExportCompletion(self._worker),
        )
        jobs = [
            service.accept(self._caller, ExportRequest.model_validate(request | {"export_format": "xlsx"})).export.job
            for _ in range(4)
        ]
        running, failed, cancelled, _waiting = jobs
        for job in (running, failed):
            stages.start_stage(job, ExportStatus.QUERYING_ACTIVITIES)
        stages.record_progress(running, ExportStatus.QUERYING_ACTIVITIES, 1200, 5000)
        code, message = ExportErrorCode.STORAGE_UNAVAILABLE, "It failed."
        completion.fail(RecordFailureInput(job=failed, code=code, message=message, retryable=True))
        completion.begin_cancel(cancelled)
        completion.finish_cancel(cancelled)
        return {
            state: job.export_id for state, job in zip(("running", "failed", "cancelled", "waiting"), jobs, strict=True)
        }

    async def _create_versions(self, reports: Mapping[str, str]) -> tuple[dict[str, object], dict[str, object]]:
        path = f"/console/reports/{reports['completed']}"
        self._factory.create_activity(self._busy, starts_at=datetime(YEAR, 6, 2, 10, tzinfo=OSLO))
        form = {"source": "current_data", "reason": self._write("En aktivitet kom sent"), "key": str(uuid4())}
        job = parse_path(await self._admin.submit(f"{path}/versions", **form))
        await wait_for_text(self._admin, job, "Version 2 of the report is ready.")
        submission = {"submitted_on": f"{THIS_YEAR}-02-01", "submitted_reference": self._write("27/1234")}
        revision = read_field((await self._admin.get(path)).text, "revision")
        parse_path(await self._admin.submit(f"{path}/submission", **submission, revision=revision))
        service = ReexportService(self._api)
        accept = [
            service.accept(self._caller, ReexportRequest(report_id=UUID(report))).reexport
            for report in reports.values()
        ]
        failed, waiting = accept
        code, message = ExportErrorCode.INTERNAL, "It failed."
        ReexportCompletion(self._worker, remove_files=lambda _job: True).fail(
            RecordReexportFailureInput(job=failed.job, code=code, message=message, retryable=True)
        )
        states = {"completed": job.rpartition("/")[2], "failed": failed.id, "waiting": waiting.id}
        return {"submitted": reports["completed"], "ready": reports["removed"]}, states

    async def _create_webhooks(self) -> dict[str, object]:
        address, states = "/console/admin/webhooks", dict[str, object]()
        for state in ("disabled", "enabled"):
            fields = {"url": f"{WEBHOOK_URL}/{state}", "description": self._write(f"Mottaker {state}")}
            page = (await self._admin.submit(address, **fields, page=str(uuid4()))).text
            states[state] = page.split(f'href="{address}/')[1][:36]
        execute(self._world.owner_url, "UPDATE webhooks SET disabled_at = now() WHERE id = %s", states["disabled"])
        for state, error in (("delivered", None), ("failed", "http_503")):
            execute(
                self._world.owner_url,
                "INSERT INTO deliveries (id, org_id, notification_id, webhook_id, channel, state, attempts, last_error,"
                " last_tried_at, settled_at) SELECT gen_random_uuid(), org_id, id, %s, 'webhook', %s, 1, %s, now(),"
                " CASE WHEN %s::varchar IS NULL THEN now() END FROM notifications WHERE id = %s",
                *(states["enabled"], state, error, error, self._world.objects["notification_id"]["unread"]),
            )
        return states

    async def _create_key(self) -> UUID:
        fields = {"name": self._write("Nattlig eksport"), "role": "coordinator", "days": "90", "page": str(uuid4())}
        await self._admin.submit("/console/admin/api-keys", **fields)
        return self._fetch_id("SELECT id FROM api_keys WHERE org_id = %s")

    async def _create_members(self) -> dict[str, object]:
        fields = {"address": f"ny@{self._org_id}.example", "display_name": self._write("Nina Ny"), "role": "auditor"}
        parse_path(await self._admin.submit("/console/admin/members", **fields))
        invited = self._fetch_id(
            "SELECT id FROM users JOIN memberships ON user_id = id WHERE org_id = %s AND email LIKE 'ny@%%'"
        )
        return {"invited": invited, "own": self._caller.user_id}
