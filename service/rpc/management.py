"""Triton's methods for those who look after models; the HTTP twins give the same."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict

from google.protobuf import json_format  # type: ignore[import-untyped]  # the wheel has no types

from service import management
from service.errors import ControlPlaneOff
from service.lifecycle import Service
from service.repository.commands import ELSEWHERE
from service.rpc.calls import Call, Method
from service.rpc.messages import Message

_Command = Callable[[Service, str, Mapping[str, object]], Awaitable[None]]


class ManagementMethods:
    """Answers calls for one service.

    Args:
        service: whose models are looked after.
        messages: the protocol's message classes.
        takes_commands: whether these calls come over the control port.
    """

    def __init__(self, service: Service, messages: Message, *, takes_commands: bool) -> None:
        self._service = service
        self._messages = messages
        self._takes_commands = takes_commands

    def table(self) -> Mapping[str, Method]:
        """Return the methods by their names in the protocol."""
        return {
            "ModelConfig": self.config,
            "ModelStatistics": self.statistics,
            "RepositoryIndex": self.index,
            "RepositoryModelLoad": self.load,
            "RepositoryModelUnload": self.unload,
        }

    async def config(self, request: Message, _call: Call) -> Message:
        """Show a model's configuration."""
        found = management.config(self._service, request.name, request.version or None)
        answer = self._messages.ModelConfigResponse()
        json_format.ParseDict(found, answer.config)
        return answer

    async def statistics(self, request: Message, _call: Call) -> Message:
        """Show what a model has done since the start, or every model if none is named."""
        found = management.statistics(self._service, request.name or None, request.version or None)
        return self._messages.ModelStatisticsResponse(model_stats=map(asdict, found))

    async def index(self, request: Message, _call: Call) -> Message:
        """List every version with its state, or those that can answer."""
        found = await management.index(
            self._service, only_ready=request.ready, with_new=self._takes_commands
        )
        return self._messages.RepositoryIndexResponse(models=found)

    async def load(self, request: Message, _call: Call) -> Message:
        """Serve what is in a model's folder now."""
        await self._command(management.load, request)
        return self._messages.RepositoryModelLoadResponse()

    async def unload(self, request: Message, _call: Call) -> Message:
        """Serve a model no longer."""
        await self._command(management.unload, request)
        return self._messages.RepositoryModelUnloadResponse()

    async def _command(self, command: _Command, request: Message) -> None:
        if not self._takes_commands:
            raise ControlPlaneOff(ELSEWHERE)
        stated = {name: _value(each) for name, each in request.parameters.items()}
        await command(self._service, request.model_name, stated)


def _value(parameter: Message) -> object:
    """Return what one of the parameter's fields holds; None if none does."""
    choice = parameter.WhichOneof("parameter_choice")
    return None if choice is None else getattr(parameter, choice)
