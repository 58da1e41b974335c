"""Previews that are shown again while nothing has changed."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from stafett.column_mapper import validate_document
from stafett.column_mapper.versions import MappingService, MappingVersions
from stafett.database.session import Database
from stafett.domain.export import ExportRequest
from stafett.domain.export_preview import Preview, PreviewJob
from stafett.domain.membership import Caller, Role
from stafett.exports.activity_states import StateCache
from stafett.exports.preview import PreviewBuilder, take_preview
from stafett.exports.recent_previews import RecentPreviews
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, Tenant, create_tenant

YEAR = 2026
MARCH = datetime(YEAR, 3, 2, 10, tzinfo=UTC)


@pytest.fixture
def previews(api_database: Database) -> RecentPreviews:
    return RecentPreviews(api_database)


@pytest.fixture
def build(api_database: Database, worker_database: Database) -> Callable[[PreviewJob], Preview]:
    """Build a preview as a worker does."""
    builder = PreviewBuilder(worker_database, MappingVersions(worker_database), raise_if_cancelled=lambda: None)

    def build_and_take(job: PreviewJob) -> Preview:
        builder(job)
        request = job.request
        caller = Caller(user_id=request.requesting_user_id, org_id=request.org_id, role=Role.COORDINATOR)
        return take_preview(api_database, caller, job)

    return build_and_take


def create_job(tenant: Tenant, **parameters: object) -> PreviewJob:
    body = {
        "org_id": tenant.org_id,
        "requesting_user_id": tenant.coordinator,
        "export_format": "csv",
        "reporting_period": {"start": f"{YEAR}-01-01", "end": f"{YEAR}-12-31"},
    }
    return PreviewJob(preview_id=uuid4(), request=ExportRequest.model_validate(body | parameters))


def test_same_preview_is_shown_again_to_other_users_and_recorded_each_time(
    previews: RecentPreviews,
    build: Callable[[PreviewJob], Preview],
    tenant: Tenant,
    activity_factory: ActivityFactory,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor(), starts_at=MARCH)
    first = create_job(tenant)
    state = previews.load_state(first)
    assert previews.show_again(first, state) is None
    preview = build(first)
    previews.store(state, preview)
    again = create_job(tenant, requesting_user_id=tenant.users[Role.ADMIN])
    assert previews.show_again(again, previews.load_state(again)) == preview
    with psycopg.connect(owner_url) as connection:
        events = connection.execute(
            "SELECT actor, subject_id, detail FROM audit_events WHERE org_id = %s AND event = 'export_previewed'",
            [tenant.org_id],
        ).fetchall()
    detail = {"rows": 1, "mapping_version": 1}
    assert {(actor, subject) for actor, subject, _ in events} == {
        (f"user:{job.request.requesting_user_id}", job.preview_id) for job in (first, again)
    }
    assert all(detail.items() <= recorded.items() for *_, recorded in events)


def test_preview_is_built_again_after_every_change_of_what_it_shows(
    previews: RecentPreviews,
    build: Callable[[PreviewJob], Preview],
    tenant: Tenant,
    activity_factory: ActivityFactory,
    api_database: Database,
    storage: FileStorage,
    owner_url: str,
) -> None:
    mappings = MappingService(api_database)
    administrator = Caller(user_id=tenant.users[Role.ADMIN], org_id=tenant.org_id, role=Role.ADMIN)
    document = mappings.get_effective(administrator, tenant.org_id, date(YEAR, 12, 31)).mapping.document

    def execute(query: str, *values: object) -> None:
        with psycopg.connect(owner_url) as connection:
            connection.execute(query.encode(), values)

    def publish() -> None:
        changed = validate_document(document | {"effective_from": f"{YEAR}-06-01"})
        mappings.add(administrator, tenant.org_id, changed, {1})

    mentor = activity_factory.create_mentor("Ola")
    activity = activity_factory.create_activity(mentor, starts_at=MARCH)
    seen = {previews.load_state(create_job(tenant))}
    changes: list[Callable[[], object]] = [
        lambda: execute("UPDATE activities SET note = 'Nytt' WHERE id = %s", activity),
        lambda: execute("UPDATE peer_mentors SET display_name = 'Kari' WHERE id = %s", mentor),
        lambda: activity_factory.create_attachment(storage, activity),
        lambda: activity_factory.create_activity(mentor, starts_at=MARCH + timedelta(days=1)),
        lambda: execute("UPDATE activities SET deleted_at = now() WHERE id = %s", activity),
        publish,
    ]
    for number, change in enumerate(changes):
        job = create_job(tenant)
        previews.store(previews.load_state(job), build(job))
        assert previews.show_again(job, previews.load_state(job)) is not None
        change()
        state = previews.load_state(job)
        assert state not in seen, number
        assert previews.show_again(job, state) is None, number
        seen.add(state)


@pytest.mark.parametrize(
    "other",
    [
        {"export_format": "xlsx"},
        {"locale": "en"},
        {"reporting_period": {"start": f"{YEAR}-01-01", "end": f"{YEAR}-12-30"}},
    ],
    ids=["format", "language", "period"],
)
def test_preview_with_other_parameters_is_another_one(
    other: dict[str, object],
    previews: RecentPreviews,
    build: Callable[[PreviewJob], Preview],
    tenant: Tenant,
    activity_factory: ActivityFactory,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor(), starts_at=MARCH)
    job, different = create_job(tenant), create_job(tenant, **other)
    previews.store(previews.load_state(job), build(job))
    assert previews.show_again(different, previews.load_state(different)) is None


def test_empty_period_of_another_organisation_is_another_preview(
    previews: RecentPreviews, build: Callable[[PreviewJob], Preview], tenant: Tenant, owner_url: str
) -> None:
    job, other = create_job(tenant), create_job(create_tenant(owner_url))
    previews.store(previews.load_state(job), build(job))
    assert previews.show_again(job, previews.load_state(job)) is not None
    assert previews.show_again(other, previews.load_state(other)) is None


def test_results_are_removed_when_their_lifetime_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("stafett.exports.activity_states.monotonic", lambda: now)
    cache = StateCache[str, int](10, lifetime=timedelta(minutes=10))
    cache.store("a", 1)
    now += 599
    assert cache.find("a") == 1  # a use does not prolong it
    now += 1
    assert cache.find("a") is None
