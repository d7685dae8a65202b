"""A worker that is its own hub."""

import pytest

from service.repository.hub import Answer, Command, OwnHub

pytestmark = pytest.mark.anyio


async def echo(command: Command) -> Answer:
    return {"did": command}


async def fail(_command: Command) -> Answer:
    raise ValueError("no such model")


async def test_a_lone_worker_answers_itself() -> None:
    hub = OwnHub()
    hub.on_command = echo
    assert await hub.everywhere({"load": "digits"}) == [{"did": {"load": "digits"}}]


async def test_what_a_command_raises_is_its_answer() -> None:
    hub = OwnHub()
    hub.on_command = fail
    assert await hub.everywhere({"load": "digits"}) == [{"error": "no such model"}]


async def test_before_anything_takes_commands_they_are_refused() -> None:
    assert await OwnHub().everywhere({"load": "x"}) == [{"error": "nothing here does load"}]
