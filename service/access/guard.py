"""What lets a request in: its key is known, has the scope, keeps its rate."""

import base64
import hmac
import time
from collections.abc import Iterable

from service.access.key_file import KeyFile
from service.access.keys import Key, Scope, digest
from service.access.rates import Rates
from service.errors import Forbidden, Unauthorized

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
        file: of the keys.
        paid: memory for the rates, shared by all workers.
    """

    def __init__(self, file: KeyFile, paid: "memoryview[float]") -> None:
        self._file = file
        self._paid = paid
        self._looked = time.monotonic()
        self._take(file.current)

    def require(self, headers: Headers, scope: Scope, *, as_password: bool = False) -> None:
        """Return if who sent these headers may do what needs the scope.

        Args:
            headers: of the request.
            scope: that the key must have.
            as_password: whether the key may also be the password of a browser's user. It opens
                pages, whose dozens of files a browser fetches at once: they are not counted.

        Raises:
            Unauthorized: there is no key, or one that is not known.
            Forbidden: the key has not the scope.
            RateLimited: the key has asked too often.
        """
        key = self._key(headers, scope, as_password=as_password)
        if not as_password:
            self._rates.count(key)

    def identify(self, headers: Headers, scope: Scope) -> Key:
        """Return the key of a request that may go on, and is to be counted where it is answered.

        Raises:
            Unauthorized, Forbidden, RateLimited: as ``require`` says.
        """
        key = self._key(headers, scope, as_password=False)
        self._rates.check(key)
        return key

    def count(self, key: Key) -> None:
        """Count a request of a key.

        Raises:
            RateLimited: the key has asked too often.
        """
        self._rates.count(key)

    def _key(self, headers: Headers, scope: Scope, *, as_password: bool) -> Key:
        now = time.monotonic()
        if now - self._looked > _LOOK_EVERY_S:
            self._looked = now
            self._file.look()
        if self._file.current is not self._keys:
            self._take(self._file.current)
        key = _find(self._known, _offered(headers, as_password=as_password))
        if scope not in key.scopes:
            raise Forbidden(f"the API key has not the scope {scope}")
        return key

    def _take(self, keys: tuple[Key, ...]) -> None:
        self._keys = keys
        self._known = [(key.digest, key) for key in keys]
        self._rates = Rates(keys, self._paid)


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
