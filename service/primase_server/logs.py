"""Structured logs on standard error: one JSON object a line, or plain lines on a terminal."""

import logging
import sys

import structlog

from primase_server.settings import AUTO

JSON, TEXT = "json", "text"
FORMATS = (AUTO, JSON, TEXT)
"""`auto` is plain text on a terminal, and JSON elsewhere."""

# Of every line, whether it was logged through structlog or the standard library.
_COMMON: tuple[structlog.types.Processor, ...] = (
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
)


def configure_logs(level: str, format: str = AUTO) -> None:  # noqa: A002  as its option
    """Set up logging for the whole process; `level` is a name such as `info`."""
    handler = logging.StreamHandler(sys.stderr)
    is_plain = sys.stderr.isatty() if format == AUTO else format == TEXT
    handler.setFormatter(_formatter(plain=is_plain))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_COMMON,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _formatter(*, plain: bool) -> structlog.stdlib.ProcessorFormatter:
    renderers = _plain_renderers() if plain else _json_renderers()
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_COMMON,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )


# Both leave local variables out of tracebacks: they hold sequences.
def _plain_renderers() -> tuple[structlog.types.Processor, ...]:
    plain = structlog.dev.plain_traceback
    return (structlog.dev.ConsoleRenderer(exception_formatter=plain),)


def _json_renderers() -> tuple[structlog.types.Processor, ...]:
    frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    renderer = structlog.processors.ExceptionRenderer(frames)
    return (renderer, structlog.processors.JSONRenderer())
