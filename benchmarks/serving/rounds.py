"""All rounds: in each, every server has its turn with every model."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benchmarks.serving import ceiling, models, plan
from benchmarks.serving.calls import Format
from benchmarks.serving.environments import NoEnvironmentError
from benchmarks.serving.plan import Cell
from benchmarks.serving.rows import Row
from benchmarks.serving.samples import Sample, samples
from benchmarks.serving.servers import Server
from benchmarks.serving.turn import Turn, take


@dataclass(frozen=True)
class Options:
    """What to compare, and how.

    Attributes:
        servers: Those that have turns.
        models: Names of those that are served.
        forms: Formats of requests.
        clients: In place of the plan's.
        everything: Every load for every format.
        rounds: Turns of each server with each model.
        seconds: Of one load; on a slow model it takes longer.
        peers: Folder of the virtual environments.
        built: Folder of the models that are built.
        ceilings: Whether to measure `session.run` alone, too.
    """

    servers: Sequence[Server]
    models: Sequence[str]
    forms: Collection[Format]
    clients: Collection[int] | None
    everything: bool
    rounds: int
    seconds: float
    peers: Path
    built: Path
    ceilings: bool = True

    def cells(self, model: str) -> list[Cell]:
        """The loads for a model."""
        return plan.cells(model, forms=self.forms, clients=self.clients, everything=self.everything)

    def length(self, model: str) -> float:
        """Seconds of a load on a model."""
        return self.seconds * plan.LONGER.get(model, 1)


@dataclass(frozen=True)
class Prepared:
    """What all rounds share.

    Attributes:
        pythons: The interpreters of the servers that are installed, by server.
        missing: Why the others are not.
        models: What is served, with its inputs and right answers.
    """

    pythons: Mapping[str, Path]
    missing: Mapping[str, str]
    models: Sequence[tuple[models.ServedModel, Sequence[Sample]]]


def prepare(options: Options) -> Prepared:
    """Install the servers and build the models.

    Raises:
        NoModelError: A model could not be built.
    """
    pythons: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for server in options.servers:
        try:
            pythons[server.name] = server.python(options.peers)
        except NoEnvironmentError as error:
            missing[server.name] = str(error)
    served = [models.provide(name, options.built) for name in options.models]
    return Prepared(pythons, missing, [(model, samples(model)) for model in served])


def run(options: Options, prepared: Prepared) -> Iterator[Row]:
    """Give every server its turns.

    Yields:
        Rows as they come; of servers that are not installed, what is against them.
    """
    for model, _ in prepared.models:
        yield from _not_installed(options, prepared, model.name)
    for number in range(1, options.rounds + 1):
        for model, inputs in prepared.models:
            if options.ceilings:
                yield from _ceilings(options, number, model)
            for server in _rotated(options.servers, number):
                if python := prepared.pythons.get(server.name):
                    cells, seconds = options.cells(model.name), options.length(model.name)
                    yield from take(Turn(number, server, python, model, inputs, cells, seconds))


def _rotated(servers: Sequence[Server], number: int) -> list[Server]:
    """Another one begins every round, so that no place in the row is a favour."""
    first = (number - 1) % len(servers)
    return [*servers[first:], *servers[:first]]


def _not_installed(options: Options, prepared: Prepared, model: str) -> Iterator[Row]:
    for server in options.servers:
        if failure := prepared.missing.get(server.name):
            for cell in options.cells(model):
                named = (server.name, server.version, model, cell.form, cell.load)
                yield Row(1, *named, failure=f"not installed: {failure}")


def _ceilings(options: Options, number: int, model: models.ServedModel) -> Iterator[Row]:
    forms = {cell.form for cell in options.cells(model.name)} & set(ceiling.FORMS)
    version = metadata.version("onnxruntime")
    for form in sorted(forms):
        named = (number, ceiling.NAME, version, model.name, form, ceiling.LOAD)
        found = ceiling.measure(model, form, options.length(model.name))
        yield Row(*named, **found)  # type: ignore[arg-type]  # a row's own
