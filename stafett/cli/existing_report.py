"""The report that a period has already, of which ``stafett export start`` warns."""

from datetime import datetime

from pydantic import ValidationError

from stafett.cli.client import ApiClient, ApiError, Json
from stafett.cli.formats import format_period, format_time
from stafett.cli.lookup import iterate_pages
from stafett.domain.reporting_period import ReportingPeriod


def find_report_of_period(api: ApiClient, org: str, start: str, end: str) -> Json | None:
    """Find the newest report of exactly this period; None also if the caller reads no reports."""
    try:
        bounds = _read_bounds({"start": start, "end": end})
        reports = iterate_pages(api, "/reports", {"org_id": org})
        return next((report for report in reports if _read_bounds(report["reporting_period"]) == bounds), None)
    except (ApiError, ValidationError):
        return None  # a warning that cannot be given stops no export, whose request names what is wrong


def describe_existing_report(report: Json) -> str:
    """Describe the report that a period has already, and how to add a version to it."""
    submitted = f", handed in on {format_time(report['submitted_at'])[:10]}" if report["submitted_at"] else ""
    title = f"{report['org_id']} has a report of {format_period(report)} already: {report['id']}"
    made = f"made on {format_time(report['created_at'])[:10]} by export {report['export_id']}"
    return f"{title} ({made}{submitted}). `stafett reexport start {report['id']}` adds a version to it."


def _read_bounds(period: Json) -> tuple[datetime, datetime]:
    bounds = ReportingPeriod.model_validate(period)
    return bounds.first_instant, bounds.last_instant
