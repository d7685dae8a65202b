"""What a server may answer to damaged bytes; everything else is a find."""

import re
from collections import Counter
from dataclasses import dataclass, field

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

# 500 is intended where a model's answer has no JSON, or a model fails; 501 of HTTP is nobody's.
_STATUSES = frozenset(
    {
        *(100, 200, 307, 400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 417, 422, 429, 431),
        *(503, 504),
    }
)
_CODES = frozenset(
    {
        *("OK", "INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED"),
        *("UNAVAILABLE", "DEADLINE_EXCEEDED"),
    }
)
_INTENDED_FAILURES = (
    b"holds NaN or infinity",
    b"the model failed on this input",
    b"are not finite",
    b"there is no version",  # among those of a load
)

NOBODY = b"nobody takes connections"
"""What stands in the place of an answer of a server that is gone."""

# Bytes of an error, with its head: somebody reads it.
_LONGEST_ERROR = 4000

# No answer tells where the server lies and what it is made of.
_PRIVATE = (b"Traceback (most", b"site-packages", b"/lib/python", b"onnxruntime/core")

# A server's log has these where something happened that nobody thought of.
_SHOWN = 60  # lines, of a traceback most often
_ALARMS = ("Traceback (most", "unexpected error", "Warning:", "never retrieved", "Exception in")


@dataclass
class Search:
    """What a search found.

    Args:
        name: of the kind of inputs.
        answers: how many there were of each status.
        tried: inputs that were sent.
        wrong: those that were answered as nothing should be, or not at all, with the answers.
    """

    name: str = ""
    answers: Counter[str] = field(default_factory=Counter)
    tried: int = 0
    wrong: list[tuple[bytes, bytes]] = field(default_factory=list)

    def take(self, sent: bytes, answer: bytes | None) -> None:
        """Judge what came back over a connection; None if the server did not end it."""
        self.tried += 1
        if answer is None:
            self.blame(sent, b"no end of the answer")
            return
        self.answers.update(each.decode() for each in _STATUS.findall(answer))
        for part in re.split(rb"(?=HTTP/1\.1 \d{3} )", answer):
            if part and not _is_intended(part):
                self.blame(sent, part)

    def take_end(self, sent: bytes, answer: bytes | None) -> None:
        """Judge the end of a connection of HTTP/2, whatever was said over it."""
        self.tried += 1
        if answer is None:
            self.blame(sent, b"no end of the connection")
        elif answer.startswith(NOBODY) or _tells(answer):
            self.blame(sent, answer)
        else:
            self.answers["closed" if answer else "closed without a word"] += 1

    def take_call(self, sent: bytes, code: str | None, details: str) -> None:
        """Judge the end of a call; None if it had none."""
        self.tried += 1
        self.answers[code or "-"] += 1
        told = details.encode("utf-8", "replace")
        failed = code == "INTERNAL" and any(reason in told for reason in _INTENDED_FAILURES)
        if not (code in _CODES or failed) or _tells(told) or len(told) > _LONGEST_ERROR:
            self.blame(sent, f"{code}: {details}".encode("utf-8", "replace"))

    def blame(self, sent: bytes, why: bytes) -> None:
        """Note an input as a find."""
        self.wrong.append((sent, why))

    def __str__(self) -> str:
        answers = ", ".join(f"{each} {count:,}" for each, count in sorted(self.answers.items()))
        return f"{self.name}: {self.tried:,} tried, {len(self.wrong)} wrong; {answers}"


def alarms(lines: list[str]) -> list[str]:
    """Return what of a log should not be there: the first such line, and those around it."""
    for at, line in enumerate(lines):
        if any(words in line for words in _ALARMS):
            return lines[max(0, at - 2) : at + _SHOWN]
    return []


def _is_intended(answer: bytes) -> bool:
    found = _STATUS.match(answer)
    if found is None or _tells(answer):
        return False
    if found[1] >= b"400" and len(answer) > _LONGEST_ERROR:
        return False
    failed = found[1] == b"500" and any(reason in answer for reason in _INTENDED_FAILURES)
    return int(found[1]) in _STATUSES or failed


def _tells(answer: bytes) -> bool:
    return any(words in answer for words in _PRIVATE)
