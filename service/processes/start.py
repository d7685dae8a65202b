"""From the settings to the server, with no more loaded than the server needs."""

import gc
import os
import sys

from service.environment import read_settings
from service.errors import StartError
from service.machine.plan import plan
from service.processes.preflight import looks
from service.settings import Settings


def start() -> int:
    """Serve until told to stop; return the exit status."""
    try:
        _serve(read_settings())
    except StartError as error:
        return refuse(error)
    return 0


def refuse(error: StartError) -> int:
    """Say in one line why there is no start; return the exit status."""
    sys.stderr.write(f"foldserve-serve: {error}\n")
    return StartError.exit_status


def _serve(settings: Settings) -> None:
    # What a start loads is no garbage: looking for it takes a tenth of the time. It is looked
    # for again from the moment of readiness on.
    gc.disable()
    # The service does no linear algebra, for which each worker would have a thread for every
    # processor; and the workers are forked, which takes no threads along.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251 -- set, not read
    _load_logs_without_rich()
    planned = plan(settings)
    for look in looks(settings):
        look()
    # After the settings, so that a wrong value need not wait for what a server loads.
    if planned.workers > 1:
        from service.processes.workers import run  # noqa: PLC0415
    else:
        from service.processes.server import run  # noqa: PLC0415
    run(settings, announce=_announce, plan=planned)


def _load_logs_without_rich() -> None:
    """Load structlog as if rich were not installed, whose tracebacks we do not show.

    It would load it: 3 MB of each worker, and 40 ms of its start.
    """
    if "rich" in sys.modules or "structlog" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # the documented way to hide a module
    import structlog  # noqa: F401, PLC0415

    del sys.modules["rich"]


def _announce(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
