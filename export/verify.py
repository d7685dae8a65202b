"""Parity: does the folded model compute what the original computes?

Both run on the same seeded inputs, in batches of several sizes, and are held against the network in
float64. The original runs without any optimization of ONNX Runtime, since those fold as well; the
folded one runs with all of them, as it will be served. `deviation` says what an error is.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat

import numpy as np
import onnx_ir as ir

from export import deviation, reference, runtime
from export.deviation import Arrays
from export.errors import ParityError, SourceError
from export.folding.recognition import batch_norms
from export.signature import Signature, draw, signature
from export.sources.original import Feeds, Original

# What rounding alone may do. In float32 unfolded networks of 116 public architectures lie 4e-6 off
# float64 in the median; a wrong fold is off by 1e-3 and more. 16-bit floats round 2^13 and 2^16
# times coarser, but hardly more than the unfolded network, which the second bound compares with.
TOLERANCES = {
    ir.DataType.FLOAT: 1e-5,
    ir.DataType.DOUBLE: 1e-12,
    ir.DataType.FLOAT16: 5e-3,
    ir.DataType.BFLOAT16: 5e-2,
}
# An ill-conditioned network is off before anything is folded. Folding moves where it rounds, so
# the folded one may be off as much again, not more.
FOLDED_TO_UNFOLDED = 2.0
# A reference further than this from the original evaluates another network. Rounding alone cost an
# unfolded float32 network 8e-3 at worst (a large mean beside a small variance).
LARGEST_TRUSTED_ERROR = 0.01
BATCH_SIZES = (1, 5)  # one alone and an odd few; then as many as are worth it
LARGEST_BATCH = 8  # keeps the float64 activations of a 224 x 224 network below 1 GB
SMALL_INPUT = 3 * 64 * 64  # numbers; above, 64 samples in float64 take minutes
FALLBACK_REFERENCE = "unfolded ONNX, ONNX Runtime without optimizations"


@dataclass(frozen=True)
class Parity:
    """What was measured; errors are against the reference.

    Attributes:
        reference: What the reference is.
        samples: How many inputs.
        seed: What they were drawn with.
        max_abs_error: Of the folded model.
        max_rel_error: Of the folded model; of outputs that are probabilities, in their logarithms.
        unfolded_max_rel_error: Of the original.
        error_ratio: Root mean square error of the folded model by that of the original; None if
            the original has none.
        top1_agreement: Share of samples whose largest output is the same; None if there are no
            rows of numbers to rank.
        tolerance: The largest relative error that passes.
    """

    reference: str
    samples: int
    seed: int
    max_abs_error: float
    max_rel_error: float
    unfolded_max_rel_error: float
    error_ratio: float | None
    top1_agreement: float | None
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the folded model is within tolerance. Not a number is not."""
        return self.max_rel_error <= self.tolerance


def measure(
    original: Original,
    folded: bytes,
    *,
    samples: int | None = None,
    seed: int = 0,
    tolerance: float | None = None,
) -> Parity:
    """Measure a folded model against its original.

    Args:
        original: The original.
        folded: The folded model, serialized.
        samples: How many inputs; None takes 64, or 16 of large ones.
        seed: Seed of the inputs.
        tolerance: The largest relative error that passes; None takes that of the type, or twice
            the error of the original if that is more.

    Raises:
        SourceError: The original does not run, not to finite numbers, or to the same for all
            inputs, so that nothing can be told from them.
        ParityError: The folded model does not load or run, or puts out other shapes, or the graph
            was converted wrongly.
    """
    graph = signature(original.model)
    feeds = list(_batches(original, graph, samples, seed))
    unfolded_run = runtime.load(_serialized(original.model), optimized=False)
    folded_run = runtime.load(folded, optimized=True, error=ParityError)
    unfolded = deviation.joined([unfolded_run(batch) for batch in feeds])
    _check_finite(unfolded)
    name, expected = _reference(original, feeds, unfolded)
    actual = deviation.joined([folded_run(batch) for batch in feeds])
    _check_shapes(expected, actual)
    shown = partial(deviation.unsaturated, smallest=_smallest_probabilities(original.model))
    unfolded_error = deviation.relative(shown(expected), shown(unfolded))
    if tolerance is None:
        tolerance = _tolerance(original.model, unfolded_error)
    count = sum(_rows(batch) for batch in feeds)
    if count > 1 and batch_norms(original.model.graph):
        _check_telling(shown(expected), tolerance)
    return Parity(
        reference=name,
        samples=count,
        seed=seed,
        max_abs_error=_rounded(deviation.absolute(expected, actual)),
        max_rel_error=_rounded(deviation.relative(shown(expected), shown(actual))),
        unfolded_max_rel_error=_rounded(unfolded_error),
        error_ratio=_ratio(shown(expected), shown(actual), shown(unfolded)),
        top1_agreement=deviation.top1_agreement(expected, actual),
        tolerance=tolerance,
    )


