"""Import of peer mentors from CSV: each row is independent and gets a verdict."""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid4, uuid5

from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from stafett.audit.trail import append_audit_event
from stafett.csv_reader import iterate_rows
from stafett.database.idempotency import IdempotencyScope, claim_idempotency_key
from stafett.database.session import Database
from stafett.database.tables import PeerMentor
from stafett.domain.errors import InvalidRequestError, RequestIssue
from stafett.domain.fields import read_message
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.people.mentors import MentorFields, authorise_mentors, build_mentor_entry

COLUMNS = ("display_name", "branch", "approved_at", "active")
MAX_ROWS = 10_000
_REQUIRED_COLUMNS = ("display_name",)
_IMPORT_OPERATION = "peer-mentors.import"
_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)
_ACTIVE_BY_TEXT: Mapping[str, bool] = dict.fromkeys(("", "true", "ja", "yes", "sann", "1"), True) | dict.fromkeys(
    ("false", "nei", "no", "usann", "0"), False
)


class Verdict(StrEnum):
    """Whether a row of an import can be added."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


class RowVerdict(NamedTuple):
    """The verdict on one row. A mentor with the same name, in the organisation or the file, is only a warning."""

    line: int
    verdict: Verdict
    mentor_id: UUID | None
    has_duplicate_name: bool
    issues: Sequence[RequestIssue]


class _ParsedRow(NamedTuple):
    line: int
    fields: MentorFields | None
    issues: Sequence[RequestIssue] = ()


class _ImportBody(FrozenModel):
    """The request that the idempotency key of an import is bound to."""

    sha256: str


class MentorImport:
    """Adds the accepted rows of a file in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def dry_run(self, caller: Caller, org_id: str, content: bytes) -> Sequence[RowVerdict]:
        """Return the verdicts that an import would give, and write nothing."""
        authorise_mentors(caller, org_id)
        rows = _parse_rows(content)
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            return _decide_verdicts(rows, _count_names(session, org_id, ()), {})

    def run(self, caller: Caller, org_id: str, content: bytes, idempotency_key: str | None) -> Sequence[RowVerdict]:
        """Add the accepted rows. A repeat with the same key adds nothing and returns the same ids."""
        authorise_mentors(caller, org_id)
        rows, new_id = _parse_rows(content), uuid4()
        with self._database.transaction(org_id, user_id=caller.user_id) as session:
            body = _ImportBody(sha256=hashlib.sha256(content).hexdigest())
            scope = IdempotencyScope(org_id, _IMPORT_OPERATION, idempotency_key)
            import_id = claim_idempotency_key(session, scope, body, new_id)
            id_by_line = {row.line: uuid5(import_id, str(row.line)) for row in rows if row.fields is not None}
            verdicts = _decide_verdicts(rows, _count_names(session, org_id, id_by_line.values()), id_by_line)
            if import_id == new_id and id_by_line:
                session.execute(
                    insert(PeerMentor),
                    [
                        {"id": id_by_line[row.line], "org_id": org_id, **row.fields.model_dump()}
                        for row in rows
                        if row.fields is not None
                    ],
                )
                detail = {"added": len(id_by_line), "rejected": len(rows) - len(id_by_line)}
                append_audit_event(session, build_mentor_entry(caller, org_id, import_id, "mentors_imported", **detail))
        return verdicts


def _parse_rows(content: bytes) -> Sequence[_ParsedRow]:
    rows = list[_ParsedRow]()
    for line, row in iterate_rows(content, COLUMNS, _REQUIRED_COLUMNS):
        if len(rows) == MAX_ROWS:
            detail = f"A file has at most {MAX_ROWS} rows"
            raise InvalidRequestError([RequestIssue(f"line:{line}", "too_long", detail, MAX_ROWS)])
        rows.append(_parse_row(line, row))
    if not rows:
        raise InvalidRequestError([RequestIssue("line:2", "too_short", "There is no row below the header")])
    return rows


def _parse_row(line: int, row: Mapping[str, str]) -> _ParsedRow:
    active = row.get("active", "").strip().lower()
    values = {
        "display_name": row["display_name"],
        "branch": row.get("branch", "").strip() or None,
        "approved_at": _parse_day(row.get("approved_at", "").strip()) or None,
        "active": _ACTIVE_BY_TEXT.get(active, active),
    }
    try:
        return _ParsedRow(line, MentorFields.model_validate(values))
    except ValidationError as error:
        issues = [
            RequestIssue(f"line:{line}/{details['loc'][0]}", details["type"], read_message(details))
            for details in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        return _ParsedRow(line, None, issues)


def _parse_day(text: str) -> str:
    """Convert a day such as 31.12.2026 to ISO 8601; validation reports any other text."""
    match = _DAY_FIRST.fullmatch(text)
    if match is None:
        return text
    try:
        return date(int(match[3]), int(match[2]), int(match[1])).isoformat()
    except ValueError:
        return text


def _count_names(session: Session, org_id: str, own_ids: Collection[UUID]) -> Counter[str]:
    """Count the organisation's mentors by name, without those that this import has added."""
    excluded = set(own_ids)
    names = session.exec(select(PeerMentor.id, PeerMentor.display_name).where(col(PeerMentor.org_id) == org_id))
    return Counter(name.casefold() for mentor_id, name in names if mentor_id not in excluded)


def _decide_verdicts(
    rows: Sequence[_ParsedRow], names: Counter[str], id_by_line: Mapping[int, UUID]
) -> Sequence[RowVerdict]:
    names = names + Counter(row.fields.display_name.casefold() for row in rows if row.fields is not None)
    return [
        RowVerdict(
            row.line,
            Verdict.REJECTED if row.fields is None else Verdict.ACCEPTED,
            id_by_line.get(row.line),
            row.fields is not None and names[row.fields.display_name.casefold()] > 1,
            row.issues,
        )
        for row in rows
    ]
