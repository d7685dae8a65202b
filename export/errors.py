"""What can go wrong, along the way of the data.

    ExportError                    base; its message is one line for the user
    ├── UsageError            2    an option or argument does not make sense
    ├── SourceError           2    the model to export cannot be read or converted
    ├── NothingFoldedError    1    the network has batch norms and not one could be folded
    ├── ParityError           1    the folded model does not compute what the original computes
    ├── PrecisionError        1    narrower numbers overflow, or cost more accuracy than allowed
    └── ArtifactError         2    the artifact cannot be written, or a file is not one

The number is the exit code: 1 says that what was checked is not so, 2 that it could not be checked.
"""

import re
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from export.folding import FoldReport

COLOR = re.compile(r"\x1b\[[0-9;]*m")  # as terminals understand it
LONGEST_QUOTE = 300  # characters; libraries put whole graphs into their messages


class ExportError(Exception):
    """Anything that ends an export; the message says what to do."""

    exit_code: ClassVar[int] = 2


class UsageError(ExportError):
    """An option or argument does not make sense."""


class SourceError(ExportError):
    """The model to export cannot be read or converted."""


class NothingFoldedError(ExportError):
    """The network has batch norms, and not one of them could be folded.

    Attributes:
        report: Why each of them stayed.
    """

    exit_code = 1

    def __init__(self, message: str, report: "FoldReport") -> None:
        super().__init__(message)
        self.report = report


class ParityError(ExportError):
    """The folded model does not compute what the original computes."""

    exit_code = 1


class PrecisionError(ExportError):
    """Narrower numbers overflow, or cost more accuracy than allowed."""

    exit_code = 1


class ArtifactError(ExportError):
    """The artifact cannot be written, or a file is not an artifact."""


def first_line(error: BaseException) -> str:
    """What a library's error says, in one line and not at length."""
    text = " ".join(COLOR.sub("", str(error)).split()) or type(error).__name__
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}…"
