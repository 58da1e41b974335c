"""HTTP client of the API, which uses only what is public to every client."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from stafett.cli.credentials import OPERATOR, is_operator_token, issue_token, read_token
from stafett.cli.terminal import print_lines
from stafett.domain.errors import SettingsError, StafettError

Json = dict[str, Any]
_DOWNLOAD_CHUNK_BYTES = 256 * 1024
_REQUEST_TIMEOUT_SECONDS = 30.0
_MAX_DETAILS = 10
OPERATOR_NAME = "an operator"
_ME, _PERMISSION_DENIED = "/me", "permission_denied"
_UNAVAILABLE_STATUSES = {502, 503, 504}  # 502 and 504 come from a proxy in front of the API


class FieldProblem(NamedTuple):
    """A field that the API has rejected: a JSON pointer, or a line of a file, and the reason."""

    pointer: str
    detail: str


class _Problem(NamedTuple):
    """The content of a problem document of the API."""

    message: str
    fields: Sequence[FieldProblem] = ()
    code: str | None = None
    detail: str | None = None


class ApiError(StafettError):
    """An error answer of the API, with the API's own message; several rejected fields are details, one per line."""

    def __init__(
        self,
        message: str,
        status: int | None = None,
        fields: Sequence[FieldProblem] = (),
        code: str | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(message)
        self.detail = detail or message  # without what identifies the problem for support
        self.status = status
        self.fields = tuple(fields)
        self.code = code

    @property
    def details(self) -> list[str]:
        if len(self.fields) <= 1:
            return []  # the message contains the only one
        lines = [f"{field.pointer}: {field.detail}" for field in self.fields[:_MAX_DETAILS]]
        hidden = len(self.fields) - _MAX_DETAILS
        return [*lines, f"and {hidden} more"] if hidden > 0 else lines


class ApiUnavailableError(ApiError):
    """A server that cannot be reached or is temporarily unavailable; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ApiClient:
    """Requests on behalf of one user. Every error is raised with a message of one sentence."""

    def __init__(self, url: str, token: str, options: Sequence[str] = (), actor: str | None = None) -> None:
        if not token.isascii() or not token.isprintable():
            raise SettingsError("The token contains characters that are not allowed in a bearer token.")
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1", headers=headers, timeout=_REQUEST_TIMEOUT_SECONDS
        )
        self._url = url
        self.options = options
        """The options of a command that connects in the same way, for the hints of other commands."""

        self.actor = actor
        """Who acts, if it may not be a member with a token: an operator, or a user of a development stack."""

    def prefer_language(self, locale: str) -> None:
        """Request the API's own texts in this language. The default is English, as that of the command line."""
        self._http.headers["Accept-Language"] = locale

    def get(self, path: str, query: Mapping[str, str | int] | None = None) -> Json:
        return self._request_json("GET", path, params=dict(query or {}))

    def post(
        self, path: str, body: Json, *, idempotency_key: str | None = None, timeout: float = _REQUEST_TIMEOUT_SECONDS
    ) -> Json:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._request_json("POST", path, json=body, headers=headers, timeout=timeout)

    def post_content(
        self, path: str, content: bytes, media_type: str, query: Mapping[str, str], *, idempotency_key: str
    ) -> Json:
        """Send a body of any media type without changing it."""
        headers = {"Content-Type": media_type, "Idempotency-Key": idempotency_key}
        return self._request_json("POST", path, params=dict(query), content=content, headers=headers)

    def get_bytes(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Fetch a response that is not JSON."""
        return self._request("GET", path, params=dict(query or {})).content

    def request_file_url(self, export_id: str) -> str:
        """Request the address of an export's file, which is recorded in the audit trail as a download."""
        path = f"/bufdir-exports/{export_id}/file"
        url: str = self._request("GET", path, expected=httpx.codes.SEE_OTHER).headers["Location"]
        return url

    def put(self, path: str, content: bytes, *, if_match: str | None) -> Json:
        """Send a JSON body without changing it."""
        headers = {"Content-Type": "application/json"} | ({"If-Match": if_match} if if_match else {})
        return self._request_json("PUT", path, content=content, headers=headers)

    def send(self, method: str, path: str) -> Json:
        """Request a change without a body, such as a cancel."""
        return self._request_json(method, path)

    def delete(self, path: str, query: Mapping[str, str] | None = None, *, if_match: str | None = None) -> None:
        headers = {"If-Match": if_match} if if_match else {}
        self._request("DELETE", path, params=dict(query or {}), headers=headers)

    def etag_of(self, path: str, query: Mapping[str, str | int]) -> str:
        """Fetch the entity tag that an edit is based on."""
        return self._request("GET", path, params=dict(query)).headers["ETag"]

    def download(self, url: str, target: Path, sha256: str, report_progress: Callable[[int], None]) -> None:
        """Download to a temporary file and rename it after verification, so that `target` is never incomplete."""
        partial_file, digest = target.with_name(target.name + ".part"), hashlib.sha256()
        try:
            with (
                _translate_transport_errors("the storage"),
                httpx.stream("GET", url, timeout=60) as response,
                partial_file.open("wb") as file,
            ):
                if response.status_code != httpx.codes.OK:
                    raise ApiError(f"The storage answered {response.status_code} instead of sending the file.")
                for chunk in response.iter_bytes(_DOWNLOAD_CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
                    report_progress(len(chunk))
            if digest.hexdigest() != sha256:
                raise ApiError("The downloaded file is not the exported one: its SHA-256 differs.")
            partial_file.replace(target)
        except OSError as error:
            raise ApiError(f"{target} cannot be written: {error.strerror}.") from None
        finally:
            partial_file.unlink(missing_ok=True)

    def _request_json(self, method: str, path: str, **options: Any) -> Json:
        body: Json = self._request(method, path, **options).json()
        return body

    def _request(self, method: str, path: str, *, expected: int | None = None, **options: Any) -> httpx.Response:
        """Send a request; every status but that of a success, or the expected one, is an error."""
        with _translate_transport_errors(f"the API at {self._url}"):
            response = self._http.request(method, path, **options)
        if response.is_success if expected is None else response.status_code == expected:
            return response
        problem = _read_problem(response)
        if response.status_code in _UNAVAILABLE_STATUSES:
            raise ApiUnavailableError(problem.message, _parse_retry_after(response.headers.get("Retry-After", "")))
        if problem.code == _PERMISSION_DENIED and path != _ME:
            problem = problem._replace(message=f"{problem.message}{self._describe_role()}")
        raise ApiError(problem.message, response.status_code, problem.fields, problem.code, problem.detail)

    def _describe_role(self) -> str:
        """Describe the caller's role, for a request that a role is not permitted."""
        with suppress(ApiError, KeyError):
            me = self.get(_ME)
            return f" Your role in {me['org_id']} is {me['role']}." if me["org_id"] else f" Your role is {me['role']}."
        return ""


@contextmanager
def _translate_transport_errors(service: str) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError:
        raise ApiUnavailableError(f"{service[0].upper()}{service[1:]} cannot be reached; is it running?") from None


def _parse_retry_after(retry_after: str) -> float | None:
    """Parse a delay in seconds. HTTP allows a date too, which is ignored."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else None


def _read_problem(response: httpx.Response) -> _Problem:
    """Read the message of a problem document, its rejected fields and its code."""
    try:
        problem = response.json()
        fields = [FieldProblem(error["pointer"], error["detail"]) for error in problem.get("errors", ())]
        only = f" {fields[0].pointer}: {fields[0].detail}" if len(fields) == 1 else ""
        message = f"{problem['detail']}{only} ({problem['code']}, {response.status_code}, trace {problem['trace_id']})"
    except (ValueError, KeyError, TypeError):
        return _Problem(f"The API answered {response.status_code} without a problem document.")
    return _Problem(message, fields, problem["code"], problem["detail"])


def connect(data_dir: Path | None, user: str | None, org: str | None, *, is_lookup: bool = False) -> ApiClient:
    """Connect to a development stack's API as one of its users, or to the API that the environment names.

    A command without an organisation that acts as an operator reports that, unless it only looks up a job. On a
    development stack, it does so without a user, too.
    """
    if data_dir is None:
        url, token = os.environ.get("STAFETT_API_URL"), read_token()
        if not url or not token:
            raise SettingsError(
                "Specify the API: --data-dir of a development stack, or STAFETT_API_URL and STAFETT_TOKEN"
                " (or STAFETT_TOKEN_FILE), or a --profile that sets them."
            )
        _report_operator(is_operator=org is None and not is_lookup and is_operator_token(token))
        return ApiClient(url, token, actor=_name_operator(token))
    from stafett.devstack.stack_file import load_stack_file

    stack = load_stack_file(data_dir)
    options = ("--data-dir", str(data_dir), *(("--org", org) if org else ()))
    if token := read_token():
        _report_operator(is_operator=org is None and not is_lookup and is_operator_token(token))
        return ApiClient(stack.api_url, token, options, _name_operator(token))
    if org is not None:
        _require_organisation(data_dir, stack.api_url, org)
    _report_operator(is_operator=org is None and user is None and not is_lookup)
    user = user or (f"coordinator@{org}.example" if org else OPERATOR)
    actor = OPERATOR_NAME if user == OPERATOR else user
    return ApiClient(stack.api_url, issue_token(data_dir, user, org), options, actor)


def _name_operator(token: str) -> str | None:
    return OPERATOR_NAME if is_operator_token(token) else None


def _report_operator(*, is_operator: bool) -> None:
    if is_operator:
        print_lines("Acting as an operator, for every organisation. Specify --org for one.", err=True)


def _require_organisation(data_dir: Path, api_url: str, org: str) -> None:
    """Name an unknown organisation, of which the API informs operators only."""
    from stafett.seed.organisations import ORGANISATIONS

    if org not in ORGANISATIONS:
        operator = ApiClient(api_url, issue_token(data_dir, OPERATOR, None))
        try:
            operator.get("/bufdir-exports", {"org_id": org, "page_size": 1})
        except ApiError as error:
            if error.status != httpx.codes.UNPROCESSABLE_ENTITY:
                raise
            org_ids = sorted(each["id"] for each in operator.get("/organisations")["items"])
            hint = f" It has {', '.join(org_ids)}." if len(org_ids) <= _MAX_DETAILS else ""
            raise SettingsError(f"There is no organisation {org} on this development stack.{hint}") from None
