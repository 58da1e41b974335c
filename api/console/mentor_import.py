"""The import of peer mentors from a CSV file: the check of every row, and then the import."""

from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response

from api.concurrency import OccupyingUse, run_in_threadpool
from api.console.forms import ConsoleForm, FormErrors
from api.console.pages import render_page
from api.console.security import SessionUpload
from api.console.services import MENTORS_PATH
from api.console.sessions import ActiveSession, MentorManager
from api.console.uploads import carry_file, read_file
from api.dependencies import Services, ServicesDep
from api.schemas.people import MentorImportResource
from stafett.domain.errors import InvalidRequestError
from stafett.people.mentor_import import COLUMNS, MAX_ROWS, Verdict

router = APIRouter(prefix=f"{MENTORS_PATH}/import")
_MAX_VERDICTS = 200


class ImportForm(ConsoleForm):
    """Whether to check or to import, and the key of the page."""

    action: Literal["check", "import"] = "check"
    key: UUID


@router.get("")
async def show_import_form(request: Request, session: MentorManager) -> Response:
    return _render_page(request, session)


@router.post("")
async def import_mentors(
    request: Request, session: MentorManager, upload: SessionUpload, services: ServicesDep
) -> Response:
    """Show the verdict on every row of the file, or import the rows without a problem."""
    form = ImportForm.parse({"key": uuid4()} | dict(upload.fields))
    content = await read_file(upload)
    if not content:
        return _render_page(request, session, errors={"file": "file_missing"})
    try:
        result = await _run(session, services, form, content)
    except InvalidRequestError as error:
        return _render_page(request, session, errors={"file": "import_invalid"}, issues=error.issues)
    return _render_page(
        request,
        session,
        key=form.key,
        result=result,
        rows=sorted(result.rows, key=lambda row: (row.verdict is Verdict.ACCEPTED, not row.warnings))[:_MAX_VERDICTS],
        carried=await carry_file(content) if result.dry_run else "",
    )


async def _run(session: ActiveSession, services: Services, form: ImportForm, content: bytes) -> MentorImportResource:
    caller, org_id, dry_run = session.caller, session.org_id, form.action == "check"

    def run() -> MentorImportResource:
        if dry_run:
            verdicts = services.mentor_import.dry_run(caller, org_id, content)
        else:
            verdicts = services.mentor_import.run(caller, org_id, content, f"console-{form.key}")
        return MentorImportResource.from_verdicts(org_id, verdicts, dry_run=dry_run)

    with services.concurrency.occupy(OccupyingUse.VALIDATIONS, caller):
        return await run_in_threadpool(run)


def _render_page(
    request: Request, session: ActiveSession, *, errors: FormErrors | None = None, **values: Any
) -> Response:
    defaults = {"key": uuid4(), "result": None, "rows": (), "carried": "", "issues": ()}
    return render_page(
        request,
        "import_mentors.html",
        session=session,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        address=f"{MENTORS_PATH}/import",
        columns=COLUMNS,
        max_rows=MAX_ROWS,
        errors=errors,
        **defaults | values,
    )
