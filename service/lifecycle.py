"""One service from its start to its end: load, check, warm up, ready; drain, close."""

import asyncio
import time

import structlog

from service.artifact.lock import LOCK_FILE
from service.errors import ModelLoadError, NotReady, StartError
from service.images.decoding import Decoder
from service.images.room import Room
from service.inference.loading import Loaded, OpenModel, load, predictor_of, run_options
from service.inference.model import open_model, prepare_provider
from service.machine.plan import Plan, plan_alone
from service.repository.commands import Commands
from service.repository.control import Control
from service.repository.entries import Entry, Files, Repository, file_of, files_of, find_models
from service.repository.hub import Hub, OwnHub
from service.repository.policy import read_policies
from service.repository.poll import Poller
from service.settings import Settings
from service.telemetry.board import Phase
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import tracing_of

log = structlog.get_logger()

# For the last traces of a server that ends: half of what a worker has to free its models, so that
# a collector that does not answer gets nobody killed; and what a busy one needs.
_MOST_TRACES_S, _LEAST_TRACES_S = 5.0, 1.0


class Service:
    """What the endpoints call; knows no HTTP.

    Args:
        settings: the operator's.
        open_model: opens one model file.
        hub: carries commands to every worker; by default this one is alone.
        plan: of processes and threads; by default that of a process that is alone.
        metrics: of this worker; by default it is alone.
    """

    def __init__(
        self,
        settings: Settings,
        open_model: OpenModel = open_model,
        hub: Hub | None = None,
        plan: Plan | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.settings = settings
        self.plan = plan_alone(settings) if plan is None else plan
        self.metrics = Metrics() if metrics is None else metrics
        self.tracing = tracing_of(settings)
        self.draining = asyncio.Event()
        self.ending = asyncio.Event()  # set when nobody is let in any more
        self.start_error: StartError | None = None
        self._open_model = open_model
        self._drained_since: float | None = None
        self._repository = Repository()
        self._control = Control(
            self._repository,
            lambda: find_models(settings.models, _say_nothing),
            self._load,
            self._publish,
            settings.grace_s,
            read_policies(settings.version_policy),
            self._lock_files,
        )
        self.commands = Commands(
            OwnHub() if hub is None else hub, self._control, allowed=settings.takes_commands
        )
        self._poller = Poller(
            lambda on_ignored: find_models(settings.models, on_ignored),
            lambda: self._repository.models,
            self.commands.refresh,
            lambda: self.metrics.board.first_serving is self.metrics.slot,
            self._lock_files,
        )
        self._polling: asyncio.Task[None] | None = None
        room = Room(settings.max_image_pixels)
        self.decoder = Decoder(self.plan.decode_threads, settings.max_queue_size, room)

    @property
    def phase(self) -> Phase:
        """Where this worker is in its life; the others see it on the board."""
        return self.metrics.slot.phase

    @property
    def repository(self) -> Repository:
        """The models.

        Raises:
            NotReady: before the start and after the end.
        """
        if self.phase in {Phase.STARTING, Phase.CLOSED}:
            raise NotReady(f"the server is {self.phase.value}")
        return self._repository

    def require_ready(self) -> None:
        """Return if new requests should be sent here.

        A broken model does not make the server unready: it would take the others with it.

        Raises:
            NotReady: starting, draining or closed, or a worker beside it has never been ready.
        """
        if self.phase is not Phase.SERVING:
            raise NotReady(f"the server is {self.phase.value}")
        if self.metrics.board.never_ready:
            raise NotReady("the server is starting")

    async def start(self) -> None:
        """Load every model.

        Raises:
            StartError: nothing can be served, or not by the provider that was asked for.
        """
        try:
            prepare_provider(self.settings.provider)
            self.commands.recall()
            await self._control.load_all(find_models(self.settings.models, _log_ignored))
            await self.commands.join()
            self._require_one()
        except StartError as error:
            self.start_error = error
            await self.close()
            raise
        if self.tracing is not None:
            self.tracing.start()
        self._enter(Phase.SERVING)
        self.metrics.setting("request_timeout_seconds", self.settings.request_timeout_s)
        if self.settings.repository_poll_s:
            self._polling = asyncio.create_task(self._poller.run(self.settings.repository_poll_s))

    def drain(self) -> None:
        """Say at once that no new requests should be sent; those that come are answered."""
        if self.phase is Phase.SERVING:
            self._enter(Phase.DRAINING)
            self._drained_since = time.monotonic()
            self.draining.set()
            log.info("draining")

    async def close(self) -> None:
        """Stop admission, answer what was admitted, free the models."""
        if self._polling is not None:
            self._polling.cancel()
        await self._control.close()
        predictors = [entry.predictor for entry in self._repository if entry.predictor]
        for predictor in predictors:
            predictor.stop_admitting()
        grace_s = self.grace_left()
        drained = await asyncio.gather(*(each.close(grace_s) for each in predictors))
        self.decoder.close()
        if self.tracing is not None:
            await self.tracing.close(max(_LEAST_TRACES_S, min(_MOST_TRACES_S, self.grace_left())))
        self._enter(Phase.CLOSED)
        if self.start_error is None:
            log.info("closed", drained=all(drained))

    def _enter(self, phase: Phase) -> None:
        self.metrics.slot.phase = phase

    def grace_left(self) -> float:
        """Return the seconds that are left of the grace time, which began with the drain."""
        if self._drained_since is None:
            return self.settings.grace_s
        elapsed = time.monotonic() - self._drained_since - self.settings.drain_delay_s
        return max(0.0, self.settings.grace_s - elapsed)

    async def _load(self, entry: Entry) -> Entry:
        """Return the entry as ready or as failed; a broken model stops no other."""
        try:
            files, loaded = await asyncio.to_thread(self._open, entry)
        except ModelLoadError as error:
            return self._failed(entry, str(error))
        except StartError:
            raise
        except Exception as error:  # a damaged file fails in the runtime's bindings, or in memory
            log.exception("unexpected error", model=entry.name, version=entry.version)
            return self._failed(entry, f"unexpected {type(error).__name__}; the log has it")
        log.info(
            "model ready",
            model=entry.name,
            version=entry.version,
            provider=loaded.model.provider,
            batched=loaded.batches,
            in_place=loaded.in_place,
            row_ms=loaded.row_ms,
            batch_ms=loaded.batch_ms,
        )
        metrics = self.metrics.model(entry.name, entry.version)
        return entry.ready(
            predictor_of(loaded, self.settings, self.decoder, metrics, runners=self.plan.runners),
            files,
        )

    def _open(self, entry: Entry) -> tuple[Files, Loaded]:
        # Before it is read: what changes under the reader is then read again by the next load.
        files = files_of(entry.path.parent)
        options = run_options(self.settings, self.plan)
        return files, load(entry.path, options, self.settings, self._open_model)

    def _lock_files(self) -> Files:
        return file_of(self.settings.models / LOCK_FILE) if self.settings.require_lock else ()

    def _failed(self, entry: Entry, reason: str) -> Entry:
        self.metrics.load_failed(entry.name, entry.version)
        log.warning("model failed", model=entry.name, version=entry.version, reason=reason)
        return entry.failed(reason)

    def _publish(self, entry: Entry) -> None:
        if entry.state == "unavailable":
            self.metrics.model_unloaded(entry.name, entry.version)
        else:
            self.metrics.model_ready(entry.name, entry.version, ready=entry.predictor is not None)

    def _require_one(self) -> None:
        """Refuse to start with nothing to serve: such a server could never become ready."""
        entries = list(self._repository)
        if any(entry.predictor or entry.state == "unavailable" for entry in entries):
            return  # unloaded before this worker took the place of another
        found = "; ".join(f"{each.name}/{each.version}: {each.reason}" for each in entries)
        raise StartError(
            f"no model can be served from {self.settings.models}: "
            + (found or "it holds no <name>/<version>/model.onnx")
        )


def _log_ignored(folder: str, reason: str) -> None:
    log.warning("folder ignored", folder=folder, reason=reason)


def _say_nothing(_folder: str, _reason: str) -> None:
    """Ignore a folder that the start told of."""
