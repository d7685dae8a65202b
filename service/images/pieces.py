"""The bytes of an image file, of which no reader takes more pieces than an honest file has.

Pillow reads a file's structure in Python, piece by piece. A file may be nothing but structure:
sixteen megabytes of markers without anything behind them took seven seconds, and as much of color
profiles that each unpack to a megabyte took forty. What makes the pixels is read in few pieces.
"""

import io

from service.errors import InvalidImage

# Of a file up to here, reading structure takes a fifth of a second whatever it is.
_SMALL = 2**16

# Pieces of any file, and one more for so many bytes of it. Writers of PNG cut the pixels into
# chunks of 8 KiB and more, each of which is read in four or five pieces.
_PIECES = 4096
_BYTES_A_PIECE = 256

# What is done with them costs hundreds of times as much as to read a piece: a profile is unpacked,
# and EXIF is copied together with all that came before it. There are one or two in a picture.
_DEAR_PIECES = 500
_PROFILE = b"iCCP"  # behind a length of four bytes
_EXIF = b"Exif\0\0"


def reader_of(data: bytes) -> io.BytesIO:
    """Return a reader of an image file.

    Its ``read`` raises ``InvalidImage`` once the file was read in more pieces than it may have.
    """
    return io.BytesIO(data) if len(data) <= _SMALL else _Counting(data)


class _Counting(io.BytesIO):
    """Counts what is read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = _PIECES + len(data) // _BYTES_A_PIECE

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        is_dear = piece[4:8] == _PROFILE or piece[:6] == _EXIF
        self._left -= _DEAR_PIECES if is_dear else 1
        if self._left < 0:
            raise InvalidImage("the image's file is cut into more pieces than a picture has")
        return piece
