"""The callers of requests with their current roles, and the revisions of the jobs that they poll, in one statement."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from api.auth import UNKNOWN_KEY_MESSAGE, Identity
from api.etags import JobRevision
from stafett.database.session import Database
from stafett.domain.errors import PermissionDeniedError, UnauthenticatedError
from stafett.domain.job import JobKind
from stafett.domain.membership import Caller, Role

_LOAD_ACCESS = text("SELECT * FROM load_access(:user_ids, :org_ids, :api_key_ids, :job_kinds, :job_ids)")


class JobKey(NamedTuple):
    """The job in the path of a request."""

    kind: JobKind
    id: UUID


class AccessQuery(NamedTuple):
    """Whose access to load, and the job that the request polls, if it does."""

    user_id: UUID
    org_id: str | None
    api_key_id: UUID | None
    job: JobKey | None = None

    @classmethod
    def from_identity(cls, identity: Identity, job: JobKey | None = None) -> "AccessQuery":
        return cls(identity.user_id, identity.org_id, identity.api_key_id, job)


class Access(NamedTuple):
    """The current roles of a user and of the API key that acts for them, and the revision of the job."""

    query: AccessQuery
    role: Role | None
    is_operator: bool
    key_role: Role | None
    revision: JobRevision | None

    def require_caller(self) -> Caller:
        """Return the caller; a user without a role is denied.

        An API key has its own role, as long as it is valid and its maker's role includes that role.
        """
        user_id, org_id, api_key_id, _ = self.query
        role = self.role
        if api_key_id is not None:
            if self.key_role is None:
                raise UnauthenticatedError(UNKNOWN_KEY_MESSAGE)
            role = self.key_role if role is not None and role.includes(self.key_role) else None
        if role is not None:
            return Caller(user_id=user_id, org_id=org_id, role=role, api_key_id=api_key_id)
        if self.is_operator and api_key_id is None:
            return Caller(user_id=user_id, org_id=None, role=Role.OPERATOR)
        raise PermissionDeniedError("You are not a member of this organisation.")


def load_access(database: Database, queries: Sequence[AccessQuery]) -> Sequence[Access]:
    """Load the access of many requests, in their order."""
    parameters = {
        "user_ids": [query.user_id for query in queries],
        "org_ids": [query.org_id for query in queries],
        "api_key_ids": [query.api_key_id for query in queries],
        "job_kinds": [query.job and query.job.kind.value for query in queries],
        "job_ids": [query.job and query.job.id for query in queries],
    }
    rows = database.execute(_LOAD_ACCESS, parameters)
    return [_build_access(query, row) for query, row in zip(queries, rows, strict=True)]


def _build_access(query: AccessQuery, row: Sequence[Any]) -> Access:
    role, is_operator, key_role, *revision = row
    return Access(
        query,
        Role(role) if role else None,
        bool(is_operator),
        Role(key_role) if key_role else None,
        None if revision[0] is None else JobRevision(*revision),
    )


def load_caller(database: Database, identity: Identity) -> Caller:
    """Load the caller with their current role."""
    (access,) = load_access(database, [AccessQuery.from_identity(identity)])
    return access.require_caller()
