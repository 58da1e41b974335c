"""The start page, with the figures of a base year and what needs attention, and the statement of accessibility."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.concurrency import OccupyingUse, run_in_threadpool
from api.console.charts import lay_out_bars
from api.console.pages import render_page
from api.console.services import CONSOLE_PATH, ConsoleServices, ConsoleServicesDep
from api.console.sessions import ActiveSession, CurrentSession, find_session
from api.dependencies import Services, ServicesDep
from api.rate_limit import TooManyRequestsError
from stafett.domain.errors import ExportError
from stafett.domain.reporting_period import EARLIEST_YEAR, LATEST_YEAR, OSLO

router = APIRouter()
_MAX_LINES = 10
"""Lines for each need of attention."""


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
    return render_page(request, "accessibility.html", session=await find_session(request))


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
    if session.caller.is_operator:
        return values
    return values | {"attention": services.attention.list(session.caller, max_lines=_MAX_LINES)}
