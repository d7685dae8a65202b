"""The version policy in Triton's JSON."""

import json
from typing import Any

import pytest

from service.errors import InvalidRequest
from service.repository.override import policy_of
from service.repository.policy import read_policy

SERVED = {"name": "m", "max_batch_size": 32, "version_policy": {"all": {}}}


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"all": {}}, "all"),
        ({"latest": {}}, "latest:1"),
        ({"latest": {"num_versions": 0}}, "latest:1"),
        ({"latest": {"num_versions": 3}}, "latest:3"),
        ({"latest": {"numVersions": 3}}, "latest:3"),
        ({"latest": {"num_versions": 999_999_999}}, "latest:999999999"),
        ({"specific": {"versions": [10, 9, 9]}}, "9,10"),
        ({"specific": {"versions": ["1", "2"]}}, "1,2"),
    ],
)
@pytest.mark.parametrize("member", ["version_policy", "versionPolicy"])
def test_a_policy_is_read(member: str, stated: Any, expected: str) -> None:
    found = policy_of(json.dumps({member: stated}), SERVED)
    assert str(found) == expected
    assert read_policy(expected) == found  # as it goes to the other workers


def test_what_is_so_already_may_be_said_and_no_policy_is_none() -> None:
    assert policy_of("{}", SERVED) is None
    assert policy_of('{"name": "m", "max_batch_size": 32}', SERVED) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, " must be a JSON object as a string"),
        ({}, " must be a JSON object as a string"),
        ("[]", " must be a JSON object as a string"),
        ("{", " is not JSON"),
        ("[" * 10_000, " is not JSON"),
        (r'{"\ud800": 1}', " is not JSON"),
        ('{"max_batch_size": NaN}', " is not JSON"),
        ('{"name": "other"}', ".name cannot be set"),
        ('{"max_batch_size": 1}', ".max_batch_size cannot be set"),
        ('{"' + "x" * 200 + '": 1}', "." + "x" * 60 + " cannot be set"),
        ('{"version_policy": {}}', ".version_policy must be one of"),
        ('{"version_policy": null}', ".version_policy must be one of"),
        ('{"version_policy": {"all": {}, "latest": {}}}', ".version_policy must be one of"),
        ('{"version_policy": {"newest": {}}}', ".version_policy must be one of"),
        ('{"version_policy": {"latest": 1}}', ".version_policy must be one of"),
        ('{"version_policy": {"all": {"x": 1}}}', ".version_policy.all must"),
        ('{"version_policy": {"latest": {"num_versions": -1}}}', ".version_policy.latest."),
        ('{"version_policy": {"latest": {"num_versions": true}}}', ".version_policy.latest."),
        ('{"version_policy": {"latest": {"num_versions": "1"}}}', ".version_policy.latest."),
        ('{"version_policy": {"latest": {"num_versions": 1e99}}}', ".version_policy.latest."),
        ('{"version_policy": {"latest": {"num_versions": []}}}', ".version_policy.latest."),
        ('{"version_policy": {"latest": {"num_versions": false}}}', ".version_policy.latest."),
        (
            '{"version_policy": {"latest": {"num_versions": 1, "numVersions": 2}}}',
            ".version_policy.latest.",
        ),
        ('{"version_policy": {"latest": {"num_versions": 1000000000}}}', ".version_policy.latest."),
        ('{"version_policy": {"latest": {"n": 1}}}', ".version_policy.latest."),
        ('{"version_policy": {"specific": {}}}', ".version_policy.specific."),
        ('{"version_policy": {"specific": {"versions": []}}}', ".version_policy.specific."),
        ('{"version_policy": {"specific": {"versions": [0]}}}', ".version_policy.specific."),
        (
            '{"version_policy": {"specific": {"versions": [' + "1," * 100 + "1]}}}",
            ".version_policy.specific.versions must be a list of 1 to 100",
        ),
        ('{"name": "m"' + " " * 70_000 + "}", " is longer than 65536 characters"),
        ('{"version_policy": {"specific": {"versions": [true]}}}', ".version_policy.specific."),
        ('{"version_policy": {"specific": {"versions": ["../1"]}}}', ".version_policy.specific."),
        ('{"version_policy": {"all": {}}, "versionPolicy": {"all": {}}}', " has two"),
    ],
)
def test_what_a_load_cannot_choose_is_refused_by_name(text: Any, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        policy_of(text, SERVED)
    assert str(caught.value).startswith(f"parameters.config{words}")
