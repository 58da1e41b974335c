"""Polls of jobs: the answer for a client that has the current state, and the time until its next poll."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from fastapi import Depends, Request, Response, params

from api.callers import JobKey
from api.etags import JobRevision, format_etag, parse_if_none_match
from stafett.domain.job import JobKind
from stafett.domain.membership import Caller, Permission
from stafett.storage.files import compute_link_expiry

_MIN_POLL_INTERVAL, _MAX_POLL_INTERVAL = timedelta(seconds=1), timedelta(seconds=15)
_POLL_INTERVALS_PER_PAUSE = 10
"""A client polls a job that has not changed for some time at most this many times as often as it has changed."""


def build_job_headers(etag: str, updated_at: datetime, *, is_finished: bool, has_link: bool) -> dict[str, str]:
    """Build the headers of a response about a job, which a 304 has too."""
    headers = {"ETag": etag}
    if not is_finished:
        interval = min(
            max((datetime.now(UTC) - updated_at) / _POLL_INTERVALS_PER_PAUSE, _MIN_POLL_INTERVAL), _MAX_POLL_INTERVAL
        )
        headers["Retry-After"] = str(round(interval.total_seconds()))
    if has_link:
        headers["Cache-Control"] = "no-store"
    return headers


class PolledJob:
    """A dependency that does nothing: ``GuardedRoute`` reads the declaration, and answers polls of the path's job."""

    def __init__(self, kind: JobKind) -> None:
        self._kind = kind

    async def __call__(self) -> None:
        """Do nothing."""

    def find_key(self, request: Request) -> JobKey | None:
        """Return the job that the request polls, or None if the client has no state of it."""
        if "if-none-match" not in request.headers:
            return None
        (job_id,) = request.path_params.values()
        return JobKey(self._kind, job_id)


def answer_polls(kind: JobKind) -> params.Depends:
    """Declare that the only id in a route's path is that of a job, as an element of its ``dependencies``."""
    dependency: params.Depends = Depends(PolledJob(kind))
    return dependency


def respond_if_unchanged(request: Request, revision: JobRevision, caller: Caller, now: datetime) -> Response | None:
    """Answer 304 if the client has the current state, or return None if only the whole job decides that.

    The two numbers of a tag identify the state of the job, and so whether it has a file: if a tag of this state has
    today's link, then so has the job. The tag of a completed job without a file is left to the handler.
    """
    has_link = revision.may_have_file and caller.has_permission(Permission.DOWNLOAD_FILES)
    etag = format_etag(revision.edits, revision.changes, compute_link_expiry(now) if has_link else None)
    if etag not in parse_if_none_match(request.headers["if-none-match"]):
        return None
    headers = build_job_headers(etag, revision.updated_at, is_finished=revision.is_finished, has_link=has_link)
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
