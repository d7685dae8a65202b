"""What was measured, as lines of a CSV file."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One server under one load in one round, or why there is nothing of it.

    Attributes:
        round: From 1.
        server: Its name.
        version: Of its package.
        model: Its name.
        form: Of the requests.
        load: Clients of a closed loop; "open"; "loop" for a ceiling, which is no server.
        failure: Why it was not measured.
        requests: Answered with status 200.
        errors: Others.
        seconds: That it took.
        rate: Requests answered in a second.
        asked_rate: Requests sent in a second, of an open loop.
        p50_ms: Median latency.
        p99_ms: The latency that one of a hundred exceeds.
        cpu_ms: Processor time of the server's processes, a request.
        pss_mb: Memory of them all, afterwards; what they share counts once.
        rss_mb: The same; what they share counts with each.
        largest_mb: RSS of the largest of them.
        processes: How many they are.
        start_s: From the start to the first right answer.
        late_p99_ms: How late the generator of the open loop was itself.
    """

    round: int
    server: str
    version: str
    model: str
    form: str
    load: str
    failure: str | None = None
    requests: int = 0
    errors: int = 0
    seconds: float | None = None
    rate: float | None = None
    asked_rate: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_ms: float | None = None
    pss_mb: float | None = None
    rss_mb: float | None = None
    largest_mb: float | None = None
    processes: int | None = None
    start_s: float | None = None
    late_p99_ms: float | None = None


COLUMNS = [field.name for field in fields(Row)]


def append(file: Path, rows: Iterable[Row]) -> None:
    """Add rows to a CSV file, at once: an hour of work survives an interruption."""
    fresh = not file.exists()
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        if fresh:
            writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
