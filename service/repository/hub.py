"""How one worker asks that every worker does something.

The control plane needs it: a client that loads a model speaks to one worker, and the next
request may come to another. A worker alone is its own hub, ``OwnHub``; of several each has
the line to the process above them, which passes commands on and collects the answers.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

Command = dict[str, str]
"""What is to be done; of strings alone, since it travels as one line of JSON."""

Answer = dict[str, Any]
"""What came of it; of JSON's types. ``{"error": reason}`` where a worker gave no answer.

``"void"`` beside it says that nothing of the command counts: all is as it was before.
"""

OnCommand = Callable[[Command], Awaitable[Answer]]


def subject(command: Command) -> tuple[str, ...]:
    """Return what a command is about: of those about one thing, the latest makes the others void.

    A load and an unload are what clients want of a model; what was seen in its folder is apart.
    """
    (verb, name), *_ = command.items()
    return (name, "seen") if verb == "refresh" else (name,)


class Hub(Protocol):
    """Carries a command to every worker, the asking one included."""

    on_command: OnCommand
    """Does what a command says, in this worker; the service sets its own."""

    history: Sequence[Command]
    """What was commanded before this worker was there, as far as it still counts."""

    async def everywhere(self, command: Command) -> list[Answer]:
        """Return the answer of every worker, in the order of the workers; never raises.

        One worker does a command after the other, and the next command comes after that.
        """

    async def join(self) -> None:
        """Take part in commands from now on; return once those of before its time are done here.

        A worker must not serve before that: it would answer as if they had never been given.
        """


async def refuse(command: Command) -> Answer:
    """Answer a command where nothing takes commands yet."""
    return {"error": f"nothing here does {', '.join(command)}"}


async def answer(on_command: OnCommand, command: Command) -> Answer:
    """Return what came of a command; whatever it raises, the asking worker gets an answer."""
    try:
        return await on_command(command)
    except Exception as error:  # noqa: BLE001 -- it belongs to the one that asked
        return {"error": str(error) or type(error).__name__}


class OwnHub:
    """The hub of a worker that is alone."""

    def __init__(self) -> None:
        self.on_command: OnCommand = refuse
        self.history: Sequence[Command] = ()

    async def everywhere(self, command: Command) -> list[Answer]:
        """Return this worker's answer."""
        return [await answer(self.on_command, command)]

    async def join(self) -> None:
        """Return at once: there was nobody who could have been commanded."""