def check(parity: Parity) -> None:
    """Raise `ParityError` if the folded model is beyond tolerance."""
    if not parity.holds:
        raise ParityError(
            f"the folded model is off by {parity.max_rel_error:.3g} (relative, against "
            f"{parity.reference}), beyond the tolerance of {parity.tolerance:.3g}; "
            f"the unfolded one is off by {parity.unfolded_max_rel_error:.3g}"
        )


def _batches(
    original: Original, graph: Signature, samples: int | None, seed: int
) -> Iterator[Feeds]:
    rng = np.random.default_rng(seed)
    shape, value_range = original.input.shape, original.input.value_range
    left = samples or (64 if math.prod(shape or ()) <= SMALL_INPUT else 16)
    sizes = chain(BATCH_SIZES, repeat(LARGEST_BATCH))
    row_shape = shape if len(graph.inputs) == 1 else None
    while left > 0:
        feeds = draw(graph.inputs, min(next(sizes), left), rng, row_shape, value_range)
        left -= _rows(feeds)
        yield feeds


def _rows(feeds: Feeds) -> int:
    shapes = [array.shape for array in feeds.values()]
    return shapes[0][0] if shapes and shapes[0] else 1


def _serialized(model: ir.Model) -> bytes:
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data


def _reference(original: Original, feeds: Sequence[Feeds], unfolded: Arrays) -> tuple[str, Arrays]:
    """The name of the reference and what it puts out.

    A network in its own framework is the truth: a graph that is far from it was converted wrongly.
    A graph in ONNX's reference implementation is the truth unless ONNX Runtime contradicts it.
    """
    if original.reference is not None:
        expected = deviation.joined([original.reference(batch) for batch in feeds])
        if not _agree(expected, unfolded):
            raise ParityError(
                f"the graph, before any fold, does not compute what {original.reference_name} does"
            )
        return original.reference_name, expected
    try:
        evaluate = reference.in_float64(original.model)
        expected = deviation.joined([evaluate(batch) for batch in feeds])
    except Exception:  # noqa: BLE001 - others' numpy code, on any operator: then do without
        return FALLBACK_REFERENCE, unfolded
    if _agree(expected, unfolded):
        return reference.NAME, expected
    return FALLBACK_REFERENCE, unfolded


def _agree(expected: Arrays, actual: Arrays) -> bool:
    if [array.shape for array in expected] != [array.shape for array in actual]:
        return False
    return deviation.relative(expected, actual) <= LARGEST_TRUSTED_ERROR


def _check_shapes(expected: Arrays, actual: Arrays) -> None:
    wanted, found = [a.shape for a in expected], [a.shape for a in actual]
    if wanted != found:
        raise ParityError(f"the folded model puts out {found}, the original {wanted}")


def _check_finite(outputs: Arrays) -> None:
    if not all(np.isfinite(array.astype(np.float64)).all() for array in outputs):
        raise SourceError("the original itself puts out numbers that are not finite")


def _check_telling(expected: Arrays, tolerance: float) -> None:
    if deviation.is_constant(expected, tolerance):
        raise SourceError(
            "the original puts out the same for every input that was drawn, so that a wrong fold "
            "could not be told from a right one"
        )


def _smallest_probabilities(model: ir.Model) -> list[float | None]:
    """Of every output that holds probabilities, the smallest that its type stores in full."""
    return [_smallest(value) if _is_softmax(value) else None for value in model.graph.outputs]


def _is_softmax(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and producer.op_type == "Softmax"


def _smallest(value: ir.Value) -> float:
    narrow = value.dtype == ir.DataType.FLOAT16
    return float(np.finfo(np.float16 if narrow else np.float32).tiny)


def _tolerance(model: ir.Model, unfolded_error: float) -> float:
    weights = (value for graph in model.graphs() for value in graph.initializers.values())
    used = {value.dtype for value in (*model.graph.inputs, *weights)}
    floor = max((TOLERANCES[dtype] for dtype in used if dtype in TOLERANCES), default=1e-5)
    return max(floor, _rounded(FOLDED_TO_UNFOLDED * unfolded_error))


def _ratio(expected: Arrays, folded: Arrays, unfolded: Arrays) -> float | None:
    before = deviation.root_mean_square(expected, unfolded)
    after = deviation.root_mean_square(expected, folded)
    return _rounded(after / before) if before else None


def _rounded(error: float) -> float:
    """Three digits: what is stored shall not hang on the last bit of some machine."""
    return float(f"{error:.3g}")
