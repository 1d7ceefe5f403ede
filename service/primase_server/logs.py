"""Structured logs on standard error: one JSON object a line, or plain lines on a terminal."""

import logging
import sys

import structlog

# Of every line, whether it was logged through structlog or the standard library.
_COMMON: tuple[structlog.types.Processor, ...] = (
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
)


def configure_logs(level: str) -> None:
    """Set up logging for the whole process; `level` is a name such as `info`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(terminal=sys.stderr.isatty()))
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


def _formatter(*, terminal: bool) -> structlog.stdlib.ProcessorFormatter:
    renderers = _terminal_renderers() if terminal else _json_renderers()
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_COMMON,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )


# Both leave local variables out of tracebacks: they hold sequences.
def _terminal_renderers() -> tuple[structlog.types.Processor, ...]:
    plain = structlog.dev.plain_traceback
    return (structlog.dev.ConsoleRenderer(exception_formatter=plain),)


def _json_renderers() -> tuple[structlog.types.Processor, ...]:
    frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    renderer = structlog.processors.ExceptionRenderer(frames)
    return (renderer, structlog.processors.JSONRenderer())
