"""The pages of registrations for many peer mentors: list, state, cancel, retry and corrections."""

from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from api.concurrency import run_in_threadpool
from api.console.bulk_forms import correct_items, list_wrong_fields, show_items
from api.console.errors import redirect
from api.console.events import limit_event_streams, stream_session_events
from api.console.forms import FormErrors, InvalidFormError, RetryForm, parse_id
from api.console.item_problems import find_problems
from api.console.languages import choose_language
from api.console.new_batches import accept_batch, create_batch_key, load_mentor_names
from api.console.pages import render_page
from api.console.security import SessionForm, create_page_headers
from api.console.services import BULK_PATH, ConsoleServicesDep
from api.console.sessions import ActiveSession, CurrentSession, JobStarter
from api.dependencies import Services, ServicesDep
from api.headers import LastEventId
from api.routes.bulk_registrations import load_view
from api.schemas.bulk import BatchSummary
from stafett.bulk.service import BatchDetails, BatchFilter, ItemFilter, outcome_from_row
from stafett.database.pagination import PageToken
from stafett.database.tables import BulkBatch, BulkItem
from stafett.domain.activity import ACTIVITY_TYPES
from stafett.domain.bulk_status import BulkStatus, ItemStatus
from stafett.domain.errors import InvalidRequestError
from stafett.domain.export import Locale
from stafett.jobs.commands import require_administrator
from stafett.people.mentors import MentorFilter

router = APIRouter(prefix=BULK_PATH)
_MAX_ITEMS, _MAX_CORRECTIONS, _MAX_NAME_LENGTH = 200, 100, 100
_RETRYABLE = frozenset({BulkStatus.COMPLETED_WITH_FAILURES, BulkStatus.FAILED, BulkStatus.CANCELLED})


@router.get("")
async def list_batches(
    request: Request, session: CurrentSession, services: ServicesDep, page_token: PageToken = None
) -> Response:
    page = await run_in_threadpool(services.batches.list, session.caller, BatchFilter(page_token=page_token))
    batches = [BatchSummary.from_row(batch, session.caller) for batch in page.items]
    return render_page(request, "batches.html", session=session, batches=batches, next_page_token=page.next_page_token)


@router.get("/{batch_id:uuid}")
async def show_batch(request: Request, session: CurrentSession, services: ServicesDep, batch_id: UUID) -> Response:
    values = await run_in_threadpool(_load_page, session, services, batch_id, choose_language(request))
    return render_page(request, "batch.html", session=session, now=services.clock(), **values)


@router.get("/{batch_id:uuid}/events", dependencies=[Depends(limit_event_streams)])
async def watch_batch(
    session: CurrentSession,
    services: ServicesDep,
    console: ConsoleServicesDep,
    batch_id: UUID,
    last_event_id: LastEventId,
) -> Response:
    load = partial(load_view, services, session.caller, batch_id)
    return await stream_session_events(session, services, console, load, last_event_id)


@router.get("/{batch_id:uuid}/failed.csv")
async def download_failed_items(
    request: Request, session: CurrentSession, services: ServicesDep, batch_id: UUID
) -> Response:
    download, language = services.batches.download_failed_csv, choose_language(request)
    content = await run_in_threadpool(download, session.caller, batch_id, language)
    headers = {"Content-Disposition": f'attachment; filename="failed-{batch_id}.csv"'}
    return Response(content, media_type="text/csv", headers=create_page_headers(session) | headers)


@router.get("/{batch_id:uuid}/cancel")
async def confirm_cancel(request: Request, session: CurrentSession, services: ServicesDep, batch_id: UUID) -> Response:
    await run_in_threadpool(services.batches.find, session.caller, batch_id, needs_items=False)
    back = f"{BULK_PATH}/{batch_id}"
    return render_page(request, "confirm.html", session=session, action="cancel_batch", period=None, back=back)


@router.post("/{batch_id:uuid}/cancel")
async def cancel_batch(
    request: Request, session: CurrentSession, _form: SessionForm, services: ServicesDep, batch_id: UUID
) -> Response:
    batch = await run_in_threadpool(services.batch_commands.cancel, session.caller, batch_id)
    services.dispatcher.cancel(batch.job)
    return redirect(request, f"{BULK_PATH}/{batch_id}")


@router.get("/{batch_id:uuid}/delete")
async def confirm_delete(request: Request, session: CurrentSession, services: ServicesDep, batch_id: UUID) -> Response:
    details = await run_in_threadpool(services.batches.find, session.caller, batch_id, needs_items=False)
    require_administrator(session.caller, details.batch.org_id)
    back = f"{BULK_PATH}/{batch_id}"
    return render_page(request, "confirm.html", session=session, action="delete_batch", period=None, back=back)


@router.post("/{batch_id:uuid}/delete")
async def delete_batch(
    request: Request, session: CurrentSession, _form: SessionForm, services: ServicesDep, batch_id: UUID
) -> Response:
    await run_in_threadpool(services.batch_commands.delete, session.caller, batch_id)
    return redirect(request, BULK_PATH)


@router.post("/{batch_id:uuid}/retry")
async def retry_batch(
    request: Request, session: CurrentSession, form: SessionForm, services: ServicesDep, batch_id: UUID
) -> Response:
    key = RetryForm.parse(form).create_key(batch_id)
    batch, is_new = await run_in_threadpool(services.batch_commands.retry, session.caller, batch_id, key)
    if is_new:
        services.dispatcher.start(batch.job)
    return redirect(request, f"{BULK_PATH}/{batch_id}")


