"""Who is let into the queue: those for whom there is room, and whose answer would come in time."""

from dataclasses import dataclass

from service.batching.pace import Pace
from service.errors import BatchTooLarge, Overloaded, QueueFull

# Of the time that a call has, what its wait and its run may take: the rest is for reading it,
# for writing its answer, and for runs that last longer than those before them.
_SHARE = 0.8


@dataclass(frozen=True)
class Limits:
    """How far a batcher goes.

    Args:
        max_batch_size: rows of one run.
        max_queue_size: rows that may wait.
        max_queue_delay_s: seconds that the oldest call may wait for the batch to fill.
        runners: runs at once, where they are not in place.
    """

    max_batch_size: int
    max_queue_size: int
    max_queue_delay_s: float = 0.0
    runners: int = 1


class Admission:
    """Decides about each call, by the limits and by the pace of the runs so far.

    Args:
        limits: sizes.
        runners: runs at once.
    """

    def __init__(self, limits: Limits, runners: int) -> None:
        self._limits = limits
        self._runners = runners
        self._pace = Pace()

    def learn(self, rows: int, seconds: float) -> None:
        """Take in one run that went well."""
        self._pace.learn(rows, seconds)

    def lasts(self, rows: int) -> float:
        """Return the seconds that a run of so many rows may well take; 0 before the first one."""
        return self._pace.run(rows) / _SHARE

    def check_size(self, rows: int) -> None:
        """Refuse what no run takes.

        Raises:
            BatchTooLarge: more rows than one run takes.
        """
        most = self._limits.max_batch_size
        if rows > most:
            raise BatchTooLarge(f"the request has {rows} rows, a run takes {most}")

    def check_wait(self, rows: int, waiting: int, under_way: int, time_left: float) -> None:
        """Refuse what finds no room, or would be late; not asked on an idle server.

        Args:
            rows: of the call.
            waiting: rows that wait already.
            under_way: runs now.
            time_left: seconds until the call's deadline.

        Raises:
            QueueFull: no room for so many rows.
            Overloaded: the answer would come too late. Both say when to try again.
        """
        ahead = waiting + rows
        most = self._limits.max_queue_size
        if ahead > most:
            until_there_is_room = self._answered_in(ahead - most, under_way)
            raise QueueFull(f"{waiting} rows are waiting; try again later", until_there_is_room)
        needed = self._answered_in(ahead, under_way)
        if needed > _SHARE * time_left > 0:  # what is late already is told so when it is looked at
            raise Overloaded(
                f"an answer would take about {needed:.2g} s and the request has {time_left:.2g} s;"
                " try again later",
                needed - _SHARE * time_left,
            )

    def _answered_in(self, rows: int, under_way: int) -> float:
        return self._pace.answer(rows, self._limits.max_batch_size, self._runners, under_way)
