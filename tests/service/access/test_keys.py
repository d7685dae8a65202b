"""The file of keys is read strictly, and never holds a key."""

import tomllib
from pathlib import Path

import pytest

from service.access.keys import digest, new_key, read_keys
from service.errors import StartError
from tests.service.keys import entry, put


def test_a_key_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    path = put(tmp_path)
    assert [key.name for key in read_keys(path)] == ["predict", "metrics", "control"]
    assert "fs_predict" not in path.read_text()


def test_a_new_key_is_found_in_the_file_that_gets_its_entry(tmp_path: Path) -> None:
    key, text = new_key('a "b" \\', ["predict", "metrics"], 2.5, 7)
    path = tmp_path / "keys.toml"
    path.write_text(text)
    (found,) = read_keys(path)
    assert (found.name, found.requests_per_s, found.burst) == ('a "b" \\', 2.5, 7)
    assert found.scopes == {"predict", "metrics"}
    assert found.digest == digest(key.encode())
    assert key.startswith("fs_")
    assert len(key) > 40
    assert key not in text
    assert tomllib.loads(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "key"),
        ("key = []", "at least 1"),
        (entry("a", "k", "predict") + "#" * 2**20, "larger than 1048576 bytes"),
        ("not toml", "not TOML"),
        ("\udcff", "not TOML"),
        (entry("a", "k", "predict", "secret = 1"), "key.0.secret"),
        (entry("a", "k", "all"), "key.0.scopes.0"),
        (entry("a", "k", "predict", "requests_per_s = 0"), "requests_per_s"),
        ('[[key]]\nname = "a"\nsha256 = "fs_plain"\nscopes = ["predict"]', "key.0.sha256"),
        (entry("a", "k", "predict", "burst = 5"), "burst is of a rate"),
        (entry("a", "k", "predict") + entry("a", "l", "predict"), "the same name"),
        (entry("a", "k", "predict") + entry("b", "k", "metrics"), "the same sha256"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_the_settings_name(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(StartError, match=r"^FOLDSERVE_API_KEYS: ") as caught:
        read_keys(path)
    assert reason in str(caught.value)
    assert "fs_plain" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"there is no .*none\.toml; foldserve-serve key NAME"):
        read_keys(tmp_path / "none.toml")
