"""New keys are taken, and a broken file changes nothing."""

from pathlib import Path

import pytest
import structlog

from service.access.key_file import KeyFile
from service.access.secrets import SecretFiles
from service.errors import StartError
from tests.service import keys
from tests.service.apps import settings
from tests.service.certificates import files, replace


def names(file: KeyFile) -> list[str]:
    return [key.name for key in file.current]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return keys.put(tmp_path)


def test_a_changed_file_is_taken_and_a_broken_one_is_not(path: Path) -> None:
    file = KeyFile(path)
    assert names(file) == ["predict", "metrics", "control"]
    with structlog.testing.capture_logs() as events:
        file.look_alone()
        replace(path, keys.entry("new", "fs_new", "predict").encode())
        file.look_alone()
        assert names(file) == ["new"]
        replace(path, b"broken")
        file.look_alone()
        path.unlink()
        file.look_alone()
    assert names(file) == ["new"]
    told = [each["event"] for each in events]
    assert told == ["new API keys", "the old API keys stay", "the old API keys stay"]


def test_who_comes_later_knows_the_keys_whatever_the_file_holds(path: Path) -> None:
    first = KeyFile(path)
    replace(path, b"broken")
    with pytest.raises(StartError):
        KeyFile(path)
    later = KeyFile(path, first.current)
    later.look_alone()
    assert later.current == first.current


def test_what_was_taken_back_before_the_file_broke_stays_taken_back(
    path: Path, tmp_path: Path
) -> None:
    given = files(tmp_path)
    above = SecretFiles(given.settings(tmp_path, api_keys=path))
    replace(path, keys.entry("new", "fs_new", "predict").encode())
    given.rotate(given.authority)
    above.look()
    new = given.certificate.read_bytes()
    replace(path, b"broken")
    replace(given.certificate, b"broken")
    above.look()
    later = above.current
    assert later.keys is not None
    assert later.credentials is not None
    assert [key.name for key in later.keys] == ["new"]
    assert later.credentials.chain == new


def test_without_settings_there_are_no_secrets(tmp_path: Path) -> None:
    above = SecretFiles(settings(tmp_path))
    above.look()
    assert above.current == (None, None)
