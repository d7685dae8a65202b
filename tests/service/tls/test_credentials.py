"""What is wrong with the files of TLS is told by the setting's name, before anything is served."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from service.errors import StartError
from service.tls.credentials import read_credentials
from tests.service import certificates
from tests.service.apps import settings
from tests.service.certificates import TOMORROW, YESTERDAY, Files, files

CERTIFICATE, KEY, CLIENT_CA = (
    f"FOLDSERVE_TLS_{name}" for name in ("CERTIFICATE", "KEY", "CLIENT_CA")
)


def told(given: Files, **more: Path) -> str:
    """What a start with these files is refused with."""
    with pytest.raises(StartError) as caught:
        read_credentials(given.settings(Path("models"), **more))
    message = str(caught.value)
    assert "\n" not in message
    assert "PRIVATE" not in message
    return message


def test_without_settings_there_is_no_tls() -> None:
    assert read_credentials(settings(Path("models"))) is None


@pytest.mark.parametrize("kind", trustme.KeyType)
def test_a_certificate_and_its_key_are_taken(tmp_path: Path, kind: trustme.KeyType) -> None:
    given = files(tmp_path, key_type=kind, not_after=TOMORROW)
    found = read_credentials(given.settings(tmp_path))
    assert found is not None
    assert found.chain == given.certificate.read_bytes()
    assert found.key == given.key.read_bytes()
    assert found.client_ca is None
    assert f"{TOMORROW:%b} {TOMORROW.day:2} " in found.expires
    assert "PRIVATE" not in repr(found)


def test_a_chain_by_way_of_another_authority_is_taken(tmp_path: Path) -> None:
    between = trustme.CA().create_child_ca()
    given = files(tmp_path, between)
    assert given.certificate.read_bytes().count(b"BEGIN") == 2
    assert read_credentials(given.settings(tmp_path)) is not None


def test_both_may_stand_in_one_file_with_words_around_them(tmp_path: Path) -> None:
    given = files(tmp_path)
    both = (
        "Schlüssel und Zertifikat\n".encode()
        + given.key.read_bytes()
        + given.certificate.read_bytes()
    )
    given.certificate.write_bytes(both)
    one = Files(given.authority, given.certificate, given.certificate)
    assert read_credentials(one.settings(tmp_path)) is not None


def missing(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("no PEM\n")


def cut(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def huge(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(2**20))


DAMAGES: dict[Callable[[Path], None], str] = {
    missing: "No such file or directory",
    folder: "Is a directory",
    empty: "it holds no ",
    text: "it holds no ",
    cut: "it holds no ",
    huge: "it is larger than 1048576 bytes",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    authority = trustme.CA()
    for setting in (CERTIFICATE, KEY, CLIENT_CA):
        given = files(tmp_path, authority)
        client_ca = certificates.put(tmp_path, authority)
        path = {CERTIFICATE: given.certificate, KEY: given.key, CLIENT_CA: client_ca}[setting]
        damage(path)
        message = told(given, tls_client_ca=client_ca)
        assert message.startswith(f"{setting}={path}: {DAMAGES[damage]}"), message
        if path.is_dir():
            path.rmdir()


@pytest.mark.parametrize("kind", trustme.KeyType)
def test_the_key_of_another_certificate_is_refused(tmp_path: Path, kind: trustme.KeyType) -> None:
    given = files(tmp_path)
    other = trustme.CA().issue_cert("localhost", key_type=kind)
    other.private_key_pem.write_to_path(str(given.key))
    assert told(given) == (
        f"{KEY}={given.key}: it is not the key of the first certificate in {given.certificate}"
    )


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    given = files(tmp_path)
    given.key.write_bytes(certificates.encrypted(given.key.read_bytes()))
    assert told(given).startswith(f"{KEY}={given.key}: the key is encrypted")


def test_a_certificate_out_of_its_time_is_refused(tmp_path: Path) -> None:
    past = files(tmp_path, not_after=YESTERDAY)
    assert told(past) == f"{CERTIFICATE}={past.certificate}: certificate has expired"
    coming = files(tmp_path, not_before=TOMORROW)
    assert told(coming) == f"{CERTIFICATE}={coming.certificate}: certificate is not yet valid"


def test_a_certificate_for_clients_alone_is_refused(tmp_path: Path) -> None:
    given = certificates.only_for_clients(tmp_path)
    assert told(given).startswith(f"{CERTIFICATE}={given.certificate}: ")
