"""The start page, with the figures of a base year and what needs attention, and the statement of accessibility."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request, Response

from api.concurrency import OccupyingUse, run_in_threadpool
from api.console.charts import lay_out_bars
from api.console.pages import render_page
from api.console.services import (
    BULK_PATH,
    CONSOLE_PATH,
    EXPORTS_PATH,
    REEXPORTS_PATH,
    ConsoleServices,
    ConsoleServicesDep,
)
from api.console.sessions import ActiveSession, CurrentSession
from api.dependencies import Services, ServicesDep
from api.rate_limit import TooManyRequestsError
from stafett.bulk.service import BatchFilter
from stafett.database.pagination import ListFilter
from stafett.domain.errors import ExportError
from stafett.domain.export import ExportOrigin
from stafett.domain.reporting_period import EARLIEST_YEAR, LATEST_YEAR, OSLO, ReportingPeriod
from stafett.exports.service import ExportFilter
from stafett.reports.reexports import ReexportFilter

router = APIRouter()
_JOBS_PER_KIND = 20
_MAX_LINES = 10


class JobLine(NamedTuple):
    """A job, as lists of jobs of all kinds name it."""

    kind: str
    path: str
    status: str
    is_final: bool
    at: datetime
    period: ReportingPeriod | None = None
    label: str | None = None
    total: int = 0


@router.get(CONSOLE_PATH)
async def show_start(
    request: Request,
    session: CurrentSession,
    services: ServicesDep,
    console: ConsoleServicesDep,
    year: Annotated[int | None, Query(ge=EARLIEST_YEAR + 1, le=LATEST_YEAR - 1)] = None,
) -> Response:
    """Show the figures of the current base year, or of another one, and what needs attention."""
    this_year = services.clock().astimezone(OSLO).year
    values, figures = await asyncio.gather(
        run_in_threadpool(_load_page, session, services, console), _load_figures(session, services, year or this_year)
    )
    return render_page(
        request, "home.html", session=session, year=year or this_year, this_year=this_year, **figures, **values
    )


@router.get(f"{CONSOLE_PATH}/accessibility")
async def show_accessibility_statement(request: Request) -> Response:
    return render_page(request, "accessibility.html")


async def _load_figures(session: ActiveSession, services: Services, year: int) -> dict[str, Any]:
    """Compute the figures as a preview does, unless the organisation has too many of those in progress."""
    none: dict[str, Any] = {"figures": None, "chart": None, "figures_error": None}
    if session.caller.is_operator:
        return none
    try:
        with services.concurrency.occupy(OccupyingUse.PREVIEWS, session.caller):
            figures = await run_in_threadpool(services.figures.compute, session.caller, year)
    except ExportError as error:
        return none | {"figures_error": error.code}
    except TooManyRequestsError:
        return none | {"figures_error": "busy"}
    return none | {"figures": figures, "chart": lay_out_bars(figures)}


def _load_page(session: ActiveSession, services: Services, console: ConsoleServices) -> dict[str, Any]:
    choices = console.sessions.list_choices(session.user_id, session.provider.organisations)
    values: dict[str, Any] = {
        "name": console.sessions.load_user_name(session.user_id),
        "organisation": next((choice.name for choice in choices if choice.org_id == session.caller.org_id), None),
    }
    return values if session.caller.is_operator else values | _list_attention(session, services)


def _list_attention(session: ActiveSession, services: Services) -> dict[str, Sequence[JobLine]]:
    """List the newest jobs that run, that have failed, and those whose file is not yet submitted."""
    lines = sorted(_list_jobs(session, services), key=lambda line: line.at, reverse=True)
    reports = services.reports.list(session.caller, ListFilter(page_size=_JOBS_PER_KIND)).items
    ready = [
        JobLine(
            "export",
            f"{EXPORTS_PATH}/{report.export_id}",
            "completed",
            is_final=True,
            at=report.created_at,
            period=ReportingPeriod.model_validate(report.parameters["reporting_period"]),
        )
        for report, _files in reports
        if report.submitted_at is None
    ]
    return {
        "running": [line for line in lines if not line.is_final][:_MAX_LINES],
        "failed": [line for line in lines if line.status == "failed"][:_MAX_LINES],
        "ready": ready[:_MAX_LINES],
    }


def _list_jobs(session: ActiveSession, services: Services) -> list[JobLine]:
    caller, size = session.caller, _JOBS_PER_KIND
    exports = services.exports.list(caller, ExportFilter(page_size=size)).items
    reexports = services.reexports.list(caller, ReexportFilter(page_size=size)).items
    batches = services.batches.list(caller, BatchFilter(page_size=size)).items
    return [
        *(
            JobLine(
                "export",
                f"{EXPORTS_PATH}/{export.id}",
                export.status,
                export.status.is_final,
                export.updated_at,
                ReportingPeriod.model_validate(export.parameters["reporting_period"]),
            )
            for export in exports
            if export.origin is ExportOrigin.REPORT
        ),
        *(
            JobLine(
                "reexport",
                f"{REEXPORTS_PATH}/{row.id}",
                row.status,
                row.status.is_final,
                row.updated_at,
                ReportingPeriod(start=row.period_start, end=row.period_end),
            )
            for row in (details.reexport for details in reexports)
        ),
        *(
            JobLine(
                "batch",
                f"{BULK_PATH}/{batch.id}",
                batch.status,
                batch.status.is_final,
                batch.updated_at,
                label=batch.label,
                total=batch.total,
            )
            for batch in batches
        ),
    ]
