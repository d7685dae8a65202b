"""The table of what was measured."""

from service.tuning.race import Limits, Record
from service.tuning.table import table
from tests.service.tuning.records import candidate, measurement, record

ORDER = Limits(seconds=3, rounds=3, budget_s=60).order


def test_the_best_is_marked_and_what_was_not_measured_stands_below() -> None:
    best = record(candidate(2), measurement(12345.6, 4.5, 141.7), measurement(12345.6, 4.5, 141.7))
    early = Record(candidate(1), short=[measurement(20000, 9, None)])
    failed = Record(candidate(4), failure="the server did not start: no")
    assert table([early, failed, best, Record(candidate(8))], ORDER, best) == [
        "version  precision  workers  threads  max_batch_size   req/s  p50 ms  p99 ms"
        "  one client p50  memory MB  rounds",
        "      1       fp32        2        1               8  12,346    2.25    4.50"
        "            1.12        142       2  best",
        "      1       fp32        1        1               8  20,000    4.50    9.00"
        "            2.25          -   short",
        "Out: workers 4, threads 1, max_batch_size 8, version 1 (fp32):"
        " the server did not start: no.",
        "Not measured, as the time was over: 1 of 4 plans.",
    ]
