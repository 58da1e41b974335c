"""Logging: one line per event, with ids and codes only; no personal data, request bodies or user addresses."""

import logging
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import structlog
from structlog.tracebacks import Trace, extract
from structlog.typing import EventDict, ExcInfo, Processor

from stafett.settings import LogSettings

_PROJECT_ROOT = Path(__file__).parent.parent.parent
_PROJECT_ENTRIES = ("stafett", "api", "workflows", "activities", "worker.py")
_MAX_FRAMES = 12


def _drop_color_message(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Drop Uvicorn's second copy of each message, which is coloured for terminals."""
    event.pop("color_message", None)
    return event


def _truncate_asyncio_event(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Keep the first line only: the others contain a task's representation with its exception's text."""
    if event.get("logger") == "asyncio":
        event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _shorten_activity_failure(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Replace the traceback and the attributes of the SDK's line about a failed activity by what identifies it.

    Every failure is typed. An unexpected error is logged as ``activity_failed``, with its location, before it is typed.
    """
    if event.pop("__temporal_error_identifier", None) != "ActivityFailure":
        return event
    info, exc_info = event.pop("temporal_activity", {}), event.pop("exc_info", None)
    error = exc_info[1] if isinstance(exc_info, tuple) else None
    event.update(
        event="activity_attempt_failed",
        activity=info.get("activity_type"),
        attempt=info.get("attempt"),
        error=getattr(error, "type", None) or type(error).__name__,
        detail=getattr(error, "message", None),
    )
    return event


_SHARED_PROCESSORS: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _drop_color_message,
    _truncate_asyncio_event,
    _shorten_activity_failure,
)


def error_location(error: BaseException) -> str:
    """Format the project's frames of a traceback and the last frame, without the error's text: it may quote data."""
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    selected = [frame for frame in frames[:-1] if _is_project_file(frame[0])][1 - _MAX_FRAMES :] + frames[-1:]
    return " > ".join(f"{_shorten_path(path)}:{line}" for path, line in selected)


def _is_project_file(path: Path) -> bool:
    return path.is_relative_to(_PROJECT_ROOT) and path.relative_to(_PROJECT_ROOT).parts[0] in _PROJECT_ENTRIES


def _shorten_path(path: Path) -> str:
    return str(path.relative_to(_PROJECT_ROOT) if _is_project_file(path) else Path(*path.parts[-2:]))


def _render_traceback(exc_info: ExcInfo) -> str:
    """Render classes, files and lines: an exception's text and a frame's variables may contain rows and requests."""
    return "\n".join(_format_trace(extract(*exc_info)))


def _format_trace(trace: Trace, indent: str = "") -> Iterator[str]:
    for stack in trace.stacks:
        yield f"{indent}{stack.exc_type}{' (the cause)' if stack.is_cause else ''}"
        for frame in stack.frames:
            yield f"{indent}  {_shorten_path(Path(frame.filename))}:{frame.lineno} in {frame.name}"
        for member in stack.exceptions:
            yield from _format_trace(member, f"{indent}  | ")


def make_formatter(settings: LogSettings) -> logging.Formatter:
    """Create the formatter for the service's and all libraries' events."""
    render: Processor = (
        structlog.processors.JSONRenderer() if settings.format == "json" else structlog.dev.ConsoleRenderer()
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED_PROCESSORS,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.ExceptionRenderer(_render_traceback),
            render,
        ],
    )


def configure_logging(settings: LogSettings) -> None:
    """Write the service's and all libraries' events in one format to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(make_formatter(settings))
    logging.basicConfig(handlers=[handler], level=settings.level, force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED_PROCESSORS,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
