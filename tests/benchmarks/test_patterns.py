import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from benchmarks.folding import accuracy
from benchmarks.folding.counting import count
from benchmarks.folding.light import light, names
from benchmarks.folding.network import Network
from benchmarks.folding.patterns import PATTERNS, pattern
from benchmarks.folding.weights import Array, batch_norms
from export import runtime
from export.reference import in_float64

# Float32 rounding of a network of ten layers is 1e-7 to 1e-6; float16's is 8192 times as coarse.
SOUND = {np.dtype(np.float32): 1e-5, np.dtype(np.float16): 1e-2}


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_valid_and_computes_the_same_in_float32_and_float64(name):
    model = pattern(name)  # which runs the checker
    feeds = accuracy.draw(model)
    expected = accuracy.exact(model, feeds)
    outputs = runtime.load(model.SerializeToString(), optimized=False)(feeds)
    assert accuracy.relative(expected, outputs) < SOUND[next(iter(feeds.values())).dtype]


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_holds_a_batch_norm_or_an_affine(name):
    counts = count(pattern(name))
    assert counts.batch_norms + counts.affines > 0


def test_a_pattern_has_the_same_weights_every_time():
    assert pattern("residual").SerializeToString() == pattern("residual").SerializeToString()


def test_batch_norms_have_about_the_statistics_of_their_input():
    net = Network(seed=1)
    model = net.finish(net.bn(net.conv(net.image(), 32)))
    feeds = accuracy.draw(model, batch=64)
    (output,) = runtime.load(model.SerializeToString(), optimized=False)(feeds)
    gamma, beta = _parameters(model)
    normalised = (output - beta.reshape(-1, 1, 1)) / gamma.reshape(-1, 1, 1)
    # They were measured on other samples and then moved by some tenths; unmeasured they are 0 and 1
    # where this convolution puts out a standard deviation of 1.4.
    assert np.abs(normalised.mean(axis=(0, 2, 3))).max() < 0.75
    assert normalised.std(axis=(0, 2, 3)) == pytest.approx(1, abs=0.5)


def test_one_gamma_in_ten_is_negative():
    net = Network(seed=1)
    model = net.finish(net.bn(net.conv(net.image(), 1000, 1)))
    gamma, _ = _parameters(model)
    assert 0.05 < (gamma < 0).mean() < 0.15


def test_a_light_network_has_different_channels_and_ends_in_logits():
    assert "shufflenet" in names()
    model = light("shufflenet")
    assert "Softmax" not in {node.op_type for node in model.graph.node}
    assert count(model).batch_norms == 49
    (logits,) = runtime.load(model.SerializeToString(), optimized=False)(accuracy.draw(model))
    assert len(np.unique(logits)) > 900


def test_the_error_of_a_wrong_output_shows():
    expected = [np.array([3.0, 4.0])]
    assert accuracy.relative(expected, [np.array([3.0, 4.5])]) == pytest.approx(0.1)
    assert accuracy.relative([np.zeros(2)], [np.ones(2)]) == np.inf


def _parameters(model: onnx.ModelProto) -> tuple[Array, Array]:
    arrays = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    (norm,) = batch_norms(model)
    return arrays[norm.input[1]], arrays[norm.input[2]]


@pytest.mark.parametrize("name", ["bn_average_pool_conv", "bn_max_pool", "conv1d_bn", "shuffle"])
def test_the_quick_reference_agrees_with_the_slow_one(name):
    model = pattern(name)
    feeds = accuracy.draw(model)
    slow = in_float64(ir.from_proto(model))(feeds)
    # Both are float64 and add up in different orders.
    assert accuracy.relative(slow, accuracy.exact(model, feeds)) < 1e-13
