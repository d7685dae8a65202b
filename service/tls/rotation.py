"""The credentials of today: those of the start, until their files hold others."""

import structlog

from service.errors import StartError
from service.machine.watched_files import WatchedFiles, is_open_to_all
from service.settings import Settings
from service.tls.credentials import Credentials, paths, read_credentials

log = structlog.get_logger()


class Rotation:
    """Takes new credentials for new connections; those that are open keep theirs.

    Args:
        settings: name the files.
        credentials: what they held when they were last of use, so that a worker that takes the
            place of another serves whatever the files hold by then.
    """

    def __init__(self, settings: Settings, credentials: Credentials) -> None:
        self.current = credentials
        self._settings = settings
        self._files = WatchedFiles(paths(settings), self._read_again, seen=())

    def look(self) -> None:
        """Have the files read if they have changed; what they hold is taken a moment later."""
        self._files.look()

    def look_alone(self) -> None:
        """Take what the files hold at once if they have changed, with no thread."""
        self._files.look_alone()

    def _read_again(self) -> None:
        """Take new credentials; such as cannot be used change nothing."""
        try:
            found = read_credentials(self._settings)
        except StartError as error:
            log.warning("the old certificate stays", reason=str(error))
            return
        if found is not None and found != self.current:
            self.current = found
            log.info("new certificate", expires=found.expires)


def open_rotation(settings: Settings, credentials: Credentials | None = None) -> Rotation | None:
    """Return the rotation of the files that the settings name; None where they name none.

    Args:
        settings: the operator's.
        credentials: what the files held when they were last of use, if that is known.

    Raises:
        StartError: the files cannot be used.
    """
    if credentials is not None:
        return Rotation(settings, credentials)
    credentials = read_credentials(settings)
    if credentials is None:
        return None
    log.info("certificate", expires=credentials.expires)
    if settings.tls_key is not None and is_open_to_all(settings.tls_key):
        log.warning("every user of this machine can read the private key of TLS")
    return Rotation(settings, credentials)
