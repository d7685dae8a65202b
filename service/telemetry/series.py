"""What stands on the board: written by ``metrics``, read by ``exposition`` and ``statistics``.

    requests             route, status         count
    request_seconds      route                 histogram
    errors               code                  count
    decode_seconds …     model, version        histograms
    outcomes             model, version        what came of the inference requests
    batches              model, version, rows  count and seconds of the runs of so many rows
    last_run             model, version        seconds since the epoch
    load_failures        model, version        count
    waiting_rows …       model, version        gauges
    connections …                              gauges

A histogram has a count for each bound, one for what is above them, and the sum.
"""

from service.telemetry.board import Board, Key

# From a tenth of a millisecond, a small model's run, to the default request timeout.
SECONDS = (
    *(1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30),
)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

# The values of "outcomes".
ROWS_ANSWERED, FAILURES, FAILURE_SECONDS, OUTCOMES = range(4)

# A version is served if every worker serves it; a setting is the same in each of them, but for
# the moment in which they are replaced; all else is added up.
_RULES = {"model_ready": min, "last_run": max, "request_timeout_seconds": min}


def totals(board: Board) -> dict[Key, list[float]]:
    """Return the series of all workers as one."""
    return board.totals(_RULES)
