"""What of a graph is shown around a node."""

import onnx_ir as ir

from export.page import neighbourhood
from export.page.neighbourhood import Box, around
from tests.export.graphs import model, normal
from tests.export.page.graphs import gated


def node(graph: ir.Model, op_type: str, index: int = 0) -> ir.Node:
    return [one for one in graph.graph if one.op_type == op_type][index]


def titles(boxes: tuple[Box, ...], role: str | None = None) -> list[str]:
    return [box.title for box in boxes if role in (None, box.role)]


def test_what_is_two_nodes_away_is_shown_and_parameters_are_not() -> None:
    found = around(node(gated(), "BatchNormalization"))

    assert titles(found.boxes) == [
        *("BatchNormalization", "Relu", "Conv", "MaxPool", "BatchNormalization", "Add"),
        *("Input", "Output"),
    ]
    assert titles(found.boxes, "affine") == ["BatchNormalization"]
    drawn = {(found.boxes[a].title, found.boxes[b].title) for a, b in found.edges}
    assert ("Relu", "BatchNormalization") in drawn
    assert ("Input", "Conv") in drawn
    assert ("Add", "Output") in drawn


def test_what_is_cut_off_is_counted() -> None:
    found = around(node(gated(), "BatchNormalization"))
    boxes = {box.name: box for box in found.boxes if box.role != "output"}

    assert boxes["second"].more_readers == 2
    assert boxes["z"].more_sources == 1
    assert boxes["first"].more_sources == boxes["first"].more_readers == 0


def test_the_way_to_what_forbids_a_move_is_shown_however_far_it_winds() -> None:
    body = "".join(f"t{step + 1} = Relu(t{step}) " for step in range(12))
    chain = ir.from_proto(model(body, {}, inputs="float[n] t0", outputs="float[n] t12"))
    nodes = list(chain.graph)

    near = around(nodes[0], ["t7"])
    far = around(nodes[0], ["t12"])

    assert [box.name for box in near.boxes if box.role == "blocker"] == ["t7"]
    assert {"t4", "t5", "t6"} <= {box.name for box in near.boxes}
    assert titles(far.boxes, "blocker") == []


def test_a_tensor_with_many_readers_is_shown_with_a_few() -> None:
    body = "a = Abs(x) " + "".join(f"r{index} = Relu(a) " for index in range(100))
    outputs = ", ".join(f"float[n] r{index}" for index in range(100))
    crowd = ir.from_proto(model(body, {}, inputs="float[n] x", outputs=outputs))

    boxes = around(node(crowd, "Abs")).boxes

    assert titles(boxes).count("Relu") == neighbourhood.MOST_AT_ONCE
    assert boxes[0].more_readers == 100 - neighbourhood.MOST_AT_ONCE


def test_of_many_inputs_and_outputs_of_the_graph_a_few_are_shown_and_the_rest_counted() -> None:
    names = [f"t{number}" for number in range(30)]
    texts = [", ".join(f"float[n] {kind}{name}" for name in names) for kind in ("in_", "out_")]
    body = (
        f"c = Concat<axis=0>({', '.join(f'in_{name}' for name in names)}) "
        f"{', '.join(f'out_{name}' for name in names)} = Split<num_outputs=30>(c)"
    )
    wide = ir.from_proto(model(body, {}, inputs=texts[0], outputs=texts[1], opset=18))

    found = around(node(wide, "Concat"))

    boxes = {box.title: box for box in found.boxes}
    for role in ("input", "output"):
        assert len(titles(found.boxes, role)) == neighbourhood.MOST_AT_ONCE
    assert boxes["Concat"].more_sources == 30 - neighbourhood.MOST_AT_ONCE
    assert boxes["Split"].more_readers == 30 - neighbourhood.MOST_AT_ONCE


def test_parameters_behind_operators_are_parameters() -> None:
    body = "w = Identity(k) v = Cast<to=1>(w) y = Mul(x, v)"
    arrays = {"k": normal(1)}
    graph = ir.from_proto(model(body, arrays, inputs="float[n] x", outputs="float[n] y"))

    assert titles(around(node(graph, "Mul")).boxes) == ["Mul", "Input", "Output"]


def test_shapes_are_written_for_people() -> None:
    graph = ir.from_proto(
        model("y = Relu(x)", {}, inputs="float[n,?,3] x", outputs="float[n,?,3] y")
    )
    value, times = graph.graph.outputs[0], "\N{MULTIPLICATION SIGN}"

    assert around(graph.graph[0]).boxes[0].shape == f"n {times} ? {times} 3"
    value.shape = ir.Shape(())
    assert around(graph.graph[0]).boxes[0].shape == "scalar"
    value.shape = None
    assert around(graph.graph[0]).boxes[0].shape == ""
