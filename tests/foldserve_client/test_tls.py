"""Whom the clients trust, and who they are, over TLS."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import trustme

from foldserve_client import Client, Retries, errors
from foldserve_client.tls import tls_context
from tests.foldserve_client.conftest import KINDS
from tests.foldserve_client.fakes import Ask
from tests.foldserve_client.listeners import answers, listener
from tests.service import certificates, servers, zoo


class Files(NamedTuple):
    """Files of PEM, and the server's side.

    Args:
        authority: who has signed the server's certificate and the client's.
        certificate: the client's.
        key: the client's.
        both: the two in one.
        server: a context that shows a certificate.
        strict: one that asks for the client's, too.
    """

    authority: Path
    certificate: Path
    key: Path
    both: Path
    server: ssl.SSLContext
    strict: ssl.SSLContext


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    client = authority.issue_cert("client@example.org")

    def put(name: str, pem: trustme.Blob) -> Path:
        pem.write_to_path(str(folder / name))
        return folder / name

    def context() -> ssl.SSLContext:
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(made)
        return made

    strict = context()
    authority.configure_trust(strict)
    strict.verify_mode = ssl.CERT_REQUIRED
    return Files(
        authority=put("ca.pem", authority.cert_pem),
        certificate=put("client.pem", client.cert_chain_pems[0]),
        key=put("client.key", client.private_key_pem),
        both=put("both.pem", client.private_key_and_cert_chain_pem),
        server=context(),
        strict=strict,
    )


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest) -> Callable[..., Ask]:
    make: Callable[..., Ask] = KINDS[request.param]
    return make


def test_an_authority_in_a_file_is_trusted(client: Callable[..., Ask], files: Files) -> None:
    with listener(answers, answers, tls=files.server) as url:
        assert client(url, verify=files.authority)("models") == ()
        assert client(url, verify=str(files.authority))("models") == ()


def test_a_context_is_taken_as_it_is(client: Callable[..., Ask], files: Files) -> None:
    context = ssl.create_default_context(cafile=files.authority)
    with listener(answers, tls=files.server) as url:
        assert client(url, verify=context)("models") == ()


def test_anyone_is_trusted_where_that_is_asked_for(
    client: Callable[..., Ask], files: Files
) -> None:
    with listener(answers, tls=files.server) as url:
        assert client(url, verify=False)("models") == ()


@pytest.mark.parametrize("name", ["models", "live", "ready"])
def test_a_stranger_is_refused_once_and_is_not_taken_for_a_server_that_is_down(
    client: Callable[..., Ask], files: Files, name: str
) -> None:
    with (
        listener(answers, tls=files.server) as url,
        pytest.raises(errors.CertificateRefused, match="certificate verify failed"),
    ):
        client(url)(name)


@pytest.mark.parametrize("form", ["two files", "one file"])
def test_a_client_has_a_certificate_of_its_own(
    client: Callable[..., Ask], files: Files, form: str
) -> None:
    cert: Any = (files.certificate, files.key) if form == "two files" else files.both
    with listener(answers, tls=files.strict) as url:
        assert client(url, verify=files.authority, cert=cert)("models") == ()


def test_a_client_without_one_fails_where_it_is_asked_for(
    client: Callable[..., Ask], files: Files
) -> None:
    with listener(answers, tls=files.strict) as url, pytest.raises(errors.ConnectionFailed):
        client(url, verify=files.authority, retries=Retries(attempts=1))("models")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, files: Files) -> Iterator[tuple[str, Path]]:
    """The real server, which asks for clients' certificates; its URL, and its authority."""
    models, folder = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("server")
    zoo.put(models, "m", 1, zoo.doubler())
    theirs = certificates.files(folder)
    choices = theirs.choices(TLS_CLIENT_CA=files.authority)
    with servers.server(models, **choices) as running:
        yield running.url, certificates.put(folder, theirs.authority)
        assert running.stop() == 0


def test_the_real_server_knows_a_client_by_its_certificate(
    client: Callable[..., Ask], files: Files, secure: tuple[str, Path]
) -> None:
    url, authority = secure
    x = {"x": np.array([[1, 2, 3]], np.float32)}
    known = client(url, verify=authority, cert=files.both)
    assert known("infer", "m", x)["y"].tolist() == [[2, 4, 6]]
    with pytest.raises(errors.ConnectionFailed):
        client(url, verify=authority, retries=Retries(attempts=1))("infer", "m", x)


def test_a_certificate_goes_with_the_known_authorities_too(files: Files) -> None:
    context = tls_context(verify=True, cert=files.both)
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert tls_context(verify=True, cert=None) is True


def test_a_certificate_beside_a_context_is_refused(files: Files) -> None:
    with pytest.raises(errors.InvalidCall, match="load_cert_chain"):
        Client("https://host", verify=ssl.create_default_context(), cert=files.both)


def test_a_file_that_is_not_there_or_no_certificate_is_pythons_error(
    files: Files, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        Client("https://host", verify=tmp_path / "nothing.pem")
    with pytest.raises(ssl.SSLError):
        Client("https://host", cert=files.key)
