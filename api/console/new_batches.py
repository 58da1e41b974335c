"""New registrations for many peer mentors: the activity, the choice of mentors, the check, and files."""

from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData

from api.concurrency import OccupyingUse, run_in_threadpool
from api.console.bulk_forms import BatchForm, UploadForm, build_request, read_chosen_mentors
from api.console.errors import redirect
from api.console.forms import FormErrors, InvalidFormError, parse_id
from api.console.item_problems import find_problems
from api.console.languages import choose_language
from api.console.pages import render_page
from api.console.security import SessionFormData, SessionUpload, create_page_headers
from api.console.services import BULK_PATH
from api.console.sessions import ActiveSession, JobStarter
from api.console.uploads import carry_file, read_file
from api.dependencies import Services, ServicesDep
from stafett.bulk.column_descriptions import column_descriptions
from stafett.bulk.csv_format import parse_request, render_template
from stafett.bulk.service import ValidationResult
from stafett.domain.activity import ACTIVITY_TYPES
from stafett.domain.bulk import MAX_ITEMS_PER_BATCH, BulkRequest, ItemOutcome
from stafett.domain.errors import InvalidRequestError, NotFoundError
from stafett.people.mentors import MentorFilter

router = APIRouter(prefix=BULK_PATH)
_MAX_VERDICTS = 200


@router.get("/new")
async def show_activity_form(request: Request, session: JobStarter) -> Response:
    return _render_activity_form(request, session, {})


@router.post("/new")
async def show_activity_form_again(request: Request, session: JobStarter, form: SessionFormData) -> Response:
    """Show the form with what it has already, to change it."""
    return _render_activity_form(request, session, form)


@router.post("/mentors")
async def choose_mentors(
    request: Request, session: JobStarter, form: SessionFormData, services: ServicesDep
) -> Response:
    """Show the search for mentors and those that are chosen. The form of the page carries everything along."""
    try:
        BatchForm.parse(form)
    except InvalidFormError as error:
        return _render_activity_form(request, session, form, error.errors)
    return await _render_mentors(request, session, services, form)


@router.post("/check")
async def check_batch(request: Request, session: JobStarter, form: SessionFormData, services: ServicesDep) -> Response:
    """Show the verdict on every mentor, failures first, before anything is registered."""
    parsed = await _parse_batch(request, session, services, form)
    if isinstance(parsed, Response):
        return parsed
    activity, batch = parsed
    result = await _validate(request, services, session, batch)
    return render_page(
        request,
        "check_batch.html",
        session=session,
        address=f"{BULK_PATH}/new",
        activity=activity,
        activity_types=ACTIVITY_TYPES,
        fields=_carry(form),
        mentors=" ".join(item.mentor_id for item in result.items),
        sound_mentors=" ".join(item.mentor_id for item in result.items if item.error is None),
        **await _name_verdicts(services, session, batch, result),
    )


@router.post("")
async def start_batch(request: Request, session: JobStarter, form: SessionFormData, services: ServicesDep) -> Response:
    """Start the registration, or lead to the one that the same page has started already."""
    parsed = await _parse_batch(request, session, services, form)
    if isinstance(parsed, Response):
        return parsed
    return await accept_batch(request, session, services, parsed[1], create_batch_key(str(form.get("page")), parsed[1]))


@router.get("/upload")
async def show_upload_form(request: Request, session: JobStarter, corrects: UUID | None = None) -> Response:
    return _render_upload_form(request, session, corrects=corrects or "")


@router.get("/template.csv")
async def download_template(session: JobStarter, services: ServicesDep) -> Response:
    """Download a file to fill in, with a line for each active mentor."""
    content = await run_in_threadpool(_render_template, session, services)
    headers = {"Content-Disposition": 'attachment; filename="template.csv"'}
    return Response(content, media_type="text/csv", headers=create_page_headers(session) | headers)


@router.post("/upload")
async def upload_batch(request: Request, session: JobStarter, upload: SessionUpload, services: ServicesDep) -> Response:
    """Check a file with one line per mentor, or register what it has. The page of the check carries the file along."""
    content = await read_file(upload)
    label, corrects = upload.fields.get("label", ""), parse_id(upload.fields.get("corrects")) or ""
    page = partial(_render_upload_form, request, session, label=label, corrects=corrects)
    if not content:
        return page(errors={"file": "file_missing"})
    try:
        form = UploadForm.parse(upload.fields)
        batch = await run_in_threadpool(parse_request, content, _get_org_id(session), form.label or None, form.corrects)
        if form.action == "register":
            return await accept_batch(request, session, services, batch, create_batch_key(str(form.key), batch))
        result = await _validate(request, services, session, batch)
    except InvalidFormError as error:
        return page(errors=error.errors)
    except InvalidRequestError as error:
        if any(issue.pointer == "query:corrects" for issue in error.issues):
            raise NotFoundError("There is no such batch to correct.") from None
        return page(errors={"file": "file_invalid"}, issues=error.issues)
    values: dict[str, Any] = {"key": form.key or uuid4(), "carried": await carry_file(content)}
    values |= await _name_verdicts(services, session, batch, result)
    return page(**values)


def _render_template(session: ActiveSession, services: Services) -> str:
    ids = services.mentors.list_ids(session.caller, MentorFilter(active=True), MAX_ITEMS_PER_BATCH)
    names = services.mentors.load_names(session.caller, ids)
    return render_template((str(mentor_id), names.get(mentor_id, "")) for mentor_id in ids)