@router.get("/{batch_id:uuid}/correct")
async def show_corrections(request: Request, session: JobStarter, services: ServicesDep, batch_id: UUID) -> Response:
    """Show the failed items, each with the fields that are wrong, to change them or to leave the item out."""
    return await _render_corrections(request, session, services, batch_id, {})


@router.post("/{batch_id:uuid}/correct")
async def register_corrections(
    request: Request, session: JobStarter, form: SessionForm, services: ServicesDep, batch_id: UUID
) -> Response:
    """Register the corrected items as a batch of their own."""
    details, failed = await run_in_threadpool(_load_failed, session, services, batch_id)
    try:
        mentors = await run_in_threadpool(_find_mentors, session, services, failed, form)
        batch = correct_items(details.batch, failed, form, mentors)
        return await accept_batch(request, session, services, batch, create_batch_key(str(batch_id), batch))
    except InvalidFormError as error:
        errors = error.errors
    except InvalidRequestError:  # a field is missing that this form does not have
        errors = {"corrections": "use_csv"}
    return await _render_corrections(request, session, services, batch_id, form, errors)


def _load_page(session: ActiveSession, services: Services, batch_id: UUID, language: Locale) -> dict[str, Any]:
    caller = session.caller
    details = services.batches.find(caller, batch_id, needs_items=False)
    batch = details.batch
    is_correction = batch.corrects is not None and services.batches.exists(caller, batch.corrects)
    rows = [] if caller.is_operator else _list_rows(session, services, batch)
    items, failed = [outcome_from_row(row, language) for row in rows], [row for row in rows if row.error_code]
    return {
        "batch": BatchSummary.from_row(batch, caller),
        "corrects": batch.corrects if is_correction and not caller.is_operator else None,
        "corrected_by": () if caller.is_operator else details.corrected_by,
        "warnings": details.warnings,
        "activities": None if caller.is_operator else services.batches.summarise_activities(caller, batch),
        "period": (batch.period_start, batch.period_end),
        "items": items,
        "problems": find_problems(services, session, failed, batch.activity) if failed else {},
        "names": load_mentor_names(services, session, items) if items else {},
        "deleted_ids": services.activities.find_deleted(
            caller, [each.activity_id for each in items if each.activity_id]
        ),
        "can_command": caller.can_cancel_and_retry(batch.org_id, batch.requested_by),
        "can_correct": caller.can_start_in(batch.org_id),
        "can_retry": batch.status in _RETRYABLE and batch.failed + batch.cancelled > 0,
    }


def _list_rows(session: ActiveSession, services: Services, batch: BulkBatch) -> list[BulkItem]:
    """List the first items of those that have an outcome, failures first."""
    items = list[BulkItem]()
    for status, count in _count_outcomes(batch):
        if count and len(items) < _MAX_ITEMS:
            filters = ItemFilter(status=status, page_size=_MAX_ITEMS - len(items))
            items += services.batches.list_items(session.caller, batch.id, filters).items
    return items


def _count_outcomes(batch: BulkBatch) -> Sequence[tuple[ItemStatus, int]]:
    return (
        (ItemStatus.FAILED, batch.failed),
        (ItemStatus.CANCELLED, batch.cancelled),
        (ItemStatus.REGISTERED, batch.registered),
    )


def _load_failed(session: ActiveSession, services: Services, batch_id: UUID) -> tuple[BatchDetails, Sequence[BulkItem]]:
    details = services.batches.find(session.caller, batch_id, needs_items=False)
    filters = ItemFilter(status=ItemStatus.FAILED, page_size=_MAX_CORRECTIONS)
    return details, services.batches.list_items(session.caller, batch_id, filters).items


async def _render_corrections(
    request: Request,
    session: ActiveSession,
    services: Services,
    batch_id: UUID,
    fields: Mapping[str, str],
    errors: FormErrors | None = None,
) -> Response:
    details, failed = await run_in_threadpool(_load_failed, session, services, batch_id)
    outcomes = [outcome_from_row(item, choose_language(request)) for item in failed]
    return render_page(
        request,
        "correct_batch.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=f"{BULK_PATH}/{batch_id}/correct",
        batch=BatchSummary.from_row(details.batch, session.caller),
        rows=list(zip(failed, outcomes, map(list_wrong_fields, failed), strict=True)),
        problems=await run_in_threadpool(find_problems, services, session, failed, details.batch.activity),
        activity_types=ACTIVITY_TYPES,
        names=await run_in_threadpool(load_mentor_names, services, session, outcomes),
        fields=show_items(details.batch, failed) | dict(fields),
        errors=errors,
    )


def _find_mentors(
    session: ActiveSession, services: Services, failed: Sequence[BulkItem], fields: Mapping[str, str]
) -> Mapping[str, str]:
    """Find the active mentors whose complete names the form has in place of ids."""
    names = {fields.get(f"mentor-{item.position}", "").strip() for item in failed} - {""}
    found = {}
    for name in names:
        if len(name) <= _MAX_NAME_LENGTH and parse_id(name) is None and "\0" not in name:
            mentors = services.mentors.list(session.caller, MentorFilter(q=name, active=True)).items
            matching = [each for each in mentors if each.display_name.casefold() == name.casefold()]
            if len(matching) == 1:
                found[name] = str(matching[0].id)
    return found
