"""Structured logs on standard error: one JSON object a line, or plain lines on a terminal."""

import logging
import sys

import structlog


def configure_logs(level: str) -> None:
    """Set up structlog for the whole process; `level` is a name such as `info`."""
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(_terminal_renderers() if terminal else _json_renderers()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


# Both leave local variables out of tracebacks: they hold sequences.
def _terminal_renderers() -> tuple[structlog.types.Processor, ...]:
    plain = structlog.dev.plain_traceback
    return (structlog.dev.ConsoleRenderer(exception_formatter=plain),)


def _json_renderers() -> tuple[structlog.types.Processor, ...]:
    frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    renderer = structlog.processors.ExceptionRenderer(frames)
    return (renderer, structlog.processors.JSONRenderer())
