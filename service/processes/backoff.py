"""How long to wait until a worker that has ended is started anew."""

# A worker that dies at once is started anew ever more slowly; one that has lived is not blamed.
FIRST_DELAY_S, LONGEST_DELAY_S, LONG_LIFE_S = 0.1, 10.0, 60.0


class Backoff:
    """Delays that double from one end of a worker to the next."""

    def __init__(self) -> None:
        self._delays: dict[int, float] = {}

    def lived(self, number: int, seconds: float) -> None:
        """Note how long a worker has lived."""
        if seconds >= LONG_LIFE_S:
            self._delays.pop(number, None)

    def delay_s(self, number: int) -> float:
        """Return the seconds to wait this time; the next time they are twice as many."""
        delay = self._delays.get(number, FIRST_DELAY_S)
        self._delays[number] = min(2 * delay, LONGEST_DELAY_S)
        return delay
