"""The file of API keys: names, hashes, scopes, rates; no key stands in it.

    [[key]]
    name = "shop"
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    scopes = ["predict"]
    requests_per_s = 100
    burst = 200

A plain hash is right for a random key of 256 bits: nobody tries that many, so a slow hash,
which passwords need, would protect nothing and cost every request its time.
"""

import hashlib
import json
import secrets
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.environment import variable
from service.errors import StartError

Scope = Literal["predict", "metrics", "control"]

# Tells a key from other secrets, for people and for scanners of what was published.
_PREFIX = "fs_"

_RANDOM_BYTES = 32

# Every request is compared with all of them.
_MOST_KEYS = 100

# A hundred entries are a few tens of kilobytes.
_LARGEST_FILE = 2**20


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Key(_Part):
    """An entry of the file."""

    name: str = Field(min_length=1, max_length=100)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    # TOML has arrays, which a strict set would refuse.
    scopes: Annotated[frozenset[Scope], Field(min_length=1, strict=False)]
    requests_per_s: float | None = Field(default=None, gt=0, le=1e6, allow_inf_nan=False)
    burst: int = Field(default=1, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _burst_is_of_a_rate(self) -> Self:
        if self.requests_per_s is None and "burst" in self.model_fields_set:
            raise ValueError("burst is of a rate, and there is no requests_per_s")
        return self

    @property
    def digest(self) -> bytes:
        """The hash as ``digest`` returns it."""
        return bytes.fromhex(self.sha256)


class _File(_Part):
    key: Annotated[list[Key], Field(min_length=1, max_length=_MOST_KEYS)]


def digest(key: bytes) -> bytes:
    """Return what is kept of a key."""
    return hashlib.sha256(key).digest()


def read_keys(path: Path) -> tuple[Key, ...]:
    """Return the entries of a file.

    Raises:
        StartError: it cannot be read, is not of this form, or names one thing twice.
    """
    try:
        found = _File.model_validate(tomllib.loads(_read(path).decode())).key
    except FileNotFoundError:
        raise _refusal(f"there is no {path}; foldserve-serve key NAME >> {path} makes it") from None
    except OSError as error:
        raise _refusal(error.strerror or "it cannot be read") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _refusal(f"{place}: {first['msg']}") from None
    except ValueError as error:  # no UTF-8, no TOML
        raise _refusal(f"not TOML: {type(error).__name__}") from None
    for what in ("name", "sha256"):
        if len({getattr(key, what) for key in found}) < len(found):
            raise _refusal(f"two keys have the same {what}")
    return tuple(found)


def new_key(
    name: str,
    scopes: Sequence[str],
    requests_per_s: float | None = None,
    burst: int | None = None,
) -> tuple[str, str]:
    """Return a new random key, and the entry for the file.

    Raises:
        ValidationError: a value is none of such an entry.
    """
    key = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    fields = {"name": name, "sha256": digest(key.encode()).hex(), "scopes": list(scopes)}
    stated = {"requests_per_s": requests_per_s, "burst": burst}
    given = {field: value for field, value in stated.items() if value is not None}
    entry = Key.model_validate(fields | given)
    # JSON's strings are TOML's, too.
    lines = ["[[key]]", f"name = {json.dumps(entry.name, ensure_ascii=False)}"]
    lines.append(f'sha256 = "{entry.sha256}"')
    lines.append(f"scopes = {sorted(entry.scopes)}".replace("'", '"'))
    lines += [f"{field} = {value}" for field, value in given.items()]
    return key, "\n".join(lines) + "\n"


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        text = file.read(_LARGEST_FILE + 1)
    if len(text) > _LARGEST_FILE:  # what is cut off would be keys that nobody misses
        raise _refusal(f"it is larger than {_LARGEST_FILE} bytes")
    return text


def _refusal(reason: str) -> StartError:
    return StartError(f"{variable('api_keys')}: the file of keys cannot be used: {reason}")
