"""Plans and measurements with figures that a test chooses."""

from service.tuning.candidates import Candidate, Measurement
from service.tuning.race import Record


def candidate(workers: int = 1, threads: int = 1, size: int = 8, version: str = "1") -> Candidate:
    return Candidate(version, "fp32", workers, threads, size)


def measurement(
    throughput: float = 100.0, p99_ms: float = 5.0, memory_mb: float | None = 70.0
) -> Measurement:
    return Measurement(throughput, p99_ms / 2, p99_ms, p99_ms / 4, memory_mb)


def record(
    plan: Candidate | None = None, *measurements: Measurement, standing: bool = True
) -> Record:
    return Record(plan or candidate(), full=list(measurements), standing=standing)
