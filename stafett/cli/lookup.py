"""Lookup of what an argument names: a resource by the first characters of its id, and the organisation."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from uuid import UUID

import typer

from stafett.cli.client import OPERATOR_NAME, ApiClient, ApiError, ApiUnavailableError, Json, connect
from stafett.cli.credentials import org_id_from_email, read_token
from stafett.cli.tables import MIN_SHORT_ID_LENGTH
from stafett.cli.terminal import print_lines
from stafett.domain.errors import NotFoundError, StafettError
from stafett.domain.membership import Role

_EXPORTS = "bufdir-exports"
_SHORT_ID = re.compile(rf"[0-9a-f]{{{MIN_SHORT_ID_LENGTH},32}}", re.ASCII)
_SEARCHED_BY_API = frozenset({"/activities"})
"""Lists that are too long to be searched here, so that the API filters them by the start of an id."""

_MAX_ORGANISATIONS_NAMED = 10


def iterate_pages(api: ApiClient, path: str, query: Mapping[str, str | int]) -> Iterable[Json]:
    """Yield the items of all pages."""
    page_token: str | None = None
    while True:
        page = api.get(path, {**query, "page_size": 200} | ({"page_token": page_token} if page_token else {}))
        yield from page["items"]
        page_token = page["next_page_token"]
        if page_token is None:
            return


def is_whole_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def normalise_short_id(text: str, argument: str) -> str:
    """Return the hexadecimal digits of a shortened id; raise a usage error if the text is none."""
    digits = text.lower().replace("-", "")
    if _SHORT_ID.fullmatch(digits) is None:
        message = f"{text!r} is not an id, nor the first {MIN_SHORT_ID_LENGTH} or more characters of one"
        raise typer.BadParameter(message, param_hint=f"'{argument}'")
    return digits


def resolve_id(
    api: ApiClient,
    path: str,
    text: str,
    query: Mapping[str, str | int] | None = None,
    *,
    argument: str = "ID",
    must_exist: bool = False,
) -> UUID:
    """Return the id in an argument of the command: a whole one, or the only one in the list that starts with the text.

    If none does, the id that is returned belongs to nothing, so that the API's own error is the command's. A filter
    `must_exist`, because the API answers an unknown id in a filter with an empty list.
    """
    if is_whole_id(text):
        return UUID(text)
    digits = normalise_short_id(text, argument)
    filters = {"id_prefix": digits} if path in _SEARCHED_BY_API else {}
    ids = [UUID(item["id"]) for item in iterate_pages(api, path, {**(query or {}), **filters})]
    matches = [each for each in ids if each.hex.startswith(digits)]
    if not matches and must_exist:
        raise typer.BadParameter(f"no id starts with {text}", param_hint=f"'{argument}'")
    if len(matches) > 1:
        raise StafettError(f"{len(matches)} ids start with {text}; type more characters of the one you mean.")
    return matches[0] if matches else UUID(digits.ljust(32, "0"))


def find_job(
    data_dir: Path | None,
    user: str | None,
    org: str | None,
    resource: str,
    job_id: str,
    *,
    role: str = "coordinator",
    is_change: bool = False,
) -> tuple[ApiClient, Json]:
    """Load a job, and connect as a user who may act on it: on a development stack, `role` in its organisation.

    A change of a job whose organisation was not named is reported with who makes it, unless it is a member.
    """
    api = connect(data_dir, user, org, is_lookup=True)
    path = f"/{resource}/{resolve_id(api, f'/{resource}', job_id)}"
    try:
        job = api.get(path)
    except ApiError as error:
        if resource == _EXPORTS and error.status == HTTPStatus.NOT_FOUND and _is_report(data_dir, user, org, job_id):
            message = f"{error.detail} {job_id} is a report: `stafett report show {job_id}`."
            raise NotFoundError(message) from None
        raise _name_searched_organisation(error, data_dir, org) from None
    if data_dir is not None and not (user or org or read_token()):
        api = connect(data_dir, f"{role}@{job['org_id']}.example", job["org_id"])
        job = api.get(path)
    if is_change and not user and not org:
        report_actor(api, job["org_id"])
    return api, job


def _is_report(data_dir: Path | None, user: str | None, org: str | None, report_id: str) -> bool:
    """Return whether the id is a report's, as it is easily mistaken for that of its export."""
    for api in connect_to_organisations(data_dir, user, org):
        with suppress(ApiError):
            api.get(f"/reports/{resolve_id(api, '/reports', report_id)}")
            return True
    return False


def _name_searched_organisation(error: ApiError, data_dir: Path | None, org: str | None) -> ApiError:
    """Add to an error the organisation of a development stack that was searched, and which may not be the right one."""
    if data_dir is None or org is None or error.status != HTTPStatus.NOT_FOUND or read_token():
        return error
    message = f"{error.detail} Only {org} was searched, which --org or STAFETT_ORG names."
    return ApiError(message, error.status, error.fields, error.code, error.detail)


