"""New credentials are taken whole, and broken ones change nothing."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trustme

from service.errors import StartError
from service.tls.credentials import read_credentials
from service.tls.rotation import Rotation, open_rotation
from tests.service import certificates
from tests.service.apps import settings
from tests.service.certificates import Files, files

Events = list[structlog.types.EventDict]

PATIENCE_S = 30


@pytest.fixture
def events() -> Iterator[Events]:
    with structlog.testing.capture_logs() as events:
        yield events


@pytest.fixture
def given(tmp_path: Path) -> Files:
    return files(tmp_path)


@pytest.fixture
def rotation(given: Files, tmp_path: Path) -> Rotation:
    found = open_rotation(given.settings(tmp_path))
    assert found is not None
    look(found)  # the first look always reads
    return found


def look(rotation: Rotation) -> None:
    """Look, and wait for what is read."""
    rotation.look()
    for thread in threading.enumerate():
        if thread.name == "reads again":
            thread.join(PATIENCE_S)


def told(events: Events, event: str) -> int:
    return sum(each["event"] == event for each in events)


def test_without_settings_there_is_nothing_to_rotate() -> None:
    assert open_rotation(settings(Path("models"))) is None


def test_what_stays_the_same_keeps_its_context(given: Files, rotation: Rotation) -> None:
    """Sessions that it has begun can be resumed with it alone."""
    before = rotation.current
    certificates.replace(given.certificate, given.certificate.read_bytes())
    look(rotation)
    assert rotation.current is before


def test_new_files_are_taken_both_at_once(given: Files, rotation: Rotation, events: Events) -> None:
    before = rotation.current
    given.rotate(given.authority)
    look(rotation)
    after = rotation.current
    assert after.chain == given.certificate.read_bytes() != before.chain
    assert after.key == given.key.read_bytes()
    assert after.context is not before.context
    assert told(events, "new certificate") == 1


def test_half_of_new_files_changes_nothing(
    given: Files, rotation: Rotation, events: Events
) -> None:
    before = rotation.current
    whole = given.certificate.read_bytes()
    given.rotate(given.authority)
    new = given.certificate.read_bytes()
    certificates.replace(given.certificate, whole)
    look(rotation)
    look(rotation)  # told once, not each second
    assert rotation.current is before
    assert told(events, "the old certificate stays") == 1
    certificates.replace(given.certificate, new)
    look(rotation)
    assert rotation.current.chain == new


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("no PEM")])
def test_a_broken_file_changes_nothing(
    given: Files, rotation: Rotation, events: Events, damage: object
) -> None:
    before = rotation.current
    assert callable(damage)
    damage(given.key)
    look(rotation)
    assert rotation.current is before
    reason = next(each["reason"] for each in events if "reason" in each)
    assert reason.startswith(f"FOLDSERVE_TLS_KEY={given.key}: ")


def test_other_authorities_of_clients_are_taken_too(tmp_path: Path) -> None:
    given = files(tmp_path)
    client_ca = certificates.put(tmp_path, trustme.CA())
    rotation = open_rotation(given.settings(tmp_path, tls_client_ca=client_ca))
    assert rotation is not None
    certificates.put(tmp_path, trustme.CA())
    look(rotation)
    assert rotation.current.client_ca == client_ca.read_bytes()
    assert len(rotation.current.context.get_ca_certs()) == 1  # and not the old one beside it


def test_a_worker_that_comes_later_begins_with_what_the_first_ones_had(
    given: Files, tmp_path: Path
) -> None:
    choice = given.settings(tmp_path)
    first = read_credentials(choice)
    given.key.unlink()
    with pytest.raises(StartError):
        open_rotation(choice)
    later = open_rotation(choice, first)
    assert later is not None
    look(later)
    assert later.current is first


def test_a_worker_that_comes_later_takes_what_is_there_at_once(
    given: Files, tmp_path: Path
) -> None:
    choice = given.settings(tmp_path)
    first = read_credentials(choice)
    given.rotate(given.authority)
    later = open_rotation(choice, first)
    assert later is not None
    look(later)
    assert later.current.chain == given.certificate.read_bytes()


def test_it_can_be_read_with_no_thread(given: Files, tmp_path: Path) -> None:
    rotation = open_rotation(given.settings(tmp_path))
    assert rotation is not None
    given.rotate(given.authority)
    threads = threading.enumerate()
    rotation.look_alone()
    assert rotation.current.chain == given.certificate.read_bytes()
    assert threading.enumerate() == threads


@pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o644, 1)])
def test_a_key_that_everybody_can_read_is_told(
    given: Files, tmp_path: Path, events: Events, mode: int, warnings: int
) -> None:
    given.key.chmod(mode)
    open_rotation(given.settings(tmp_path))
    assert told(events, "every user of this machine can read the private key of TLS") == warnings
