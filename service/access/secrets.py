"""What the files of secrets hold, kept up to date for workers that are still to begin."""

from typing import NamedTuple

from service.access.key_file import KeyFile
from service.access.keys import Key
from service.settings import Settings
from service.tls.credentials import Credentials
from service.tls.rotation import open_rotation


class Secrets(NamedTuple):
    """What a worker begins with.

    Args:
        keys: of the API; None where the settings name no file, or it is still to be read.
        credentials: of TLS; None likewise.
    """

    keys: tuple[Key, ...] | None = None
    credentials: Credentials | None = None


class SecretFiles:
    """The files that the settings name, as the process above several workers knows them.

    Raises:
        StartError: one of them cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._keys = None if settings.api_keys is None else KeyFile(settings.api_keys)
        self._tls = open_rotation(settings)

    def look(self) -> None:
        """Take what has changed, with no thread; what is broken changes nothing."""
        for each in (self._keys, self._tls):
            if each is not None:
                each.look_alone()

    @property
    def current(self) -> Secrets:
        """What was last of use."""
        return Secrets(
            None if self._keys is None else self._keys.current,
            None if self._tls is None else self._tls.current,
        )
