"""What costs digits stays, the worst first, and only where that helps."""

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir
import pytest

from export.folding import Decision, Folded, FoldReport
from export.guard import fold_within, is_accurate
from export.verify import Parity
from tests.export.graphs import model

# Ten batch norms that were shifted by 1, 2 .. 10 times what they hold, the worst one last.
STRAINS = MappingProxyType({f"bn{number}": float(number) for number in range(1, 11)})
SEEN = 1e-6  # a relative error that is more than rounding


def parity(ratio: float | None, error: float = SEEN) -> Parity:
    return Parity("a fake", 4, 0, error, error, error, ratio, None, 1e-5)


class Fold:
    """Folds nothing, and remembers what it was told to keep."""

    def __init__(self, strains: Mapping[str, float] = STRAINS) -> None:
        self.strains = strains
        self.kept: list[Mapping[str, str]] = []

    def __call__(self, keep: Mapping[str, str]) -> Folded[ir.Model]:
        self.kept.append(keep)
        graph = ir.from_proto(model("y = Relu(x)", {}, inputs="float[n] x", outputs="float[n] y"))
        decision = Decision("all", "cpu", "all", "asked", "as asked")
        return Folded(graph, FoldReport((), self.strains), decision, {})


def outcome(fold: Fold, ratios: list[float | None]) -> tuple[int, float | None]:
    """Which of the folds was taken, and its ratio, where they measure these in turn."""
    folds: list[Folded[ir.Model]] = []

    def measure(folded: Folded[ir.Model]) -> Parity:
        folds.append(folded)
        return parity(ratios[len(folds) - 1])

    taken, measured = fold_within(fold, measure)
    return next(n for n, one in enumerate(folds) if one is taken), measured.error_ratio


@pytest.mark.parametrize("ratio", [None, 0.5, 1.5])
def test_what_is_accurate_is_folded_once(ratio: float | None) -> None:
    fold = Fold()

    assert outcome(fold, [ratio]) == (0, ratio)
    assert fold.kept == [{}]


def test_the_worst_stay_until_it_is_accurate_each_with_the_reason() -> None:
    fold = Fold()

    assert outcome(fold, [3.0, 2.0, 1.2]) == (2, 1.2)
    assert [list(keep) for keep in fold.kept] == [[], ["bn10"], ["bn10", "bn9", "bn8"]]
    assert "3 times as far off float64 as the unfolded one" in fold.kept[1]["bn10"]


def test_where_keeping_all_of_them_does_not_help_everything_is_folded() -> None:
    fold = Fold()

    assert outcome(fold, [3.0, 3.0, 3.0, 3.0]) == (0, 3.0)
    assert len(fold.kept[-1]) == len(STRAINS)


def test_where_nothing_was_shifted_nothing_is_tried() -> None:
    fold = Fold(strains={})

    assert outcome(fold, [3.0]) == (0, 3.0)
    assert fold.kept == [{}]


def test_errors_of_rounding_are_not_compared_and_what_is_not_a_number_is_not_accurate() -> None:
    assert is_accurate(parity(30.0, error=2e-7))
    assert not is_accurate(parity(30.0))
    assert not is_accurate(parity(float("nan"), error=float("nan")))
