"""Log lines: structlog's, on the standard error stream, with the request's id and no body."""

import logging
import sys
import warnings
from typing import Any, Literal

import structlog

_SHARED: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)

# Both formats leave out the local variables that structlog shows: a request's body is one.
_TRACEBACKS_AS_JSON = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure_logs(
    log_format: Literal["console", "json"], level: str, worker: int | None = None
) -> None:
    """Send our lines and those of the libraries the same way; called once, by the command.

    Args:
        log_format: "json" for machines, "console" for eyes.
        level: the least severe level that is written.
        worker: of several, named in each line.
    """
    shared = [*_SHARED] if worker is None else [*_SHARED, _naming(worker)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format, shared))
    # What it says of its own start and end we say ourselves, in fewer lines.
    logging.getLogger("uvicorn.error").setLevel(
        max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()])
    )
    # It warns of every damaged form, in the words of a client; the answer says it already.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    # So does Pillow of damaged EXIF, up to thousands of times a file, and keeps what it has said;
    # to debug it, it logs what stands in the EXIF.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.WARNING)
    logging.captureWarnings(True)  # of others, which are lines like any other
    logging.getLogger("grpc._cython.cygrpc").addFilter(_quotes_no_client)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def _quotes_no_client(record: logging.LogRecord) -> bool:
    """Whether a line of gRPC is not of bytes that came where text should be, with a traceback."""
    return not record.getMessage().startswith("Invalid encoding on")


def _naming(worker: int) -> Any:
    def name(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        return event | {"worker": worker}

    return name


def _formatter(log_format: str, shared: list[Any]) -> logging.Formatter:
    finish: list[Any] = (
        [_TRACEBACKS_AS_JSON, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
    )