def create_batch_key(page: str, batch: BulkRequest) -> str:
    """Derive the idempotency key: a second press on the same page, Back and a reload lead to the same batch."""
    page_id = parse_id(page) or uuid4()
    return f"console-{uuid5(page_id, batch.model_dump_json())}"


def _get_org_id(session: ActiveSession) -> str:
    if session.caller.org_id is None:
        raise NotFoundError("An operator has no organisation.")
    return session.caller.org_id


def _carry(form: FormData | Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of the activity, which the next page carries along."""
    return {name: str(form[name]) for name in (*BatchForm.model_fields, "page") if form.get(name)}


def _render_activity_form(
    request: Request, session: ActiveSession, form: FormData | Mapping[str, Any], errors: FormErrors | None = None
) -> Response:
    blank = dict.fromkeys(BatchForm.model_fields, "")
    defaults = {} if form else {"in_person": "true", "in_norway": "true"}
    return render_page(
        request,
        "new_batch.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=f"{BULK_PATH}/new",
        fields=blank | {"page": str(uuid4())} | defaults | _carry(form),
        mentors=" ".join(map(str, read_chosen_mentors(form))) if isinstance(form, FormData) else "",
        activity_types=ACTIVITY_TYPES,
        errors=errors,
    )


async def _render_mentors(
    request: Request,
    session: ActiveSession,
    services: Services,
    form: FormData,
    errors: FormErrors | None = None,
) -> Response:
    query, branch = (str(form.get(name) or "").replace("\0", "").strip() for name in ("q", "branch"))
    query, branch = query[:100], branch[:200]
    action, chosen = form.get("action"), read_chosen_mentors(form)
    filters = MentorFilter(q=query or None, branch=branch or None, active=True)
    if action == "all":
        ids = await run_in_threadpool(services.mentors.list_ids, session.caller, filters, MAX_ITEMS_PER_BATCH + 1)
        chosen = list(dict.fromkeys([*chosen, *ids]))
    if action == "none":
        chosen = []
    page = await run_in_threadpool(services.mentors.list, session.caller, filters)
    branches = await run_in_threadpool(services.mentors.list_branches, session.caller)
    return render_page(
        request,
        "choose_mentors.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=f"{BULK_PATH}/new",
        fields=_carry(form),
        q=query,
        branch=branch,
        branches=branches if branch in {"", *branches} else [branch, *branches],
        results=page.items,
        has_more=page.next_page_token is not None,
        chosen=set(chosen),
        mentors=" ".join(map(str, chosen)),
        errors=errors,
    )


async def _parse_batch(
    request: Request, session: ActiveSession, services: Services, form: FormData
) -> tuple[BatchForm, BulkRequest] | Response:
    """Return what the form describes, or the page at which the user can correct it."""
    try:
        activity = BatchForm.parse(form)
    except InvalidFormError as error:
        return _render_activity_form(request, session, form, error.errors)
    mentors = read_chosen_mentors(form)
    if not mentors or len(mentors) > MAX_ITEMS_PER_BATCH:
        errors = {"q": "too_many_mentors" if mentors else "mentors_missing"}
        return await _render_mentors(request, session, services, form, errors)
    return activity, build_request(_get_org_id(session), activity, mentors)


async def _validate(
    request: Request, services: Services, session: ActiveSession, batch: BulkRequest
) -> ValidationResult:
    with services.concurrency.occupy(OccupyingUse.VALIDATIONS, session.caller):
        return await run_in_threadpool(services.batches.validate, session.caller, batch, choose_language(request))


async def _name_verdicts(
    services: Services, session: ActiveSession, batch: BulkRequest, result: ValidationResult
) -> dict[str, Any]:
    """Return the counts, the verdicts with the mentors' names, failures first, and the warnings."""
    pairs = sorted(zip(result.items, result.planned, strict=True), key=lambda pair: pair[0].error is None)
    shown, shared = pairs[:_MAX_VERDICTS], batch.activity.provided
    failed = [planned for outcome, planned in shown if outcome.error]
    verdicts = [outcome for outcome, _ in shown]
    return {
        "counts": result.counts,
        "verdicts": verdicts,
        "names": await run_in_threadpool(load_mentor_names, services, session, verdicts),
        "problems": await run_in_threadpool(find_problems, services, session, failed, shared, batch) if failed else {},
        "warnings": result.warnings,
    }


def load_mentor_names(services: Services, session: ActiveSession, items: Sequence[ItemOutcome]) -> Mapping[str, str]:
    """Load the names of the items' mentors, by the id that the item names."""
    ids = [mentor_id for item in items if (mentor_id := parse_id(item.mentor_id))]
    return {str(mentor_id): name for mentor_id, name in services.mentors.load_names(session.caller, ids).items()}


async def accept_batch(
    request: Request, session: ActiveSession, services: Services, batch: BulkRequest, key: str
) -> Response:
    accepted = await run_in_threadpool(services.batches.accept, session.caller, batch, key)
    if accepted.is_new:
        services.dispatcher.start(accepted.batch.job)
    return redirect(request, f"{BULK_PATH}/{accepted.batch.id}")


def _render_upload_form(
    request: Request, session: ActiveSession, *, label: str = "", errors: FormErrors | None = None, **values: Any
) -> Response:
    return render_page(
        request,
        "upload_batch.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=f"{BULK_PATH}/upload",
        label=label,
        errors=errors,
        columns=column_descriptions(choose_language(request)),
        **{
            "key": uuid4(),
            "corrects": "",
            "issues": (),
            "counts": None,
            "verdicts": (),
            "names": {},
            "problems": {},
            "warnings": (),
        }
        | values,
    )
