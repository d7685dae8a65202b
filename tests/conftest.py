"""What every test shares: where the repository is, and that nothing is skipped unseen."""

import os
import signal
from collections.abc import Callable, Generator
from pathlib import Path

import hypothesis
import pytest

# How long an example takes is the machine's business, and no test's.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

HARDWARE = "hardware:"  # how the reason of a skip begins that CI accepts


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI a skipped test is a failure, unless it names hardware that CI lacks."""
    if os.environ.get("CI") != "true" or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith(HARDWARE):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, and the reason names no missing hardware: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.fixture(scope="session", autouse=True)
def _interrupts_are_heard() -> None:
    """A job in the background ignores Ctrl-C, and so would every process that a test starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, the loop that the service runs on."""
    return "asyncio"


FIGURES = pytest.StashKey[list[tuple[str, str, str]]]()  # promise, test, what was counted


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Note what a test counted for the promise that it shows: a row of README's table.

    Called as ``figure("Drain: ...", requests=1200, lost=0)``; the rows are printed at the end.
    """
    rows = request.config.stash.setdefault(FIGURES, [])

    def note(promise: str, **counted: float) -> None:
        name = request.node.nodeid.partition("[")[0].replace("::", " ")
        numbers = (f"{name.replace('_', ' ')} {count:,.6g}" for name, count in counted.items())
        rows.append((promise, name, ", ".join(numbers)))

    return note


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the promises as a table in Markdown."""
    if rows := config.stash.get(FIGURES, []):
        terminalreporter.section("promises")
        for row in [("promise", "test", "counted"), ("---",) * 3, *rows]:
            terminalreporter.write_line(f"| {' | '.join(row)} |")
