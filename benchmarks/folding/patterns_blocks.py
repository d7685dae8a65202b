"""Blocks of published networks: branches, residuals, concatenations."""

import numpy as np

from benchmarks.folding.network import Network

BLOCKS = 3  # enough that a block has one before and one behind it


def residual(net: Network) -> str:
    """ResNet (He et al. 2015): BN before the sum, a projection first."""
    x = net.relu(net.bn(net.conv(net.image(), 16)))
    for stride in (2, 1, 1):
        y = net.relu(net.bn(net.conv(x, 16, stride=stride)))
        y = net.bn(net.conv(y, 16))
        skip = net.bn(net.conv(x, 16, 1, stride=stride)) if stride > 1 else x
        x = net.relu(net.op("Add", y, skip))
    return net.head(x)


def pre_activation(net: Network) -> str:
    """ResNet v2 (He et al. 2016): BN → ReLU → conv on a residual stream."""
    x = net.conv(net.image(), 16)
    for _ in range(BLOCKS):
        y = net.conv(net.relu(net.bn(x)), 16)
        x = net.op("Add", x, net.conv(net.relu(net.bn(y)), 16))
    return net.head(net.relu(net.bn(x)))


def dense_block(net: Network) -> str:
    """DenseNet: every layer reads what all before it put out, through a BN of its own."""
    x = net.conv(net.image(), 16)
    for _ in range(BLOCKS):
        y = net.conv(net.relu(net.bn(x)), 16, 1)
        y = net.conv(net.relu(net.bn(y)), 8)
        x = net.op("Concat", x, y, channels=net.channels[x] + 8, axis=1)
    y = net.conv(net.relu(net.bn(x)), 16, 1)
    y = net.op("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])
    return net.head(net.relu(net.bn(y)))


def repvgg(net: Network) -> str:
    """RepVGG: 3x3, 1x1 and identity, each with its BN, summed."""
    x = net.relu(net.bn(net.conv(net.image(), 16)))
    for _ in range(BLOCKS):
        wide, point = net.bn(net.conv(x)), net.bn(net.conv(x, kernel=1))
        x = net.relu(net.op("Add", net.op("Add", wide, point), net.bn(x)))
    return net.head(x)


def mobile_one(net: Network) -> str:
    """MobileOne: several depthwise branches and an identity, then pointwise ones."""
    x = net.relu(net.bn(net.conv(net.image(), 16)))
    for kernel, groups in ((3, 16), (1, 1)):
        branches = [net.bn(net.conv(x, kernel=kernel, groups=groups)) for _ in range(3)]
        branches.append(net.bn(x))
        x = net.relu(net.op("Sum", *branches))
    return net.head(x)


def conv_mixer(net: Network) -> str:
    """ConvMixer: GELU → BN → padded depthwise, inside a residual; one affine a block must stay."""
    x = net.bn(net.op("Gelu", net.conv(net.image(), 16, 2, padded=False, stride=2)))
    for _ in range(BLOCKS):
        y = net.bn(net.op("Gelu", net.conv(x, kernel=5, groups=16, bias=True)))
        x = net.op("Add", y, x)
        x = net.bn(net.op("Gelu", net.conv(x, kernel=1, bias=True)))
    return net.head(x)


def concat_bn(net: Network) -> str:
    """Two convolutions, concatenated, → BN → ReLU → conv 1x1."""
    x = net.image()
    joined = net.op("Concat", net.conv(x, 8), net.conv(x, 16, 1), channels=24, axis=1)
    return net.head(net.conv(net.relu(net.bn(joined)), 16, 1))


def bn_concat(net: Network) -> str:
    """Inception: branches of ReLU → BN, concatenated, → padded conv."""
    x = net.image()
    branches = [net.bn(net.relu(net.conv(x, 8, kernel))) for kernel in (1, 3, 5)]
    joined = net.op("Concat", *branches, channels=24, axis=1)
    return net.head(net.conv(joined, 16))


def shuffle(net: Network) -> str:
    """ShuffleNet v2: half of the channels pass by, then all are shuffled."""
    x = net.relu(net.bn(net.conv(net.image(), 16)))
    for _ in range(BLOCKS):
        passed, y = net.ops("Split", x, channels=[8, 8], axis=1, num_outputs=2)
        y = net.relu(net.bn(net.conv(y, kernel=1)))
        y = net.bn(net.conv(y, groups=8))
        y = net.relu(net.bn(net.conv(y, kernel=1)))
        x = _shuffled(net, net.op("Concat", passed, y, channels=16, axis=1))
    return net.head(net.bn(x))


def _shuffled(net: Network, x: str) -> str:
    pairs = net.op("Reshape", x, net.constant(np.array([0, 2, 8, 12, 12], np.int64)))
    turned = net.op("Transpose", pairs, perm=[0, 2, 1, 3, 4])
    return net.op("Reshape", turned, net.constant(np.array([0, 16, 12, 12], np.int64)))


def squeeze_excite(net: Network) -> str:
    """Conv → BN → ReLU, gated by its own average; the gate → BN → conv 1x1."""
    x = net.relu(net.bn(net.conv(net.image(), 16)))
    squeezed = net.relu(net.bn(net.conv(net.op("GlobalAveragePool", x), 8, 1)))
    gate = net.op("Sigmoid", net.conv(squeezed, 16, 1))
    return net.head(net.conv(net.bn(net.op("Mul", x, gate)), 16, 1))


def add_bn_relu(net: Network) -> str:
    """A sum of two convolutions → BN → ReLU → conv."""
    x = net.image()
    both = net.op("Add", net.conv(x, 16), net.conv(x, 16, 1))
    return net.head(net.conv(net.relu(net.bn(both)), 16))


def add_bn_linear(net: Network) -> str:
    """A residual sum → BN → conv 1x1, and the sum goes on."""
    x = net.conv(net.image(), 16)
    for _ in range(BLOCKS):
        y = net.op("Gelu", net.conv(net.bn(x), 32, 1))
        x = net.op("Add", x, net.conv(y, 16, 1))
    return net.head(x)


def up_sampling(net: Network) -> str:
    """BN → nearest-neighbour Resize → conv 1x1, and reflecting Pad → conv without padding."""
    x = net.bn(net.relu(net.conv(net.image(), 16)))
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    x = net.op("Resize", x, "", scales, mode="nearest")
    x = net.bn(net.relu(net.conv(x, 16, 1)))
    pads = net.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    return net.head(net.conv(net.op("Pad", x, pads, mode="reflect"), 16, padded=False))


ALL = (
    residual,
    pre_activation,
    dense_block,
    repvgg,
    mobile_one,
    conv_mixer,
    concat_bn,
    bn_concat,
    shuffle,
    squeeze_excite,
    add_bn_relu,
    add_bn_linear,
    up_sampling,
)
