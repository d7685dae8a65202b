"""What a start looks at before it loads anything, in its order; ``foldserve-serve check`` too."""

from collections.abc import Callable, Sequence

from service.access.keys import read_keys
from service.repository.policy import read_policies
from service.settings import Settings
from service.telemetry.tracing import tracing_of
from service.tls.credentials import read_credentials

Look = Callable[[], object]


def looks(settings: Settings) -> Sequence[Look]:
    """Return what is to be looked at, each of which raises ``StartError`` where it is wrong.

    Args:
        settings: the operator's.
    """
    return (
        lambda: read_policies(settings.version_policy),
        lambda: tracing_of(settings),  # what it loads the workers share
        lambda: settings.api_keys and read_keys(settings.api_keys),  # once for all workers
        lambda: read_credentials(settings),  # likewise
    )
