"""The pages of activities: list, correct and delete."""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Self
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import model_validator

from api.concurrency import OccupyingUse, run_in_threadpool
from api.console.bulk_forms import CorrectionForm
from api.console.errors import redirect
from api.console.forms import ConsoleForm, Day, FormErrors, InvalidFormError, RevisionForm, create_field_error, parse_id
from api.console.languages import choose_language
from api.console.pages import render_page
from api.console.reports import Reader
from api.console.security import SessionForm
from api.console.services import ACTIVITIES_PATH, REPORTS_PATH
from api.console.sessions import ActiveSession, ActivityCorrector
from api.dependencies import Services, ServicesDep
from api.rate_limit import TooManyRequestsError
from stafett.bulk.activities import ActivityDetails, ActivityFilter
from stafett.database.pagination import PageToken
from stafett.database.tables import Activity
from stafett.domain.activity import ACTIVITY_TYPES
from stafett.domain.errors import ExportError, OverlappingActivityError
from stafett.domain.reporting_period import OSLO, ReportingPeriod

router = APIRouter(prefix=ACTIVITIES_PATH)
_ID_PREFIX = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{1,4}){0,6}", re.ASCII)
_MINUTE = timedelta(minutes=1)


class PeriodForm(ConsoleForm):
    """The days between which the listed activities start."""

    start: Day | None = None
    end: Day | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.start and self.end and self.end < self.start:
            raise create_field_error("end", "period_order")
        return self

    def to_period(self, today: date) -> ReportingPeriod:
        """Return the period; a day that is not given is the first or the last one of the other day's year."""
        year = (self.end or self.start or today).year
        return ReportingPeriod(start=self.start or date(year, 1, 1), end=self.end or date(year, 12, 31))


@router.get("")
async def list_activities(
    request: Request,
    session: Reader,
    services: ServicesDep,
    *,
    start: Annotated[str, Query(max_length=100)] = "",
    end: Annotated[str, Query(max_length=100)] = "",
    activity: Annotated[str, Query(max_length=100)] = "",
    cause: Annotated[str, Query(max_length=200)] = "",
    page_token: PageToken = None,
) -> Response:
    """List the activities of a period, all of them or those with a cause, or lead to the one with an id."""
    fields, errors = {"start": start, "end": end, "activity": activity.strip(), "cause": cause}, dict[str, str]()
    period = PeriodForm()
    if activity_id := parse_id(fields["activity"]):
        return redirect(request, f"{ACTIVITIES_PATH}/{activity_id}")
    if prefix := _read_prefix(fields["activity"]):
        filters = ActivityFilter(id_prefix=prefix, page_size=2)
        found = (await run_in_threadpool(services.activities.list, session.caller, filters)).items
        if len(found) == 1:
            return redirect(request, f"{ACTIVITIES_PATH}/{found[0].activity.id}")
    try:
        period = PeriodForm.parse(fields)
    except InvalidFormError as error:
        errors |= error.errors
    if fields["activity"]:
        errors["activity"] = "activity_unknown" if prefix else "id_invalid"
    values: dict[str, Any] = {"activities": (), "outcomes": None, "cause_filters": None, "mapping_error": None}
    if not errors:
        values |= await _load_list(request, session, services, period, cause, page_token)
    next_token = values.pop("next_page_token", None)
    query = {name: fields[name] for name in ("start", "end", "cause") if fields[name]}
    return render_page(
        request,
        "activities.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        fields=fields,
        errors=errors,
        list_query=urlencode(query | ({"page_token": page_token} if page_token else {})),
        next_query=urlencode(query | {"page_token": next_token}) if next_token else None,
        **values,
    )


@router.get("/{activity_id:uuid}")
async def show_activity(
    request: Request,
    session: Reader,
    services: ServicesDep,
    activity_id: UUID,
    notice: Annotated[str, Query()] = "",
    back: Annotated[str, Query(max_length=1000)] = "",
) -> Response:
    details = await run_in_threadpool(services.activities.find, session.caller, activity_id)
    batch_id = details.activity.batch_id
    outcome = await _find_outcome(request, session, services, details.activity)
    has_batch = batch_id is not None and await run_in_threadpool(services.batches.exists, session.caller, batch_id)
    return render_page(
        request,
        "activity.html",
        session=session,
        activity=details.activity,
        batch_id=batch_id if has_batch else None,
        mentor_name=details.mentor_name,
        minutes=_count_minutes(details.activity),
        notice=notice,
        list_query=urlencode(parse_qsl(back)),
        is_in_future=details.activity.starts_at > services.clock(),
        **outcome,
    )


@router.get("/{activity_id:uuid}/correct")
async def show_correction(
    request: Request, session: ActivityCorrector, services: ServicesDep, activity_id: UUID
) -> Response:
    details = await run_in_threadpool(services.activities.find, session.caller, activity_id)
    return _render_form(request, session, details, _show_fields(details.activity))


