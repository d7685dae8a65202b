"""How long runs take, learned from those that were, and when a new call would have its answer."""

# What a run weighs when the next one is learned: the last few dozen tell, and one that the
# machine held up is forgotten within them.
_KEPT = 0.95


class Pace:
    """The straight line through the recent runs: seconds = fixed + slope x rows.

    Least squares, in which each run weighs a little less than the next. While all runs had the
    same number of rows no slope can be told, and a larger run is taken to last no longer: what
    is not known does not keep a call out.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        self._rows = 0.0  # the weighted means
        self._seconds = 0.0
        self._variance = 0.0  # of the rows, and how the seconds go with them
        self._covariance = 0.0

    def learn(self, rows: int, seconds: float) -> None:
        """Take in one run that went well."""
        kept = _KEPT * self._weight
        self._weight = kept + 1.0
        share = 1.0 / self._weight
        more_rows, more_seconds = rows - self._rows, seconds - self._seconds
        # Welford's update with weights (West 1979, doi:10.1145/359146.359153): sums of squares
        # would lose the difference of two nearly equal numbers.
        self._rows += share * more_rows
        self._seconds += share * more_seconds
        self._variance = (1 - share) * (self._variance + share * more_rows * more_rows)
        self._covariance = (1 - share) * (self._covariance + share * more_rows * more_seconds)

    def run(self, rows: float) -> float:
        """Return the seconds of a run of so many rows; 0 before anything is known."""
        slope = max(0.0, self._covariance / self._variance) if self._variance else 0.0
        slope = min(slope, self._seconds / self._rows) if self._rows else 0.0  # fixed >= 0
        return self._seconds + slope * (rows - self._rows)

    def answer(self, rows: int, max_rows: int, runners: int, under_way: int) -> float:
        """Return the seconds until the last of the waiting rows has its answer.

        Args:
            rows: that wait, the call's own among them.
            max_rows: of one run.
            runners: runs at once.
            under_way: runs now. Where they leave no runner free, one ends after half a run on
                average.
        """
        runs, rest = divmod(rows, max_rows)
        full = self.run(max_rows)
        last = self.run(rest) if rest else full
        before = (runs if rest else runs - 1) * full / runners
        begun = self.run(self._rows) / 2 if under_way >= runners else 0.0
        return begun + before + last
