"""Compressed bodies."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BodyTooLarge, InvalidEncoding, UnsupportedEncoding
from service.wire.encodings import compress, decompress

LIMIT = 100_000
PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}
LARGE = b"0.125," * 1000


@given(st.binary(max_size=2000), st.sampled_from(sorted(PACK)))
def test_what_was_packed_is_unpacked(plain: bytes, encoding: str) -> None:
    assert decompress(PACK[encoding](plain), encoding, LIMIT) == plain


@pytest.mark.parametrize("name", ["GZIP", " gzip ", "x-gzip"])
def test_a_name_may_be_written_otherwise(name: str) -> None:
    assert decompress(gzip.compress(b"a"), name, LIMIT) == b"a"


def test_identity_is_the_body_itself() -> None:
    assert decompress(b"a", "Identity", LIMIT) == b"a"


@pytest.mark.parametrize("name", ["br", "zstd", "", "gzip, gzip", "gzip, deflate", "compress"])
def test_another_encoding_or_several_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="gzip and deflate"):
        decompress(gzip.compress(b"a"), name, LIMIT)


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_of_exactly_the_limit_is_taken_and_a_byte_more_is_not(encoding: str) -> None:
    assert len(decompress(PACK[encoding](b"a" * LIMIT), encoding, LIMIT)) == LIMIT
    with pytest.raises(BodyTooLarge, match=f"larger than {LIMIT} bytes"):
        decompress(PACK[encoding](b"a" * (LIMIT + 1)), encoding, LIMIT)


@pytest.mark.parametrize("encoding", PACK)
def test_a_bomb_costs_no_more_than_the_limit(encoding: str) -> None:
    bomb = PACK[encoding](bytes(2**24))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            decompress(bomb, encoding, LIMIT)
        # The pieces and, for a moment, what they are joined to; and the rest of the bomb.
        assert tracemalloc.get_traced_memory()[1] < 3 * LIMIT + len(bomb)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_that_ends_early_is_refused_wherever_it_ends(encoding: str) -> None:
    whole = PACK[encoding](LARGE)
    for length in range(len(whole)):
        with pytest.raises(InvalidEncoding, match="ends early"):
            decompress(whole[:length], encoding, LIMIT)


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("more", [b"\0", b"garbage", gzip.compress(b"again")])
def test_a_body_that_goes_on_is_refused(encoding: str, more: bytes) -> None:
    with pytest.raises(InvalidEncoding, match="goes on"):
        decompress(PACK[encoding](b"a") + more, encoding, LIMIT)


@pytest.mark.parametrize("encoding", PACK)
def test_damage_is_found_by_the_checksum(encoding: str) -> None:
    whole = bytearray(PACK[encoding](LARGE))
    whole[-5] ^= 1  # of gzip a byte of the checksum, of zlib the last of the data
    with pytest.raises(InvalidEncoding):
        decompress(bytes(whole), encoding, LIMIT)


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_of_another_encoding_is_refused(encoding: str) -> None:
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    for body in (b"hello, world", raw.compress(LARGE) + raw.flush()):
        with pytest.raises(InvalidEncoding, match=f"not {encoding}"):
            decompress(body, encoding, LIMIT)


@given(st.binary(max_size=300), st.sampled_from(sorted(PACK)))
def test_any_bytes_are_unpacked_or_refused(body: bytes, encoding: str) -> None:
    try:
        decompress(body, encoding, 1000)
    except (InvalidEncoding, BodyTooLarge):
        return


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("deflate, gzip", "gzip"),
        ("GZip ; Q=0.5", "gzip"),
        ("gzip;q=0.5, deflate;q=0.6", "deflate"),
        ("gzip;q=0, deflate;q=0.001", "deflate"),
        ("x-gzip", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0, *", "deflate"),
        ("br;q=1, *;q=0.1", "gzip"),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("br", None),
        ("", None),
        ("identity", None),
        ("gzip;q=0", None),
        ("*;q=0", None),
        ("gzip;q=high", None),
        ("gzip;q=nan", None),
        ("gzip;q", None),
        (";;,,=", None),
    ],
)
def test_the_client_chooses_the_encoding(accepted: str, chosen: str | None) -> None:
    body, name = compress(LARGE, accepted)
    assert name == chosen
    assert (UNPACK[name](body) if name else body) == LARGE
    assert name is None or len(body) < len(LARGE) / 2


@given(st.text(max_size=100))
def test_no_header_is_too_odd(accepted: str) -> None:
    body, name = compress(LARGE, accepted)
    assert (UNPACK[name](body) if name else body) == LARGE


def test_a_small_body_stays_as_it_is() -> None:
    assert compress(b"1" * 4095, "gzip") == (b"1" * 4095, None)
    assert compress(b"1" * 4096, "gzip")[1] == "gzip"


def test_numbers_as_digits_shrink_and_as_bits_stay_as_they_are() -> None:
    values = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    digits = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    assert len(compress(digits, "gzip")[0]) < 0.6 * len(digits)
    assert compress(b'{"outputs":[]}' + values.tobytes(), "gzip")[1] is None
