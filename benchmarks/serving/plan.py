"""Which loads are put on which model: the plan that the table needs, or a part of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from benchmarks.serving.calls import FORMATS, Format

OPEN = 0  # in place of a number of clients: an open loop
CLIENTS = (1, 8, 64)
NEEDED: Mapping[str, Mapping[Format, Collection[int]]] = {
    "network8": {"json": (1, 64, OPEN), "binary": (64,)},
    "digits": {"json": (1, 64, OPEN), "binary": (64,), "jpeg": (8,)},
    "network28": {"json": (64,), "binary": (64,)},
    "resnet18": {"binary": (8,), "jpeg": (8,)},
}
# How much longer a load takes: of slow answers, what is cut off at the end is a larger share.
LONGER: Mapping[str, int] = {"resnet18": 2}


@dataclass(frozen=True)
class Cell:
    """One load.

    Attributes:
        form: Of the requests.
        clients: Of a closed loop; `OPEN` for an open one, at half the rate that the closed loop
            with the most clients had just before.
    """

    form: Format
    clients: int

    @property
    def load(self) -> str:
        """What the table calls it."""
        return "open" if self.clients == OPEN else str(self.clients)


def cells(
    model: str,
    *,
    forms: Collection[Format] = FORMATS,
    clients: Collection[int] | None = None,
    everything: bool = False,
) -> list[Cell]:
    """The loads for a model, in the order in which they are put.

    Args:
        model: One of `MODELS`.
        forms: Only these.
        clients: These in place of the plan's.
        everything: All formats with all numbers of clients, and open loops.
    """
    return [
        Cell(form, number)
        for form, planned in _plan(model, everything).items()
        if form in forms
        for number in (planned if clients is None else clients)
    ]


def _plan(model: str, everything: bool) -> Mapping[Format, Collection[int]]:
    return dict.fromkeys(FORMATS, (*CLIENTS, OPEN)) if everything else NEEDED[model]
