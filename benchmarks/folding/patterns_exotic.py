"""Batch norm as other exporters write it, and where it is easily folded wrongly."""

import numpy as np

from benchmarks.folding.network import Network


def keras_chain(net: Network) -> str:
    """Keras's batch norm behind every ReLU, as Sub, Mul and Add: two convolutions, two dense."""
    x = net.image(3)
    for channels in (8, 16):
        x = _written_out(net, net.relu(net.conv(x, channels, padded=False, bias=True)))
        x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.relu(net.linear(net.op("Flatten", x), 16, features=16))
    x = _written_out(net, x, rank=2)
    return net.linear(x, 10)


def channels_last_chain(net: Network) -> str:
    """The same with channels last around it, as converters from TensorFlow leave it."""
    x = net.image()
    for channels in (16, 16):
        x = net.relu(net.conv(x, channels, bias=True))
        last = net.op("Transpose", x, perm=[0, 2, 3, 1])
        last = _written_out(net, last, axis=3)
        x = net.op("Transpose", last, perm=[0, 3, 1, 2])
    return net.head(net.conv(x, 8, 1))


def scale_behind_bn(net: Network) -> str:
    """Caffe's batch norm: normalise, then Mul and Add by what was learnt."""
    x = net.bn(net.conv(net.image(), 16))
    x = net.op("Mul", x, net.row(x, scale=True))
    x = net.relu(net.op("Add", x, net.row(x, scale=False)))
    return net.head(net.conv(x, 16))


def layer_scale(net: Network) -> str:
    """A residual branch that ends in a learnt scale, and no batch norm anywhere."""
    x = net.conv(net.image(), 16)
    y = net.conv(net.relu(net.conv(x, 16)), 16, bias=True)
    y = net.op("Mul", y, net.row(y, scale=True))
    return net.head(net.op("Add", x, y))


def divided(net: Network) -> str:
    """Normalisation of the input as Sub and Div, then an unpadded convolution."""
    x = net.image()
    x = net.op("Sub", x, net.row(x, scale=False))
    x = net.op("Div", x, net.row(x, scale=True))
    return net.head(net.relu(net.conv(x, 16, padded=False)))


def bn_bn(net: Network) -> str:
    """Two batch norms in a row behind a convolution."""
    return net.head(net.relu(net.bn(net.bn(net.conv(net.image(), 16)))))


def shared_conv(net: Network) -> str:
    """One kernel used twice, each time with a batch norm of its own."""
    x = net.image()
    weight = net.constant(np.random.default_rng(0).normal(0, 0.2, (8, 8, 3, 3)).astype(np.float32))
    for _ in range(2):
        x = net.relu(net.bn(net.op("Conv", x, weight, pads=[1, 1, 1, 1])))
    return net.head(x)


def read_twice(net: Network) -> str:
    """What the convolution puts out is read by the batch norm and by a sum behind it."""
    x = net.conv(net.image(), 16)
    y = net.conv(net.relu(net.bn(x)), 16)
    return net.head(net.relu(net.op("Add", x, y)))


def read_by_two_norms(net: Network) -> str:
    """One convolution under two batch norms."""
    x = net.conv(net.image(), 16)
    first, second = (net.conv(net.relu(net.bn(x)), 8, 1) for _ in range(2))
    return net.head(net.op("Add", first, second))


def inner_output(net: Network) -> tuple[str, str]:
    """The batch norm's result is an output of the model besides."""
    x = net.bn(net.conv(net.image(), 16))
    return net.head(net.conv(net.relu(x), 16)), x


def expanded_parameters(net: Network) -> str:
    """Parameters that an exporter writes as Expand and CastLike of a constant."""
    x = net.conv(net.image(), 16)
    mean = net.constant(np.zeros(16, np.float32), "mean")
    var = net.constant(np.ones(16, np.float32), "var")
    one = net.op("CastLike", net.constant(np.array(1, np.int64)), mean, channels=1)
    scale = net.op("Expand", one, net.op("Shape", mean, channels=16), channels=16)
    shift = net.op("Identity", net.constant(np.full(16, 0.1, np.float32)), channels=16)
    x = net.op("BatchNormalization", x, scale, shift, mean, var)
    return net.head(net.relu(x))


def explicit_pad(net: Network) -> str:
    """ReLU → BN → Pad with zeros → convolution without padding: padding all the same."""
    x = net.bn(net.relu(net.conv(net.image(), 16)))
    pads = net.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    return net.head(net.conv(net.op("Pad", x, pads), 16, padded=False))


def between_smooth(net: Network) -> str:
    """A sum that is read twice → BN → GELU: nothing takes this one in."""
    x = net.op("Gelu", net.conv(net.image(), 16))
    y = net.conv(net.op("Gelu", net.bn(x)), 16)
    return net.head(net.op("Gelu", net.op("Add", x, y)))


def _written_out(net: Network, x: str, rank: int = 4, axis: int = 1) -> str:
    """(x - mean) * scale + beta."""
    x = net.op("Sub", x, net.row(x, scale=False, rank=rank, axis=axis))
    x = net.op("Mul", x, net.row(x, scale=True, rank=rank, axis=axis))
    return net.op("Add", x, net.row(x, scale=False, rank=rank, axis=axis))


ALL = (
    keras_chain,
    channels_last_chain,
    scale_behind_bn,
    layer_scale,
    divided,
    bn_bn,
    shared_conv,
    read_twice,
    read_by_two_norms,
    inner_output,
    expanded_parameters,
    explicit_pad,
    between_smooth,
)
