"""Random small graphs of the operators that the fold knows, in float64, for hypothesis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.export.graphs import Array

BATCH = 2
OPSET = 17
LARGEST = 2000  # numbers of a tensor that is read on


@dataclass(frozen=True)
class Case:
    """A model of one input ``x`` and an array for it."""

    proto: onnx.ModelProto
    x: Array

    @property
    def text(self) -> str:
        """The graph as text, so that a failure can be read."""
        shapes = {one.name: list(one.dims) for one in self.proto.graph.initializer}
        lines = []
        for node in self.proto.graph.node:
            attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
            operands = ", ".join(f"{name}{shapes.get(name, '')}" for name in node.input)
            lines.append(f"{list(node.output)} = {node.op_type}{attributes}({operands})")
        outputs = [output.name for output in self.proto.graph.output]
        return "\n".join([f"x{list(self.x.shape)}", *lines, f"=> {outputs}"])


@dataclass(frozen=True)
class Tensor:
    """A tensor of a growing graph: its name, its sizes, the axis of its channels."""

    name: str
    shape: tuple[int, ...]
    axis: int = 1

    @property
    def channels(self) -> int:
        return self.shape[self.axis]

    @property
    def is_image(self) -> bool:
        """Whether convolutions and pooling can read it."""
        return len(self.shape) > 2 and self.axis == 1


@dataclass
class Growing:
    """A graph that grows by one operator, or one block of them, at a time."""

    draw: st.DrawFn
    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)

    def choose(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def constant(self, array: Any) -> str:
        name = f"k{len(self.arrays)}"
        self.arrays[name] = np.asarray(array)
        return name

    def weight(self, *shape: int) -> str:
        """A weight that keeps the size of what it is applied to; sometimes a shared one."""
        same = [n for n, a in self.arrays.items() if a.shape == shape and a.dtype == np.float64]
        if same and self.choose((False, False, True)):
            return str(self.choose(same))
        taps = max(1, int(np.prod(shape[1:])))
        return self.constant(self.rng.standard_normal(shape) / np.sqrt(taps))

    def add(
        self,
        op_type: str,
        operands: Sequence[str],
        shape: Sequence[int],
        channel_axis: int = 1,
        /,
        **attributes: Any,
    ) -> Tensor:
        given = {name: value for name, value in attributes.items() if value is not None}
        tensor = Tensor(f"t{len(self.nodes)}", tuple(shape), channel_axis)
        self.nodes.append(helper.make_node(op_type, operands, [tensor.name], **given))
        self.tensors.append(tensor)
        return tensor

    def like(self, op_type: str, x: Tensor, *operands: str, **attributes: Any) -> Tensor:
        """An operator whose output looks like its input."""
        return self.add(op_type, [x.name, *operands], x.shape, x.axis, **attributes)

    def scales(self, count: int) -> Array:
        """Factors as they come: of both signs or of one, some of them zero or tiny."""
        scales = self.rng.uniform(0.3, 1.5, count)
        kind = self.choose(("positive", "positive", "signed", "signed", "zero", "tiny"))
        some = self.rng.random(count) < 0.4
        if kind == "signed":
            scales[some] *= -1
        elif kind != "positive":
            scales[some] *= 0.0 if kind == "zero" else self.choose((1e-3, 1e-9, 1e-30))
        return scales

    def proto(self, x: Array, outputs: Sequence[Tensor]) -> onnx.ModelProto:
        first = helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", *x.shape[1:]])
        last = [
            helper.make_tensor_value_info(one.name, TensorProto.DOUBLE, ["n", *one.shape[1:]])
            for one in outputs
        ]
        arrays = [numpy_helper.from_array(array, name) for name, array in self.arrays.items()]
        graph = helper.make_graph(self.nodes, "g", [first], last, arrays)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8
        )


def per_channel(x: Tensor, array: Array) -> Array:
    """An array of one number a channel, shaped so that it broadcasts against a tensor."""
    return array.reshape(array.shape + (1,) * (len(x.shape) - 1 - x.axis % len(x.shape)))


def conv(g: Growing, x: Tensor) -> Tensor:
    rank, groups = len(x.shape) - 2, g.choose([n for n in (1, 1, 2, 4) if x.channels % n == 0])
    outputs = groups * g.choose((1, 2, 3) if groups > 1 else (2, 3, 4))
    kernel, strides, dilations, before, after, sizes = ([0] * rank for _ in range(6))
    auto_pad = g.choose((None, None, None, "SAME_UPPER", "SAME_LOWER", "VALID"))
    for i, size in enumerate(x.shape[2:]):
        strides[i] = g.choose((1, 1, 2))
        # PyTorch and ONNX agree on SAME for no dilation.
        dilations[i] = 1 if auto_pad else g.choose((1, 1, 2))
        if auto_pad is None:
            before[i], after[i] = g.choose(((0, 0), (0, 0), (1, 1), (0, 1), (2, 2)))
        fitting = (size + before[i] + after[i] - 1) // dilations[i] + 1
        kernel[i] = g.choose([k for k in (1, 2, 3) if k <= fitting])
        span = (kernel[i] - 1) * dilations[i] + 1
        if auto_pad in {"SAME_UPPER", "SAME_LOWER"}:
            sizes[i] = -(-size // strides[i])
        else:
            sizes[i] = (size + before[i] + after[i] - span) // strides[i] + 1
    operands = [x.name, g.weight(outputs, x.channels // groups, *kernel)]
    if g.choose((False, True)):
        operands.append(g.weight(outputs))
    return g.add(
        "Conv",
        operands,
        (BATCH, outputs, *sizes),
        group=groups,
        strides=strides,
        dilations=dilations,
        auto_pad=auto_pad,
        pads=None if auto_pad else [*before, *after],
    )


def same_conv(g: Growing, x: Tensor, outputs: int, kernel: int) -> Tensor:
    """A convolution that keeps the size."""
    rank = len(x.shape) - 2
    operands = [x.name, g.weight(outputs, x.channels, *(kernel,) * rank)]
    if g.choose((False, True)):
        operands.append(g.weight(outputs))
    return g.add("Conv", operands, (BATCH, outputs, *x.shape[2:]), pads=[kernel // 2] * 2 * rank)


def conv_transpose(g: Growing, x: Tensor) -> Tensor:
    groups = g.choose([n for n in (1, 2) if x.channels % n == 0])
    per_group, rank = g.choose((1, 2)), len(x.shape) - 2
    stride, pad, extra = g.choose((1, 2)), g.choose((0, 1)), g.choose((0, 1))
    kernel = g.choose((2, 3))
    extra = min(extra, stride - 1)
    sizes = [(n - 1) * stride + kernel + extra - 2 * pad for n in x.shape[2:]]
    if min(sizes) < 1:
        return conv(g, x)
    return g.add(
        "ConvTranspose",
        [x.name, g.weight(x.channels, per_group, *(kernel,) * rank)],
        (BATCH, groups * per_group, *sizes),
        group=groups,
        strides=[stride] * rank,
        pads=[pad] * 2 * rank,
        output_padding=[extra] * rank,
    )


def batch_norm(g: Growing, x: Tensor) -> Tensor:
    count = x.shape[1]
    gamma, beta = g.scales(count), g.rng.uniform(-1, 1, count)
    mean, var = g.rng.uniform(-1, 1, count), g.rng.uniform(0.3, 2, count)
    return g.like(
        "BatchNormalization", x, *(g.constant(array) for array in (gamma, beta, mean, var))
    )


def chain(g: Growing, x: Tensor) -> Tensor:
    """Mul, Add, Sub and Div with constants: for each channel, for all, or along another axis."""
    axis = g.choose((x.axis, x.axis, x.axis, None, len(x.shape) - 1))
    along = Tensor(x.name, x.shape, x.axis if axis is None else axis)
    count = 1 if axis is None else along.channels
    for op_type in g.choose((("Mul", "Add"), ("Sub", "Mul", "Add"), ("Div",), ("Add",), ("Mul",))):
        array = g.scales(count) if op_type == "Mul" else g.rng.uniform(0.3, 1.5, count)
        name = g.constant(per_channel(along, array))
        operands = [x.name, name]
        if op_type != "Div" and g.choose((False, True)):
            operands.reverse()
        x = g.add(op_type, operands, x.shape, x.axis)
    return x


def activation(g: Growing, x: Tensor) -> Tensor:
    op_type = g.choose(
        ("Relu", "Relu", "Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "Abs", "Neg",
         "Max", "Min", "Identity", "Cast", "Dropout")
    )  # fmt: skip
    if op_type == "Clip":
        low, high = g.choose(((0.0, 6.0), (-0.5, 0.5), (None, 0.3), (0.1, None)))
        names = ["" if bound is None else g.constant(np.array(bound)) for bound in (low, high)]
        return g.like("Clip", x, *names)
    if op_type in {"PRelu", "Max", "Min"}:
        array = g.rng.uniform(-0.5, 0.5, x.channels)
        return g.like(op_type, x, g.constant(per_channel(x, array)))
    return g.like(op_type, x, **({"to": TensorProto.DOUBLE} if op_type == "Cast" else {}))


def pool(g: Growing, x: Tensor) -> Tensor:
    op_type, rank = g.choose(("MaxPool", "AveragePool")), len(x.shape) - 2
    if min(x.shape[2:]) < 2:
        return spread(g, x)
    stride, pad = g.choose((1, 2)), g.choose((0, 0, 1))
    counts = {"count_include_pad": g.choose((0, 1))} if op_type == "AveragePool" else {}
    return g.add(
        op_type,
        [x.name],
        (*x.shape[:2], *((n + 2 * pad - 2) // stride + 1 for n in x.shape[2:])),
        kernel_shape=[2] * rank,
        strides=[stride] * rank,
        pads=[pad] * 2 * rank,
        **counts,
    )


def spread(g: Growing, x: Tensor) -> Tensor:
    """One number of each channel."""
    op_type = g.choose(("GlobalAveragePool", "GlobalMaxPool", "ReduceMean"))
    rank = len(x.shape) - 2
    if op_type != "ReduceMean":
        return g.add(op_type, [x.name], (*x.shape[:2], *(1,) * rank))
    keep = g.choose((0, 1))
    shape = (*x.shape[:2], *(1,) * rank) if keep else x.shape[:2]
    return g.add(op_type, [x.name], shape, axes=list(range(2, rank + 2)), keepdims=keep)


def pad(g: Growing, x: Tensor) -> Tensor:
    mode = g.choose(("constant", "constant", "reflect", "edge"))
    if min(x.shape[2:]) < 2:
        mode = "constant"
    pads = [0, 0, *(g.choose((0, 1)) for _ in x.shape[2:])] * 2
    operands = [x.name, g.constant(np.array(pads, np.int64))]
    if mode == "constant" and g.choose((False, True)):
        operands.append(g.constant(np.array(g.choose((0.0, 0.7)))))
    shape = [n + 2 * p for n, p in zip(x.shape, pads, strict=False)]
    return g.add("Pad", operands, shape, mode=mode)


def resize(g: Growing, x: Tensor) -> Tensor:
    rank, mode = len(x.shape) - 2, g.choose(("nearest", "linear"))
    scales = g.constant(np.array([1, 1, *[2] * rank], np.float32))
    sizes = (*x.shape[:2], *(2 * n for n in x.shape[2:]))
    if mode == "linear":
        placed = g.choose(("half_pixel", "align_corners"))
        return g.add(
            "Resize",
            [x.name, "", scales],
            sizes,
            mode=mode,
            coordinate_transformation_mode=placed,
        )
    return g.add(
        "Resize",
        [x.name, "", scales],
        sizes,
        mode=mode,
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def combine(g: Growing, x: Tensor) -> Tensor:
    """A sum or product with a tensor of the same shape, with itself if there is no other."""
    partner = g.choose([one for one in g.tensors if one.shape == x.shape])
    op_type = g.choose(("Add", "Add", "Add", "Sub", "Mul", "Sum"))
    operands = [x.name, partner.name]
    if op_type == "Sum":
        operands.append(g.choose([one for one in g.tensors if one.shape == x.shape]).name)
    return g.add(op_type, operands, x.shape, x.axis)


def gate(g: Growing, x: Tensor) -> Tensor:
    """A tensor times, or plus, one number of each of its channels: squeeze and excite."""
    squeezed = g.add("GlobalAveragePool", [x.name], (*x.shape[:2], *(1,) * (len(x.shape) - 2)))
    if g.choose((False, True)):
        squeezed = same_conv(g, squeezed, x.channels, 1)
    if g.choose((False, True)):
        squeezed = g.like("Sigmoid", squeezed)
    operands = [squeezed.name, x.name]
    if g.choose((False, True)):
        operands.reverse()
    return g.add(g.choose(("Mul", "Mul", "Add")), operands, x.shape)


def concat(g: Growing, x: Tensor) -> Tensor:
    axis = g.choose((x.axis, x.axis, len(x.shape) - 1))

    def others(shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:axis], *shape[axis + 1 :])

    fitting = [
        one
        for one in g.tensors
        if len(one.shape) == len(x.shape) and others(one.shape) == others(x.shape)
    ]
    partner = g.choose(fitting)
    size = x.shape[axis] + partner.shape[axis]
    if size > 9:
        return activation(g, x)
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    return g.add("Concat", [x.name, partner.name], shape, x.axis, axis=axis)


def cut(g: Growing, x: Tensor) -> Tensor:
    """A part of the channels, by Split or Slice."""
    if x.channels < 2:
        return activation(g, x)
    first = g.draw(st.integers(1, x.channels - 1))
    shapes = [
        (*x.shape[: x.axis], size, *x.shape[x.axis + 1 :]) for size in (first, x.channels - first)
    ]
    if g.choose((False, True)):
        bounds = (g.constant(np.array([n], np.int64)) for n in (0, first, x.axis))
        return g.add("Slice", [x.name, *bounds], shapes[0], x.axis)
    sizes = g.constant(np.array([first, x.channels - first], np.int64))
    tensor = g.add("Split", [x.name, sizes], shapes[0], x.axis, axis=x.axis)
    g.nodes[-1].output.append(f"{tensor.name}_rest")
    g.tensors.append(Tensor(f"{tensor.name}_rest", shapes[1], x.axis))
    return g.tensors[-1]


def rearrange(g: Growing, x: Tensor) -> Tensor:
    """The same numbers in another order of axes."""
    rank = len(x.shape)
    kind = g.choose(("Transpose", "Transpose", "Reshape", "Unsqueeze"))
    if kind == "Transpose" and rank > 2:
        order = [0, *range(2, rank), 1] if x.axis == 1 else [0, rank - 1, *range(1, rank - 1)]
        shape = [x.shape[axis] for axis in order]
        return g.add("Transpose", [x.name], shape, order.index(x.axis), perm=order)
    if kind == "Reshape" and rank == 4 and x.axis == 1:
        sizes = g.constant(np.array([0, 0, -1], np.int64))
        return g.add("Reshape", [x.name, sizes], (*x.shape[:2], x.shape[2] * x.shape[3]))
    if kind == "Unsqueeze" and rank < 4:
        axis = g.constant(np.array([rank], np.int64))
        return g.add("Unsqueeze", [x.name, axis], (*x.shape, 1), x.axis)
    return matmul(g, x)


def matmul(g: Growing, x: Tensor) -> Tensor:
    outputs, last = g.choose((2, 3)), len(x.shape) - 1
    product = g.add(
        "MatMul", [x.name, g.weight(x.shape[-1], outputs)], (*x.shape[:-1], outputs), last
    )
    if g.choose((False, True)):
        product = g.add("Add", [product.name, g.weight(outputs)], product.shape, last)
    return product


def gemm(g: Growing, x: Tensor) -> Tensor:
    if len(x.shape) > 2:
        x = g.add("Flatten", [x.name], (BATCH, int(np.prod(x.shape[1:]))), axis=1)
    outputs, transposed = g.choose((2, 3)), g.choose((0, 1))
    shape = (outputs, x.shape[1]) if transposed else (x.shape[1], outputs)
    factors = g.choose(({}, {"alpha": 0.5}, {"alpha": -2.0, "beta": 3.0}))
    operands = [x.name, g.weight(*shape)]
    if g.choose((False, True)):
        operands.append(g.weight(*g.choose(((outputs,), (1, outputs), (1,)))))
    return g.add("Gemm", operands, (BATCH, outputs), transB=transposed, **factors)


def dense(g: Growing, x: Tensor) -> Tensor:
    """DenseNet: Concat, batch norm, ReLU, convolution 1x1."""
    y = same_conv(g, g.like("Relu", batch_norm(g, x)), 2, g.choose((1, 1, 3)))
    return g.add("Concat", [x.name, y.name], (*x.shape[:1], x.channels + 2, *x.shape[2:]), axis=1)


def residual(g: Growing, x: Tensor) -> Tensor:
    """A pre-activation block: the batch norm reads the stream."""
    y = same_conv(g, g.like("Relu", batch_norm(g, x)), 3, g.choose((1, 3)))
    y = same_conv(g, g.like("Relu", batch_norm(g, y)), x.channels, g.choose((1, 3)))
    return g.add("Add", [x.name, y.name], x.shape)


def branches(g: Growing, x: Tensor) -> Tensor:
    """RepVGG: convolutions of two sizes and a batch norm beside them."""
    parts = [same_conv(g, x, x.channels, 3), same_conv(g, x, x.channels, 1), x]
    parts = [batch_norm(g, part) if g.choose((False, True)) else part for part in parts]
    first, *rest = parts[: g.choose((2, 3))]
    for part in rest:
        first = g.add(g.choose(("Add", "Sub")), [first.name, part.name], x.shape)
    return first


Step = Callable[[Growing, Tensor], Tensor]
ANYWHERE: tuple[Step, ...] = (
    activation, activation, chain, chain, combine, concat, cut, rearrange, matmul,
)  # fmt: skip
ON_IMAGES: tuple[Step, ...] = (
    conv, conv, conv, conv_transpose, pool, pool, spread, pad, resize, gate,
    dense, residual, branches,
)  # fmt: skip


@st.composite
def cases(draw: st.DrawFn, longest: int = 8) -> Case:
    """A model of up to so many operators or blocks, each reading something that is there."""
    g = Growing(draw, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))
    shape, axis = draw(
        st.sampled_from(
            [((4, 5, 6), 1), ((4, 5, 6), 1), ((5, 6, 4), 3), ((3, 7), 1), ((4,), 1), ((7, 3), 2)]
        )
    )
    x = Tensor("x", (BATCH, *shape), axis)
    g.tensors.append(x)
    last = x
    for _ in range(draw(st.integers(1, longest))):
        recent = [last, last, *(one for one in g.tensors[-4:] if np.prod(one.shape) <= LARGEST)]
        source = draw(st.sampled_from(recent))
        last = draw(st.sampled_from(_applicable(source)))(g, source)
        if np.prod(last.shape) > LARGEST:
            last = x
    others = draw(st.lists(st.sampled_from(g.tensors[1:]), max_size=2, unique=True))
    outputs = list(dict.fromkeys([g.tensors[-1], *others]))
    array = g.rng.standard_normal(x.shape)
    return Case(g.proto(array, outputs), array)


def _applicable(x: Tensor) -> tuple[Step, ...]:
    steps = ANYWHERE
    if x.name != "x":
        steps += (gemm,)
    if x.axis == 1:
        steps += (batch_norm, batch_norm, batch_norm)
    return steps + ON_IMAGES if x.is_image else steps
