"""The command as a whole: find the model, ask what it takes, race the plans, write the best."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from service.errors import StartError
from service.machine.cpus import Cpus, usable_cpus
from service.settings import Settings
from service.tuning.candidates import Candidate, Measurement, NotMeasured, candidates
from service.tuning.children import ended_by_signals
from service.tuning.choice import Choice, choose
from service.tuning.outcome import Outcome
from service.tuning.race import Limits, Measure, race
from service.tuning.repositories import Source, find_source, whole
from service.tuning.requests import Format, make_requests, parse_shapes
from service.tuning.serving import served
from service.tuning.settings_file import require_writable
from service.tuning.subject import Subject, Version, ask
from service.tuning.trial import Requests, Trials, plan_settings, right_answers, server_settings

# Of one processor: beyond it the load cannot send more, whatever the server could answer.
_BUSY = 0.9

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What the command was asked for.

    Args:
        model: a name in the repository, or the path of an ``.onnx`` file.
        settings: the operator's.
        command: as it was written.
        limits: of time, and the bound of p99.
        version: the one to measure; None for all.
        form: of the requests.
        picture: to send, for "jpeg".
        shapes: of inputs with open sizes, as text.
        clients: of the load.
        workers: counts to try; empty for the default.
        threads: the same, of one run.
        max_batch_sizes: to try.
        output: the file of settings.
    """

    model: str
    settings: Settings
    command: str
    limits: Limits
    version: str | None
    form: Format
    picture: Path | None
    shapes: Sequence[str]
    clients: int
    workers: Sequence[int]
    threads: Sequence[int]
    max_batch_sizes: Sequence[int]
    output: Path


def tune(options: Options, progress: Say, begun: Say = lambda _plan: None) -> Outcome:
    """Measure plans and choose the best; nothing is written yet.

    Args:
        options: of the command.
        progress: told each measurement.
        begun: told what is about to be measured.

    Raises:
        StartError: there is nothing to measure, or the file could not be written.
    """
    require_writable(options.output)
    cpus = usable_cpus()
    begun(f"Starting {options.model}")
    with ended_by_signals(), tempfile.TemporaryDirectory() as folder:
        subject, trials = _prepare(options, Path(folder))
        for version, reason in subject.left_out:
            progress(f"version {version} is left out: {reason}")
        plans = _plans(options, subject, cpus)
        progress(f"Plans: {len(plans)}; CPUs: {cpus.count}; clients: {options.clients}")
        records = race(plans, _told(trials.measure, progress, begun), options.limits)
    choice = choose(records, options.limits.p99_ms)
    best = choice.best
    return Outcome(
        records,
        options.limits,
        choice,
        _remarks(choice, subject),
        {} if best is None else plan_settings(best.candidate, options.settings),
        "" if best is None else _origin(options, best.candidate, cpus),
        options.output,
    )


def _prepare(options: Options, folder: Path) -> tuple[Subject, Trials]:
    """Ask one server with all versions what it takes and what the right answers are."""
    source = find_source(options.model, options.settings.models)
    everything, singles = folder / "whole", folder / "single"
    everything.mkdir()
    settings = options.settings
    simplest = Candidate("", "", 1, 1, settings.max_batch_size)
    try:
        with served(whole(source, everything), server_settings(simplest, settings)) as server:
            subject = ask(server.port, source.name, options.version)
            requests = {
                version.number: _requests(options, source, version, server.port)
                for version in subject.versions
            }
    except NotMeasured as error:
        raise StartError(str(error)) from None
    return subject, Trials(source, singles, settings, requests, options.clients)


def _requests(options: Options, source: Source, version: Version, port: int) -> Requests:
    try:
        picture = options.picture.read_bytes() if options.picture else None
    except OSError as error:
        raise StartError(f"cannot read {options.picture}: {error.strerror}") from None
    shapes = parse_shapes(options.shapes)
    bodies = make_requests(source.name, version, options.form, shapes, picture)
    return Requests(bodies, right_answers(port, bodies))


def _plans(options: Options, subject: Subject, cpus: Cpus) -> list[Candidate]:
    return candidates(
        [(version.number, version.precision) for version in subject.versions],
        cpus.count,
        workers=options.workers,
        threads=options.threads,
        max_batch_sizes=options.max_batch_sizes,
    )


def _told(measure: Measure, progress: Say, begun: Say) -> Measure:
    """Return a measurement that says what it measures, and what it found."""

    def measured(candidate: Candidate, seconds: float) -> Measurement:
        begun(f"Measuring {candidate}")
        try:
            found = measure(candidate, seconds)
        except NotMeasured as error:
            progress(f"{candidate}: {error}")
            raise
        progress(f"{candidate}: {found.throughput:,.0f} req/s, p99 {found.p99_ms:.2f} ms")
        return found

    return measured


def _remarks(choice: Choice, subject: Subject) -> list[str]:
    remarks = [choice.reason]
    if choice.best is None:
        return remarks
    version = choice.best.candidate.version
    if version != subject.default:
        remarks.append(
            f"A version is no setting: it is in /versions/{version}/ of a request's path;"
            f" who names none gets version {subject.default}."
        )
    if choice.best.result.generator_busy > _BUSY:
        remarks.append("The load itself kept a processor busy: the server may do more than that.")
    return remarks


def _origin(options: Options, best: Candidate, cpus: Cpus) -> str:
    """Return what the file says of its values, in one line."""
    command = " ".join(options.command.split())
    version = f"version {best.version} ({best.precision})"
    return f"{command}; {version} on {cpus.count} CPUs, {datetime.now(UTC):%Y-%m-%d}"
