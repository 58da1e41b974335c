"""The rows that differ between two versions of a report: which, where and in what, and who may read them."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from stafett.domain.membership import Role
from stafett.reports import row_changes
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, create_tenant
from tests.support.exports import fetch_deviations
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.reexports import REPORTS, ReexportClient, add_mapping_version

Execute = Callable[..., None]


@pytest.fixture
def execute(owner_url: str) -> Execute:
    def run(statement: str, *values: object) -> None:
        with psycopg.connect(owner_url) as connection:
            connection.execute(statement.encode(), values)

    return run


async def request_changes(client: ReexportClient, report_id: str, suffix: str = ".csv", **query: Any) -> httpx.Response:
    url = f"{REPORTS}/{report_id}/changes{suffix}"
    return await client.http_client.get(url, params=query, headers=client.headers)


async def fetch_changes(client: ReexportClient, report_id: str, **query: Any) -> list[dict[str, str]]:
    response = await request_changes(client, report_id, **query)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"), newline=""), delimiter=";"))


async def test_each_difference_is_a_line_with_its_place_in_both_versions(
    reexport_client: ReexportClient, activity_factory: ActivityFactory, run_worker: RunWorker, execute: Execute
) -> None:
    mentor = activity_factory.create_mentor("Åse Ødegård")
    days = [datetime(2026, 1, day, 9, tzinfo=UTC) for day in range(5, 10)]
    removed, same, changed, moved = (activity_factory.create_activity(mentor, starts_at=day) for day in days[:4])
    async with run_worker():
        report_id = await reexport_client.create_report(export_format="xlsx")
        execute("UPDATE activities SET deleted_at = now() WHERE id = %s", removed)
        execute("UPDATE activities SET participants = 7, place = '=Vardø' WHERE id = %s", changed)
        execute(
            "UPDATE activities SET starts_at = starts_at + interval '9 days', ends_at = ends_at + interval '9 days'"
            " WHERE id = %s",
            moved,
        )
        added = activity_factory.create_activity(mentor, starts_at=days[4])
        await reexport_client.complete_reexport(report_id)
    lines = await fetch_changes(reexport_client, report_id)
    by_id = {line["activity_id"]: line for line in lines}
    assert [(line["activity_id"], line["change"], line["date"]) for line in lines] == [
        (str(removed), "removed", "05.01.2026"),
        (str(changed), "changed", "07.01.2026"),
        (str(added), "added", "09.01.2026"),
        (str(moved), "changed", "17.01.2026"),
    ]
    assert {line["mentor"] for line in lines} == {"Åse Ødegård"}
    change = by_id[str(changed)]
    assert (change["columns"], change["place"]) == ("participants place", "'=Vardø")
    assert change["differences"] == "participants: 5 → 7 · place: Tromsø → =Vardø"
    assert by_id[str(moved)]["columns"] == "starts_at"
    assert by_id[str(moved)]["differences"] == "starts_at: 08.01.2026 10:00 → 17.01.2026 10:00"
    assert [(line["counted_before"], line["counted_after"]) for line in lines] == [
        ("ja", ""),
        ("ja", "ja"),
        ("", "ja"),
        ("ja", "ja"),
    ]
    rows = [[line["row_before"], line["row_after"]] for line in lines]
    first = int(rows[0][0])
    assert rows == [
        [str(first), ""],
        [str(first + 2), str(first + 1)],
        ["", str(first + 2)],
        [str(first + 3), str(first + 3)],
    ]
    assert change["sheet_before"] == change["sheet_after"] != ""
    (_, version) = await reexport_client.list_versions(report_id)
    recorded = version["change"]
    assert (recorded["rows_added"], recorded["rows_removed"], recorded["rows_changed"]) == (1, 1, 2)
    assert await fetch_changes(reexport_client, report_id, **{"from": 1, "to": 2}) == lines
    swapped = await fetch_changes(reexport_client, report_id, **{"from": 2, "to": 1})
    assert sorted(line["change"] for line in swapped) == ["added", "changed", "changed", "removed"]
    assert str(same) not in by_id


@pytest.mark.parametrize(("mapping", "rejected", "not_countable"), [("nhf", 3, 3), ("hlf", 0, 6)])
async def test_rows_are_numbered_as_in_the_deviations_of_the_version(
    api_client: httpx.AsyncClient,
    bearer: Bearer,
    owner_url: str,
    run_worker: RunWorker,
    execute: Execute,
    mapping: str,
    rejected: int,
    not_countable: int,
) -> None:
    """One mapping rejects some activities, and each lists those that do not count in its own way."""
    tenant = create_tenant(owner_url, mapping=mapping)
    client = ReexportClient(ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator, tenant.org_id)))
    factory = ActivityFactory(owner_url, tenant.org_id)
    mentor, course = factory.create_mentor(), {"activity_type": "likepersonskurs", "participants": 0}
    kinds: list[dict[str, Any]] = [{}, course | {"new_participants": 0}, {"in_norway": False}, {}] * 3
    for day, fields in enumerate(kinds, start=1):
        factory.create_activity(mentor, starts_at=datetime(2026, 3, day, 9, tzinfo=UTC), **fields)
    async with run_worker():
        report_id = await client.create_report(export_format="xlsx")
        execute("UPDATE activities SET note = 'Rettet' WHERE org_id = %s", tenant.org_id)
        job = await client.complete_reexport(report_id)
    lines = {line["activity_id"]: line for line in await fetch_changes(client, report_id)}
    assert len(lines) == len(kinds)
    deviations = await fetch_deviations(client.export_client, job["export_id"])
    outcomes = [line["outcome"] for line in deviations]
    assert (outcomes.count("rejected"), outcomes.count("not_countable")) == (rejected, not_countable)
    for line in deviations:
        change = lines[line["activity_id"]]
        assert (change["sheet_after"], change["row_after"]) == (line["sheet"], line["row"])
    places = [(line["sheet_after"], line["row_after"]) for line in lines.values() if line["row_after"]]
    assert len(set(places)) == len(places) == len(kinds) - rejected


async def test_rows_are_read_some_at_a_time_and_none_is_lost(
    reexport_client: ReexportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    execute: Execute,
    tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_changes, "_ROWS_PER_SLICE", 3)
    mentor = activity_factory.create_mentor()
    ids = [
        activity_factory.create_activity(mentor, starts_at=datetime(2026, 2, day, 9, tzinfo=UTC))
        for day in range(1, 12)
    ]
    async with run_worker():
        report_id = await reexport_client.create_report()
        execute("UPDATE activities SET place = 'Vardø' WHERE org_id = %s", tenant.org_id)
        await reexport_client.complete_reexport(report_id)
    lines = await fetch_changes(reexport_client, report_id)
    assert [line["activity_id"] for line in lines] == list(map(str, ids))
    assert [line["row_after"] for line in lines] == [str(number) for number in range(2, 13)]


async def test_same_snapshot_and_one_version_have_no_changes(
    reexport_client: ReexportClient, report_id: str, run_worker: RunWorker
) -> None:
    alone = await request_changes(reexport_client, report_id)
    assert (alone.status_code, alone.json()["code"]) == (409, "wrong_state")
    async with run_worker():
        await reexport_client.complete_reexport(report_id, source="same_snapshot")
    assert await fetch_changes(reexport_client, report_id) == []
    unknown = await request_changes(reexport_client, report_id, to=3)
    assert [error["pointer"] for error in unknown.json()["errors"]] == ["query:to"]


async def test_changes_are_gone_with_the_file_of_a_version(
    reexport_client: ReexportClient, report_id: str, run_worker: RunWorker, tenant: Tenant, bearer: Bearer
) -> None:
    async with run_worker():
        job = await reexport_client.complete_reexport(report_id, source="same_snapshot")
    admin = bearer(tenant.users[Role.ADMIN], tenant.org_id)
    path = f"/api/v1/bufdir-exports/{job['export_id']}"
    assert (await reexport_client.http_client.delete(path, headers=admin)).status_code == 204
    response = await request_changes(reexport_client, report_id)
    assert (response.status_code, response.json()["code"]) == (410, "snapshot_gone")
    assert "version 2" in response.json()["detail"]


async def test_reading_changes_is_audited_without_names(
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    tenant: Tenant,
    owner_url: str,
    bearer: Bearer,
) -> None:
    async with run_worker():
        await reexport_client.complete_reexport(report_id, source="same_snapshot")
    await fetch_changes(reexport_client, report_id)
    auditor = bearer(tenant.users[Role.AUDITOR], tenant.org_id)
    url = f"{REPORTS}/{report_id}/changes.csv"
    assert (await reexport_client.http_client.get(url, headers=auditor)).status_code == 403
    with psycopg.connect(owner_url) as connection:
        query = "SELECT detail FROM audit_events WHERE subject_id = %s AND event = 'version_changes_read'"
        assert connection.execute(query, [report_id]).fetchall() == [({"from": 1, "to": 2},)]


async def test_activity_that_counts_because_another_was_deleted_is_changed_in_its_outcome(
    reexport_client: ReexportClient, activity_factory: ActivityFactory, run_worker: RunWorker, execute: Execute
) -> None:
    mentor = activity_factory.create_mentor()
    hours = [datetime(2026, 1, 5, hour, tzinfo=UTC) for hour in (8, 11, 14)]
    removed, counts_now, moved = (
        activity_factory.create_activity(mentor, starts_at=hour, new_participants=new)
        for hour, new in zip(hours, (1, 0, 1), strict=True)
    )
    corrected = activity_factory.create_activity(mentor, starts_at=datetime(2026, 1, 6, 9, tzinfo=UTC))
    async with run_worker():
        report_id = await reexport_client.create_report(export_format="xlsx")
        execute("UPDATE activities SET deleted_at = now() WHERE id = %s", removed)
        execute("UPDATE activities SET participants = 2 WHERE id = %s", corrected)
        job = await reexport_client.complete_reexport(report_id)
        await reexport_client.complete_reexport(
            report_id, source="same_snapshot", version=2, overrides={"locale": "en"}
        )
    lines = await fetch_changes(reexport_client, report_id, **{"from": 1, "to": 2})
    facts = ("activity_id", "change", "columns", "counted_before", "counted_after")
    assert [tuple(line[name] for name in facts) for line in lines] == [
        (str(removed), "removed", "", "ja", ""),
        (str(counts_now), "changed", "outcome", "nei", "ja"),
        (str(corrected), "changed", "participants outcome", "ja", "nei"),
    ]
    assert lines[1]["differences"].startswith("outcome: not_countable ")
    assert lines[1]["differences"].endswith(" → countable")
    assert lines[2]["differences"] == ("participants: 5 → 2 · outcome: countable → not_countable too_few_participants")
    assert str(moved) not in {line["activity_id"] for line in lines}
    deviations = await fetch_deviations(reexport_client.export_client, job["export_id"])
    assert [(line["activity_id"], line["codes"]) for line in deviations] == [(str(corrected), "too_few_participants")]
    assert await fetch_changes(reexport_client, report_id, **{"from": 2, "to": 3}) == []  # only the language differs
    changes = [version["change"] for version in (await reexport_client.list_versions(report_id))[1:]]
    assert [(change["rows_added"], change["rows_removed"], change["rows_changed"]) for change in changes] == [
        (0, 1, 2),
        (0, 0, 0),
    ]


async def test_other_reason_of_another_mapping_is_a_changed_outcome(
    reexport_client: ReexportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    tenant: Tenant,
    owner_url: str,
) -> None:
    """All activities of the same snapshot are the same; the text of a reason is compared in one language only."""
    mentor = activity_factory.create_mentor()
    abroad, _ = (
        activity_factory.create_activity(mentor, starts_at=datetime(2026, 1, day, 9, tzinfo=UTC), in_norway=in_norway)
        for day, in_norway in ((5, False), (6, True))
    )

    def edit_reason(**fields: object) -> None:
        def edit(document: Json) -> Json:
            reasons = document["counting"]["reasons"]
            edited = [each | fields if each["label"]["en"] == "Held outside Norway" else each for each in reasons]
            return document | {"counting": document["counting"] | {"reasons": edited}}

        add_mapping_version(owner_url, tenant.org_id, edit)

    async with run_worker():
        report_id = await reexport_client.create_report()
        edit_reason(label={"nb": "I utlandet", "nn": "I utlandet", "en": "Held outside Norway"})
        await reexport_client.complete_reexport(report_id)
        await reexport_client.complete_reexport(report_id, overrides={"locale": "en"})
        edit_reason(code="not_in_norway")
        await reexport_client.complete_reexport(report_id, overrides={"locale": "nn"})
    expected = {(1, 2): [(str(abroad), "outcome")], (2, 3): [], (3, 4): [(str(abroad), "outcome")]}
    for (before, after), lines in expected.items():
        found = await fetch_changes(reexport_client, report_id, **{"from": before, "to": after})
        assert [(line["activity_id"], line["columns"]) for line in found] == lines


async def test_missing_attachment_is_a_changed_outcome(
    reexport_client: ReexportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    storage: FileStorage,
    tenant: Tenant,
    owner_url: str,
) -> None:
    unavailable = {"attachments": {"unavailable": "report"}}
    add_mapping_version(owner_url, tenant.org_id, lambda document: document | unavailable)
    mentor = activity_factory.create_mentor()
    bundled, lost = (
        activity_factory.create_activity(mentor, starts_at=datetime(2026, 1, day, 9, tzinfo=UTC)) for day in (5, 6)
    )
    activity_factory.create_attachment(storage, bundled)
    key = activity_factory.create_attachment(storage, lost)
    async with run_worker():
        report_id = await reexport_client.create_report(include_attachments=True)
        storage.delete([key])
        job = await reexport_client.complete_reexport(report_id)
    assert not job["unchanged"]
    (line,) = await fetch_changes(reexport_client, report_id)
    assert (line["activity_id"], line["change"], line["columns"]) == (str(lost), "changed", "outcome")
    assert line["differences"].startswith("outcome: countable → warning ")
    assert (line["counted_before"], line["counted_after"]) == ("ja", "ja")


async def test_values_are_typed_in_json_and_notes_have_none(
    reexport_client: ReexportClient, activity_factory: ActivityFactory, run_worker: RunWorker, execute: Execute
) -> None:
    mentor = activity_factory.create_mentor("Åse Ødegård")
    activity = activity_factory.create_activity(mentor, starts_at=datetime(2026, 1, 5, 9, tzinfo=UTC))
    async with run_worker():
        report_id = await reexport_client.create_report(csv_profile="machine", locale="en")
        execute(
            "UPDATE activities SET starts_at = '2026-01-05 09:15Z', ends_at = '2026-01-05 10:00Z', in_norway = false,"
            " participants = 7, activity_type = 'annet', note = 'Secret' WHERE id = %s",
            activity,
        )
        await reexport_client.complete_reexport(report_id)
    response = await request_changes(reexport_client, report_id, suffix="")
    (item,) = response.json()["items"]
    assert response.json()["counts"] == {"added": 0, "removed": 0, "changed": 1}
    values = {column["name"]: (column["before"], column["after"]) for column in item["columns"]}
    outcome = values.pop("outcome")
    assert outcome[0] == "countable"
    assert outcome[1].startswith("not_countable ")
    assert values == {
        "activity_type": ("samtalegruppe", "annet"),
        "starts_at": ("2026-01-05T09:00:00Z", "2026-01-05T09:15:00Z"),
        "duration_minutes": (60, 45),
        "participants": (5, 7),
        "in_norway": (True, False),
        "note": (None, None),
    }
    assert (item["counted_before"], item["counted_after"]) == (True, False)
    text = (await request_changes(reexport_client, report_id)).text
    assert "Secret" not in text + response.text
    (line,) = csv.DictReader(io.StringIO(text))
    assert line["differences"] == (
        "activity_type: samtalegruppe → annet · starts_at: 2026-01-05T09:00:00Z → 2026-01-05T09:15:00Z"
        " · duration_minutes: 60 → 45 · participants: 5 → 7 · in_norway: true → false · note"
        f" · outcome: {outcome[0]} → {outcome[1]}"
    )
    assert (line["counted_before"], line["counted_after"]) == ("true", "false")


async def test_pages_of_changes_are_of_the_same_versions_and_lose_no_row(
    reexport_client: ReexportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    execute: Execute,
    tenant: Tenant,
) -> None:
    mentor = activity_factory.create_mentor()
    ids = [
        activity_factory.create_activity(mentor, starts_at=datetime(2026, 2, day, 9, tzinfo=UTC)) for day in range(1, 6)
    ]
    async with run_worker():
        report_id = await reexport_client.create_report()
        execute("UPDATE activities SET place = 'Vardø' WHERE org_id = %s", tenant.org_id)
        await reexport_client.complete_reexport(report_id)
        page = (await request_changes(reexport_client, report_id, suffix="", page_size=2)).json()
        items = page["items"]
        await reexport_client.complete_reexport(report_id, source="same_snapshot")
        while page["next_page_token"]:
            query = {"page_size": 2, "page_token": page["next_page_token"]}
            page = (await request_changes(reexport_client, report_id, suffix="", **query)).json()
            assert (page["from_version"], page["to_version"], page["counts"]["changed"]) == (1, 2, 5)
            items += page["items"]
    assert [item["activity_id"] for item in items] == list(map(str, ids))
    assert {item["row_after"] for item in items} == set(range(2, 7))
    forged = {"page_token": "W10"}
    other = await request_changes(reexport_client, report_id, suffix="", **forged)
    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (422, "query:page_token")