@router.post("/{activity_id:uuid}/correct")
async def correct_activity(
    request: Request, session: ActivityCorrector, form: SessionForm, services: ServicesDep, activity_id: UUID
) -> Response:
    """Correct the activity, unless another user has changed it since the page was made."""
    details = await run_in_threadpool(services.activities.find, session.caller, activity_id)
    revision, year = RevisionForm.parse(form).revision, _get_base_year(details.activity)
    try:
        correction = CorrectionForm.parse(form).build_correction(_show_fields(details.activity))
        correct = services.activities.correct
        corrected = await run_in_threadpool(correct, session.caller, activity_id, correction, {revision})
    except InvalidFormError as error:
        return _render_form(request, session, details, form, error.errors)
    except OverlappingActivityError:
        return _render_form(request, session, details, form, {"starts_at": "overlapping"})
    if corrected.activity.edits == revision:
        notice = "unchanged"
    else:
        is_same_year = _get_base_year(corrected.activity) == year
        notice = "corrected" if is_same_year else "moved"
    return redirect(request, f"{ACTIVITIES_PATH}/{activity_id}?notice={notice}")


@router.get("/{activity_id:uuid}/delete")
async def confirm_deletion(
    request: Request, session: ActivityCorrector, services: ServicesDep, activity_id: UUID
) -> Response:
    details = await run_in_threadpool(services.activities.find, session.caller, activity_id)
    activity, mentor_name = details
    return render_page(request, "delete_activity.html", session=session, activity=activity, mentor_name=mentor_name)


@router.post("/{activity_id:uuid}/delete")
async def delete_activity(
    request: Request, session: ActivityCorrector, form: SessionForm, services: ServicesDep, activity_id: UUID
) -> Response:
    """Delete the activity as the page has shown it, and lead to the reports, of which new versions can be made."""
    revisions = {RevisionForm.parse(form).revision}
    await run_in_threadpool(services.activities.delete, session.caller, activity_id, revisions)
    return redirect(request, f"{REPORTS_PATH}?notice=activity_deleted")


async def _load_list(
    request: Request,
    session: ActiveSession,
    services: Services,
    form: PeriodForm,
    cause: str,
    page_token: str | None,
) -> dict[str, Any]:
    """Load a page of the activities, and the causes by which they can be filtered."""
    caller, language = session.caller, choose_language(request)
    today = services.clock().astimezone(OSLO).date()
    filters = ActivityFilter(period_start=form.start, period_end=form.end, page_token=None if cause else page_token)
    values: dict[str, Any] = {}
    try:
        period = form.to_period(today)
        values["cause_filters"] = await run_in_threadpool(
            services.activity_outcomes.list_filters, caller, period, language
        )
        if cause:
            with services.concurrency.occupy(OccupyingUse.PREVIEWS, caller):
                listed = await run_in_threadpool(
                    services.activity_outcomes.list, caller, period, cause, language, page_token
                )
            return values | {"outcomes": listed, "period": period, "next_page_token": listed.page.next_page_token}
    except ExportError as error:
        if cause:
            return values | {"mapping_error": error.code}
    page = await run_in_threadpool(services.activities.list, caller, filters)
    return values | {"activities": page.items, "next_page_token": page.next_page_token}


async def _find_outcome(
    request: Request, session: ActiveSession, services: Services, activity: Activity
) -> dict[str, Any]:
    """Find whether the activity counts in the report of its year, as the report would state it now."""
    year = _get_base_year(activity)
    none: dict[str, Any] = {"year": year, "outcome": None, "outcome_error": None}
    try:
        with services.concurrency.occupy(OccupyingUse.PREVIEWS, session.caller):
            outcome = await run_in_threadpool(
                services.activity_outcomes.find, session.caller, activity, choose_language(request)
            )
    except ExportError as error:
        return none | {"outcome_error": error.code}
    except TooManyRequestsError:
        return none | {"outcome_error": "busy"}
    return none | {"outcome": outcome}


def _read_prefix(text: str) -> str:
    """Return the digits with which an id begins, or nothing if the text is none or too short."""
    return text.replace("-", "").lower() if _ID_PREFIX.fullmatch(text) else ""


def _get_base_year(activity: Activity) -> int:
    return activity.starts_at.astimezone(OSLO).year


def _count_minutes(activity: Activity) -> int:
    return (activity.ends_at - activity.starts_at) // _MINUTE


def _show_fields(activity: Activity) -> dict[str, str]:
    """Return the fields of the form, without the note, which is never shown."""
    return {
        "activity_type": activity.activity_type,
        "starts_at": activity.starts_at.astimezone(OSLO).strftime("%Y-%m-%dT%H:%M"),
        "duration_minutes": str(_count_minutes(activity)),
        "participants": str(activity.participants),
        "new_participants": str(activity.new_participants),
        "place": activity.place,
        "in_person": "true" if activity.in_person else "",
        "in_norway": "true" if activity.in_norway else "",
        "event_id": str(activity.event_id or ""),
        "revision": str(activity.edits),
    }


def _render_form(
    request: Request,
    session: ActiveSession,
    details: ActivityDetails,
    fields: Mapping[str, str],
    errors: FormErrors | None = None,
) -> Response:
    return render_page(
        request,
        "activity_form.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=f"{ACTIVITIES_PATH}/{details.activity.id}/correct",
        activity=details.activity,
        mentor_name=details.mentor_name,
        activity_types=ACTIVITY_TYPES,
        fields={name: fields.get(name, "") for name in (*CorrectionForm.model_fields, "revision")},
        errors=errors,
    )