def report_actor(api: ApiClient, org_id: str) -> None:
    """Report on standard error who acts for the organisation, if it is an operator or a development stack's user."""
    if api.actor == OPERATOR_NAME and api.get("/me")["role"] != Role.OPERATOR:
        return  # an identity provider's token may name no organisation
    if api.actor:
        print_lines(f"Acting as {api.actor}, for {org_id}.", err=True)


def find_export_for_audit(
    data_dir: Path | None, user: str | None, org: str | None, export_id: str
) -> tuple[ApiClient, str, str]:
    """Find an export, also a deleted one, whose audit events remain; return its id and its organisation."""
    try:
        api, job = find_job(data_dir, user, org, _EXPORTS, export_id)
    except ApiUnavailableError:
        raise
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        rejection = error
    else:
        return api, job["id"], job["org_id"]
    for api in connect_to_organisations(data_dir, user, org):
        if whole_id := _find_deleted_export(api, export_id):
            return api, whole_id, api.get("/me")["org_id"]
    hint = "An administrator or auditor finds the events of a deleted export with"
    raise NotFoundError(f"{rejection.detail} {hint} `stafett audit list --subject {export_id}`.") from None


def _find_deleted_export(api: ApiClient, export_id: str) -> str | None:
    """Find a deleted export by its audit events, or by the start of its id in the history of reports."""
    try:
        if is_whole_id(export_id):
            api.get(f"/{_EXPORTS}/{UUID(export_id)}/audit", {"page_size": 1})
            return str(UUID(export_id))
        versions = (version for report in iterate_pages(api, "/reports", {}) for version in report["files"])
        digits = normalise_short_id(export_id, "ID")
        return next((each["export_id"] for each in versions if UUID(each["export_id"]).hex.startswith(digits)), None)
    except ApiUnavailableError:
        raise
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def find_data(
    data_dir: Path | None,
    user: str | None,
    org: str | None,
    resource: str,
    resource_id: str,
    *,
    argument: str = "ID",
    is_change: bool = False,
) -> tuple[ApiClient, Json]:
    """Load what operators may not read, such as a report, and connect as a user who may."""
    path, found = f"/{resource}", list[tuple[ApiClient, Json]]()
    for api in connect_to_organisations(data_dir, user, org):
        try:
            found.append((api, api.get(f"{path}/{resolve_id(api, path, resource_id, argument=argument)}")))
        except ApiUnavailableError:
            raise
        except ApiError as error:
            rejection = error
            if resource == "reports" and (report_id := _find_report_of_export(api, resource_id)):
                message = f"{error.detail} {resource_id} is an export; its report is {report_id}."
                raise NotFoundError(message) from None
        if found and is_whole_id(resource_id):
            break
    if not found:
        raise _name_searched_organisation(rejection, data_dir, org)
    if len(found) > 1:
        org_ids = ", ".join(each["org_id"] for _, each in found)
        message = f"{org_ids} have ids that start with {resource_id}; specify --org, or type more characters."
        raise StafettError(message)
    api, data = found[0]
    if is_change and not user and not org:
        report_actor(api, data["org_id"])
    return api, data


def _find_report_of_export(api: ApiClient, export_id: str) -> str | None:
    """Find the report that an export made, as its id is easily mistaken for the report's."""
    try:
        export = api.get(f"/{_EXPORTS}/{resolve_id(api, f'/{_EXPORTS}', export_id)}")
    except ApiUnavailableError:
        raise
    except ApiError:
        return None
    report_id: str | None = export["report_id"]
    return report_id


def connect_to_organisations(data_dir: Path | None, user: str | None, org: str | None) -> Iterable[ApiClient]:
    """Connect as the caller. The default user of a development stack is an operator, who reads no organisation's data.

    In place of the operator, connect as the coordinator of each seeded organisation, one after another.
    """
    if data_dir is None or user or org or read_token():
        yield connect(data_dir, user, org, is_lookup=True)
        return
    from stafett.seed.organisations import ORGANISATIONS

    for org_id in ORGANISATIONS:
        yield connect(data_dir, None, org_id)


def list_organisation_ids(api: ApiClient) -> list[str]:
    """List the organisations of the caller: their own, or all for an operator."""
    return sorted(each["id"] for each in api.get("/organisations")["items"])


def choose_organisation(data_dir: Path | None, user: str | None) -> str:
    """Return the caller's only organisation; list them in a usage error if there are several."""
    if data_dir is not None and user and not read_token() and (org := org_id_from_email(user)):
        return org
    org_ids = list_organisation_ids(connect(data_dir, user, None, is_lookup=True))
    if len(org_ids) == 1:
        return org_ids[0]
    if not org_ids:
        raise NotFoundError("There is no organisation.")
    hidden = len(org_ids) - _MAX_ORGANISATIONS_NAMED
    more = f" and {hidden} more" if hidden > 0 else ""
    message = f"specify one of your organisations: {', '.join(org_ids[:_MAX_ORGANISATIONS_NAMED])}{more}"
    raise typer.BadParameter(message, param_hint="'--org'")
