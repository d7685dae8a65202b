"""Which versions the words of the setting choose."""

import pytest

from service.errors import StartError
from service.repository.policy import ALL, Policies, Policy, read_policies


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", Policies()),
        ("latest:2", Policies(Policy(latest=2))),
        ("m=1,2;latest:1", Policies(Policy(latest=1), {"m": Policy(specific=("1", "2"))})),
        (" a = 10, 9 ; b=all", Policies(ALL, {"a": Policy(specific=("9", "10")), "b": ALL})),
    ],
)
def test_a_policy_is_read(text: str, expected: Policies) -> None:
    assert read_policies(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("latest", "'latest': 'latest' is not all, latest:N, 1,2"),
        ("latest:0", "'latest:0' is not"),
        ("latest:1;digits=0", "'digits=0': '0' is not"),
        ("digits=1,,2", "'digits=1,,2': '' is not"),
        ("digits=01", "'01' is not"),
        ("digits=1,latest:1", "'latest:1' is not"),
        ("digits=1..3", "'1..3' is not"),
        ("my model=1", "'my model' is no model's name"),
        ("=1", "'' is no model's name"),
        ("a=1;a=2", "'a=2': the model has a policy already"),
        ("all;latest:1", "'latest:1': the other models have a policy already"),
        ("1,2", "'1,2': versions are one model's: NAME=1,2"),
        ("all;", "'': "),
        ("", "'': "),
        ("ALL", "'ALL' is not"),
    ],
)
def test_a_wrong_policy_names_the_part_that_is_wrong(text: str, words: str) -> None:
    with pytest.raises(StartError, match="FOLDSERVE_VERSION_POLICY") as caught:
        read_policies(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["all", "latest:3", "1,2,10"])
def test_a_policy_is_written_as_it_is_read(text: str) -> None:
    assert str(read_policies(f"m={text}").of("m")) == text


def test_versions_are_tried_from_the_highest_by_number() -> None:
    found = ["9", "10", "1"]
    assert ALL.candidates(found) == ["10", "9", "1"]
    assert Policy(specific=("1", "9", "11")).candidates(found) == ["9", "1"]


def test_nothing_goes_while_nothing_of_what_was_chosen_is_served() -> None:
    policy = Policy(specific=("2",))
    assert policy.unwanted(["1"], ["1", "2"]) == set()
    assert policy.unwanted(["1", "2"], ["1", "2"]) == {"1"}


def test_what_is_gone_goes_in_any_case() -> None:
    assert Policy(specific=("2",)).unwanted(["1"], ["2"]) == {"1"}
    assert ALL.unwanted(["1"], []) == {"1"}
