"""The one function that lets a request in: its key is known, has the scope, keeps its rate."""

import base64
import hmac
import time
from collections.abc import Iterable
from pathlib import Path

import structlog

from service.access.keys import Key, Scope, digest, read_keys
from service.access.rates import Rates
from service.errors import Forbidden, StartError, Unauthorized
from service.machine.watched_files import WatchedFiles, is_open_to_all, mark

log = structlog.get_logger()

Headers = Iterable[tuple[bytes, bytes]]
"""With names in lower case."""

# A key that is taken back is refused from then on.
_LOOK_EVERY_S = 1.0

_BEARER = b"bearer "
_BASIC = b"basic "

_UNKNOWN = "an API key is needed, as Authorization: Bearer or as X-API-Key"


class Guard:
    """Knows the keys of a file, and looks at it again when it changes.

    Args:
        path: of the file.
        paid: memory for the rates, shared by all workers.

    Raises:
        StartError: the file cannot be used.
    """

    def __init__(self, path: Path, paid: "memoryview[float]") -> None:
        self._path = path
        self._paid = paid
        self._looked = time.monotonic()
        self._file = WatchedFiles([path], self._read_again, [mark(path)])
        self._take(read_keys(path))
        if is_open_to_all(path):
            log.warning("every user of this machine can read the file of API keys")

    def require(self, headers: Headers, scope: Scope, *, as_password: bool = False) -> None:
        """Return if who sent these headers may do what needs the scope.

        Args:
            headers: of the request.
            scope: that the key must have.
            as_password: whether the key may also be the password of a browser's user.

        Raises:
            Unauthorized: there is no key, or one that is not known.
            Forbidden: the key has not the scope.
            RateLimited: the key has asked too often.
        """
        now = time.monotonic()
        if now - self._looked > _LOOK_EVERY_S:
            self._looked = now
            self._file.look()
        known, rates = self._known
        key = _find(known, _offered(headers, as_password=as_password))
        if scope not in key.scopes:
            raise Forbidden(f"the API key has not the scope {scope}")
        rates.count(key)

    def _take(self, keys: tuple[Key, ...]) -> None:
        # In one assignment: a request sees the keys of one file.
        self._known = [(key.digest, key) for key in keys], Rates(keys, self._paid)

    def _read_again(self) -> None:
        """Take the keys of the file; one that is broken changes nothing."""
        try:
            keys = read_keys(self._path)
        except StartError as error:
            log.warning("the old API keys stay", reason=str(error))
        else:
            self._take(keys)
            log.info("new API keys", count=len(keys))


def _find(known: list[tuple[bytes, Key]], offered: bytes) -> Key:
    # Compared with all of them, each in a time that is the same for every value: how long it
    # takes tells nothing of a hash that is kept.
    found = None
    asked = digest(offered)
    for hashed, key in known:
        if hmac.compare_digest(hashed, asked):
            found = key
    if found is None:
        raise Unauthorized(_UNKNOWN)
    return found


def _offered(headers: Headers, *, as_password: bool) -> bytes:
    """Return the one key of a request; two could mean two things to two readers."""
    found = []
    for name, value in headers:
        if name == b"x-api-key":
            found.append(value)
        elif name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            found.append(value[len(_BEARER) :])
        elif as_password and name == b"authorization" and value[: len(_BASIC)].lower() == _BASIC:
            found.append(_password(value[len(_BASIC) :]))
    if len(found) != 1:
        raise Unauthorized(_UNKNOWN)
    return found[0].strip()


def _password(credentials: bytes) -> bytes:
    """Return what stands behind the user's name, whatever that is (RFC 7617)."""
    try:
        _user, _, password = base64.b64decode(credentials.strip(), validate=True).partition(b":")
    except ValueError:
        return b""
    return password
