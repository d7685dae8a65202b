"""What every worker does: load a model, unload a model, serve what was seen in its folder."""

import json
from collections.abc import Awaitable, Callable, Mapping

from service.errors import ControlPlaneOff, LoadFailed, ModelNotFound, ServiceError
from service.repository.control import Control, Look
from service.repository.entries import Entry
from service.repository.hub import Answer, Command, Hub
from service.repository.policy import Policy, read_policy

# The same where there is no such port and where there is another.
ELSEWHERE = (
    "load / unload is taken over FOLDSERVE_CONTROL_PORT or FOLDSERVE_CONTROL_GRPC_PORT alone"
)


class Commands:
    """Asks all workers and does here what one of them asks.

    Args:
        hub: the line to all workers.
        control: this worker's.
        allowed: whether clients may command at all.
    """

    def __init__(self, hub: Hub, control: Control, *, allowed: bool) -> None:
        self._hub = hub
        self._control = control
        self._actions: Mapping[str, Callable[[str, Command], Awaitable[None]]] = {
            "load": self._load,
            "unload": self._unload,
            "refresh": self._refresh,
        }
        self._allowed = allowed
        self._history = hub.history
        hub.on_command = self._obey

    def recall(self) -> None:
        """Have the start heed what was commanded before this worker was there."""
        for command in self._history:
            (verb, name), *_ = command.items()
            if verb in ("load", "unload"):
                self._control.choices.recall(name, _policy(command), unloaded=verb == "unload")

    async def join(self) -> None:
        """Have this worker do what it is commanded from now on, and what it was meanwhile."""
        await self._hub.join()

    def require_allowed(self) -> None:
        """Return if clients may command.

        Raises:
            ControlPlaneOff: they may not.
        """
        if not self._allowed:
            raise ControlPlaneOff(ELSEWHERE)

    async def load(self, name: str, policy: Policy | None = None) -> None:
        """Serve what is in a model's folder now, in every worker.

        Args:
            name: the folder's.
            policy: chooses the versions from now on, in place of the setting's.

        Raises:
            ControlPlaneOff: clients may not command.
            ModelNotFound: there is no such folder.
            LoadFailed: a worker could not, and why.
        """
        self.require_allowed()
        await self._control.require_folder(name)  # all workers hear of real models alone
        chosen = {} if policy is None else {"policy": str(policy)}
        await self._everywhere({"load": name} | chosen)

    async def unload(self, name: str) -> None:
        """Serve a model no longer, in any worker.

        Raises:
            ControlPlaneOff: clients may not command.
            ModelNotFound: there is no such model.
            LoadFailed: a worker could not, and why.
        """
        self.require_allowed()
        self._control.require_model(name)
        await self._everywhere({"unload": name})

    async def refresh(self, name: str, seen: Look) -> None:
        """Serve what was seen in a model's folder, in every worker; no client asks for it.

        Raises:
            LoadFailed: a worker could not, and why.
        """
        await self._everywhere({"refresh": name, "seen": json.dumps(seen)})

    def policy(self, name: str) -> Policy:
        """Return what chooses the versions of a model now."""
        return self._control.choices.of(name)

    async def not_loaded(self) -> list[Entry]:
        """Return what could be loaded and is not there yet; nothing if nobody may load it.

        Raises:
            LoadFailed: the repository's folder cannot be listed.
        """
        return await self._control.not_loaded() if self._allowed else []

    async def _everywhere(self, command: Command) -> None:
        answers = await self._hub.everywhere(command)
        failures = [answer for answer in answers if "error" in answer]
        if failures:
            unknown = all(failure.get("code") == ModelNotFound.code for failure in failures)
            reasons = dict.fromkeys(str(failure["error"]) for failure in failures)
            raise (ModelNotFound if unknown else LoadFailed)("; ".join(reasons))

    async def _obey(self, command: Command) -> Answer:
        (verb, name), *_ = command.items()
        try:
            await self._actions[verb](name, command)
        except ServiceError as error:
            void = verb == "load" and not self._control.choices.obey(name, _policy(command))
            return {"error": str(error), "code": error.code, "void": void}
        return {}

    async def _load(self, name: str, command: Command) -> None:
        await self._control.load(name, _policy(command))

    async def _unload(self, name: str, _command: Command) -> None:
        await self._control.unload(name)

    async def _refresh(self, name: str, command: Command) -> None:
        await self._control.refresh(name, _look(command["seen"]))


def _policy(command: Command) -> Policy | None:
    return read_policy(command["policy"]) if "policy" in command else None


def _look(text: str) -> Look:
    """Read what was seen; JSON knows no tuples."""
    return {
        version: None if files is None else tuple(tuple(file) for file in files)
        for version, files in json.loads(text).items()
    }
