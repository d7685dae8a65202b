"""What was found, as lines of JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One server in one scenario in one round, or why there is nothing of it.

    Attributes:
        round: From 1.
        server: Its name.
        version: Of its package.
        scenario: Its name.
        failure: Why it was not played.
        counts: What the scenario found.
        load: The machine's load average of a minute, before the server was started.
    """

    round: int
    server: str
    version: str
    scenario: str
    failure: str | None = None
    counts: dict[str, Any] = field(default_factory=dict)
    load: float = 0.0


def append(file: Path, rows: Iterable[Row]) -> None:
    """Add rows to a file, at once: what was played survives an interruption."""
    with file.open("a") as stream:
        stream.writelines(json.dumps(asdict(row)) + "\n" for row in rows)


def read(file: Path) -> list[Row]:
    """The rows of a file; none where there is no file."""
    if not file.exists():
        return []
    return [Row(**json.loads(line)) for line in file.read_text().splitlines()]
