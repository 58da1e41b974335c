"""Logs: one line an event, in ids and codes; no personal data, no bodies, no addresses of people."""

import logging
import sys
import traceback
from pathlib import Path

import structlog
from structlog.typing import EventDict, Processor
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

from stafett.settings import LogSettings

_FRAMES = 6


def _without_colours(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Uvicorn says everything twice, the second time for terminals."""
    event.pop("color_message", None)
    return event


_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _without_colours,
)

# A traceback's local variables are rows and requests: never in a log.
_WITHOUT_VALUES = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def whence(error: BaseException) -> str:
    """Where an error came from, without what it says: its text may quote somebody's data."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)


def configure_logs(settings: LogSettings) -> None:
    """Send our own lines and every library's the same way, to standard error."""
    render: Processor = (
        structlog.processors.JSONRenderer() if settings.format == "json" else structlog.dev.ConsoleRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _WITHOUT_VALUES if settings.format == "json" else structlog.processors.ExceptionRenderer(),
                render,
            ],
        )
    )
    # The engine's own core speaks through Python's logging too, instead of straight to the terminal.
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    core = LoggingConfig(filter=TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding)
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=core)))
    logging.basicConfig(handlers=[handler], level=settings.level, force=True)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
