"""Traces of inference requests, where a setting names who takes them; else nothing is loaded."""

from typing import TYPE_CHECKING

from service.errors import StartError
from service.settings import Settings

if TYPE_CHECKING:
    from service.telemetry.spans import Tracing


def tracing_of(settings: Settings) -> "Tracing | None":
    """Return what makes traces, not started yet; None where nobody wants them.

    Args:
        settings: of which ``traces_url`` names a collector.

    Raises:
        StartError: OpenTelemetry's SDK is not installed.
    """
    if settings.traces_url is None:
        return None
    try:
        from service.telemetry.spans import Tracing  # noqa: PLC0415 -- an extra of its own
    except ModuleNotFoundError as error:
        raise StartError(
            f"FOLDSERVE_TRACES_URL is set and {error.name} is not installed:"
            " pip install 'foldserve[service,tracing]'"
        ) from None
    scheme = "http" if settings.tls_certificate is None else "https"
    return Tracing(settings.traces_url, settings.traces_ratio, scheme)
