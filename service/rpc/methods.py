"""The methods of the Open Inference Protocol: from the service to messages."""

from collections.abc import Mapping

from service.errors import RoutingError, ServiceError
from service.lifecycle import Service
from service.repository import metadata
from service.rpc.calls import Call, Method
from service.rpc.infer import Inference
from service.rpc.messages import Message


class Methods:
    """Answers calls for one service.

    Args:
        service: whose models are asked.
        messages: the protocol's message classes.
    """

    def __init__(self, service: Service, messages: Message) -> None:
        self._service = service
        self._messages = messages

    def table(self) -> Mapping[str, Method]:
        """Return the methods by their names in the protocol."""
        return {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": Inference(self._service, self._messages).infer,
        }

    async def server_live(self, _request: Message, _call: Call) -> Message:
        """Say that the process answers."""
        return self._messages.ServerLiveResponse(live=True)

    async def server_ready(self, _request: Message, _call: Call) -> Message:
        """Say whether new requests should be sent here."""
        try:
            self._service.require_ready()
        except ServiceError:
            return self._messages.ServerReadyResponse(ready=False)
        return self._messages.ServerReadyResponse(ready=True)

    async def model_ready(self, request: Message, _call: Call) -> Message:
        """Say whether a model can answer; one that is not there is an error."""
        try:
            self._service.repository.ready(request.name, request.version or None)
        except RoutingError:
            raise
        except ServiceError:
            return self._messages.ModelReadyResponse(ready=False)
        return self._messages.ModelReadyResponse(ready=True)

    async def server_metadata(self, _request: Message, _call: Call) -> Message:
        """Say what the server is."""
        return self._messages.ServerMetadataResponse(**metadata.server_metadata())

    async def model_metadata(self, request: Message, _call: Call) -> Message:
        """Show the signature of a model."""
        found = metadata.model_metadata(
            self._service.repository, request.name, request.version or None
        )
        return self._messages.ModelMetadataResponse(**found)
