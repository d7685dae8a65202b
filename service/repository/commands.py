"""What a client may have every worker do: load a model, unload a model."""

from service.errors import ControlPlaneOff, LoadFailed, ModelNotFound, ServiceError
from service.repository.control import Control
from service.repository.entries import Entry
from service.repository.hub import Answer, Command, Hub


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
        self._actions = {"load": control.load, "unload": control.unload}
        self._allowed = allowed
        hub.on_command = self._obey

    def require_allowed(self) -> None:
        """Return if clients may command.

        Raises:
            ControlPlaneOff: they may not.
        """
        if not self._allowed:
            raise ControlPlaneOff("load / unload is not allowed: FOLDSERVE_CONTROL_PLANE is off")

    async def load(self, name: str) -> None:
        """Serve what is in a model's folder now, in every worker.

        Raises:
            ControlPlaneOff: clients may not command.
            ModelNotFound: there is no such folder.
            LoadFailed: a worker could not, and why.
        """
        self.require_allowed()
        await self._control.require_folder(name)  # all workers hear of real models alone
        await self._everywhere({"load": name})

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
        try:
            for action, name in command.items():
                await self._actions[action](name)
        except ServiceError as error:
            return {"error": str(error), "code": error.code}
        return {}
