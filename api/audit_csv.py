"""The organisation's audit trail as a CSV file, which is read and sent page by page."""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse

from api.concurrency import run_in_threadpool
from api.dependencies import Services
from stafett.audit.events import AuditTrailFilter
from stafett.database.tables import AuditEvent
from stafett.domain.membership import Caller

_COLUMNS = ("seq", "at", "actor", "event", "subject_kind", "subject_id", "status", "detail", "hash", "previous_hash")
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


async def respond_with_audit_csv(
    services: Services, caller: Caller, filters: AuditTrailFilter, headers: Mapping[str, str]
) -> Response:
    """Answer with all events that match, newest first, whatever page the filters name."""
    pages = services.audit_trail.iterate_pages(caller, filters)
    first = await run_in_threadpool(next, pages)  # refuses before the response starts
    attachment = {"Content-Disposition": 'attachment; filename="audit-events.csv"'}
    return StreamingResponse(_stream_csv(first, pages), media_type="text/csv", headers={**headers, **attachment})


async def _stream_csv(first: Sequence[AuditEvent], pages: Iterator[Sequence[AuditEvent]]) -> AsyncIterator[str]:
    yield _BYTE_ORDER_MARK + _render_rows([_COLUMNS])
    page: Sequence[AuditEvent] | None = first
    while page is not None:
        yield _render_rows(_to_row(event) for event in page)
        page = await run_in_threadpool(next, pages, None)


def _render_rows(rows: Any) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=";", lineterminator="\r\n").writerows(rows)
    return file.getvalue()


def _to_row(event: AuditEvent) -> tuple[object, ...]:
    """Return ids, codes and numbers only, none of which a spreadsheet program reads as a formula."""
    at, detail = event.at.isoformat(), json.dumps(event.detail, sort_keys=True, ensure_ascii=False)
    identity = (event.seq, at, event.actor, event.event, event.subject_kind, event.subject_id, event.status or "")
    return (*identity, detail, event.hash, event.previous_hash)
