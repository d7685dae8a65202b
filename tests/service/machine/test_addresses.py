"""Host names to addresses, addresses to sockets."""

import socket

import pytest

from service.errors import StartError
from service.machine.addresses import bind, resolve


def test_a_number_is_its_own_address() -> None:
    assert resolve("127.0.0.1", 80) == (socket.AF_INET, ("127.0.0.1", 80))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 64])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(StartError, match=f"^FOLDSERVE_HOST={host}: "):
        resolve(host, 1)


def test_an_address_is_shared_by_those_who_say_so() -> None:
    with bind(resolve("127.0.0.1", 0), shared=True) as first:
        address = resolve(*first.getsockname())
        with bind(address, shared=True) as second:
            assert second.getsockname() == first.getsockname()
        first.listen()
        with pytest.raises(OSError, match="in use"):
            bind(address)
