"""The configuration that comes with a load, in Triton's JSON: it may choose other versions.

It stands in the place of the model's own until the next load, so this is how a swap is rolled
back: ``{"version_policy": {"specific": {"versions": [1]}}}``. What else it says must be so
already, as it is in a configuration that a client read here and sends back with another policy.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from service.errors import InvalidRequest
from service.repository.names import VERSION
from service.repository.policy import ALL, Policy, specific

# As `policy` writes and reads it.
_MOST_LATEST = 10**9 - 1

# Characters: more than a model of hundreds of tensors has. Over HTTP the whole body has no more.
_LONGEST = 2**16

# They go to every worker, and into the answer if none of them is there.
_MOST_VERSIONS = 100

# As protobuf's readers of JSON take both.
_POLICY = ("version_policy", "versionPolicy")
_COUNT = ("num_versions", "numVersions")


def policy_of(text: object, served: Mapping[str, Any]) -> Policy | None:
    """Return the version policy of a configuration; None if it has none.

    Args:
        text: the parameter of the load.
        served: the configuration that the model has now.

    Raises:
        InvalidRequest: it is no configuration, or asks for what only the settings say.
    """
    config = _config(text)
    for member, value in config.items():
        if member not in _POLICY and (member not in served or served[member] != value):
            raise _wrong(f".{member[:60]} cannot be set by a load; version_policy can")
    stated = [config[member] for member in _POLICY if member in config]
    if len(stated) > 1:
        raise _wrong(" has two version policies")
    return _policy(stated[0]) if stated else None


def _config(text: object) -> dict[str, Any]:
    if isinstance(text, str) and len(text) > _LONGEST:
        raise _wrong(f" is longer than {_LONGEST} characters")
    try:
        # The reader of the request itself: half a surrogate, which no answer could quote, is no
        # text to it.
        config = orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError:
        raise _wrong(" is not JSON") from None
    if not isinstance(config, dict):
        raise _wrong(" must be a JSON object as a string")
    return config


def _policy(stated: object) -> Policy:
    if not isinstance(stated, dict) or len(stated) != 1:
        raise _wrong(".version_policy must be one of latest, all, specific")
    ((choice, choices),) = stated.items()
    if choice not in ("latest", "all", "specific") or not isinstance(choices, dict):
        raise _wrong(".version_policy must be one of latest, all, specific")
    read = {"all": _all, "latest": _latest, "specific": _specific}[choice]
    return read(choices)


def _all(choices: dict[str, Any]) -> Policy:
    if choices:
        raise _wrong(".version_policy.all must be {}")
    return ALL


def _latest(choices: dict[str, Any]) -> Policy:
    counts = [choices.pop(name) for name in _COUNT if name in choices] or [0]
    count = counts[0]
    if len(counts) > 1 or type(count) is not int or not 0 <= count <= _MOST_LATEST or choices:
        raise _wrong(".version_policy.latest.num_versions must be a number of versions")
    return Policy(latest=count or 1)  # without a number, as with none, it is one in Triton


def _specific(choices: dict[str, Any]) -> Policy:
    versions = choices.pop("versions", None)
    # Protobuf writes 64 bits as strings.
    if not isinstance(versions, list) or not 0 < len(versions) <= _MOST_VERSIONS:
        raise _wrong(f".version_policy.specific.versions must be a list of 1 to {_MOST_VERSIONS}")
    if choices or not all(map(_named, versions)):
        raise _wrong(".version_policy.specific.versions must be versions such as [1, 2]")
    return specific(map(str, versions))


def _named(version: object) -> bool:
    return type(version) in (int, str) and VERSION.fullmatch(str(version)) is not None


def _wrong(what: str) -> InvalidRequest:
    return InvalidRequest(f"parameters.config{what}")
