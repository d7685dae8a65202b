"""What a race has brought: lines for people, a document for machines, a file for the server."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from service.environment import as_written, variable
from service.tuning.choice import Choice
from service.tuning.race import Limits, Record
from service.tuning.settings_file import write_settings
from service.tuning.table import table


@dataclass(frozen=True)
class Outcome:
    """A race that is over.

    Args:
        records: of every plan.
        limits: of the race.
        choice: the best plan, if there is one.
        remarks: sentences about it, the reason first.
        chosen: the settings of the best by their fields; empty if there is none.
        origin: what the file says of them.
        output: the file.
    """

    records: Sequence[Record]
    limits: Limits
    choice: Choice
    remarks: Sequence[str]
    chosen: Mapping[str, object]
    origin: str
    output: Path

    @property
    def found(self) -> bool:
        """Whether a plan is within the bound."""
        return self.choice.best is not None

    def lines(self) -> list[str]:
        """Return the table and what is to be said of it."""
        return [*table(self.records, self.limits.order, self.choice.best), *self.remarks]

    def write(self) -> None:
        """Write the settings of the best.

        Raises:
            StartError: the file cannot be written.
        """
        write_settings(self.output, self.chosen, self.origin)

    def as_json(self) -> dict[str, Any]:
        """Return the document for machines."""
        settings = {variable(field): as_written(value) for field, value in self.chosen.items()}
        return {
            "plans": [self._plan(record) for record in self.records],
            "remarks": [*self.remarks],
            "settings": settings,
            "file": str(self.output) if self.found else None,
        }

    def _plan(self, record: Record) -> dict[str, Any]:
        measured = asdict(record.result) if record.rounds else None
        return asdict(record.candidate) | {
            "best": record is self.choice.best,
            "measured": measured,
            "rounds": len(record.full),
            "failure": record.failure,
        }
