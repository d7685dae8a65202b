"""One linear operator, one batch norm and what stands between them."""

import numpy as np

from benchmarks.folding.network import Network

SMOOTH = 16  # channels of the networks below


def conv_bn(net: Network) -> str:
    """Conv → BN → ReLU, twice."""
    x = net.relu(net.bn(net.conv(net.image(), 16, bias=True)))
    return net.head(net.relu(net.bn(net.conv(x, 16, stride=2))))


def conv1d_bn(net: Network) -> str:
    """The same on one axis."""
    x = net.conv(net.image(rank=3), 16, rank=3)
    return net.head(net.relu(net.bn(x)))


def conv3d_bn(net: Network) -> str:
    """The same on three axes."""
    x = net.conv(net.image(4, 6, rank=5), 8, rank=5)
    return net.head(net.relu(net.bn(x)))


def depthwise_separable(net: Network) -> str:
    """Depthwise → BN → ReLU6 → pointwise → BN."""
    x = net.bn(net.conv(net.image(), groups=8))
    low, high = net.number(0), net.number(6)
    return net.head(net.bn(net.conv(net.op("Clip", x, low, high), 16, 1)))


def conv_transpose_bn(net: Network) -> str:
    """Transposed convolution, with groups, → BN → ReLU."""
    x = net.relu(net.bn(net.conv_transpose(net.image(), 16)))
    return net.head(net.relu(net.bn(net.conv_transpose(x, 16, groups=2))))


def conv_relu_bn(net: Network) -> str:
    """BN behind the ReLU, twice, and then a padded convolution."""
    x = net.bn(net.relu(net.conv(net.image(), 16)))
    return net.head(net.bn(net.relu(net.conv(x, 16))))


def conv_relu6_bn(net: Network) -> str:
    """BN behind a Clip, then a convolution without padding."""
    low, high = net.number(0), net.number(6)
    x = net.bn(net.op("Clip", net.conv(net.image(), 16), low, high))
    return net.head(net.conv(x, 16, padded=False))


def conv_leaky_relu_bn(net: Network) -> str:
    """BN behind a LeakyReLU, then a padded convolution."""
    x = net.bn(net.op("LeakyRelu", net.conv(net.image(), 16), alpha=0.1))
    return net.head(net.conv(x, 16))


def bn_prelu_conv(net: Network) -> str:
    """Conv → BN → PReLU → conv."""
    x = net.bn(net.conv(net.image(), 16))
    slopes = net.constant(np.full((16, 1, 1), 0.25, np.float32))
    return net.head(net.conv(net.op("PRelu", x, slopes), 16))


def silu_bn_pointwise(net: Network) -> str:
    """BN behind a SiLU, then a pointwise convolution."""
    x = net.conv(net.image(), SMOOTH)
    x = net.op("Mul", x, net.op("Sigmoid", x))
    return net.head(net.conv(net.bn(x), 8, 1))


def gelu_bn_padded(net: Network) -> str:
    """BN behind a GELU, then a padded convolution."""
    x = net.bn(net.op("Gelu", net.conv(net.image(), SMOOTH)))
    return net.head(net.conv(x, 8))


def hard_swish_bn(net: Network) -> str:
    """Conv → BN → HardSwish → BN → conv 1x1."""
    x = net.op("HardSwish", net.bn(net.conv(net.image(), SMOOTH)))
    return net.head(net.conv(net.bn(x), 8, 1))


def bn_padded_conv(net: Network) -> str:
    """BN on the input, then a padded convolution."""
    return net.head(net.relu(net.conv(net.bn(net.image()), 16)))


def bn_unpadded_conv(net: Network) -> str:
    """BN on the input, then a convolution without padding."""
    return net.head(net.relu(net.conv(net.bn(net.image()), 16, padded=False)))


def linear_bn(net: Network) -> str:
    """Gemm → BN → ReLU → Gemm → ReLU → BN → Gemm."""
    x = net.op("Flatten", net.op("GlobalAveragePool", net.conv(net.image(), 16)))
    x = net.bn(net.relu(net.linear(net.relu(net.bn(net.linear(x, 16))), 16)))
    return net.linear(x, 10)


def matmul_flatten_bn(net: Network) -> str:
    """LeViT's linear norm: MatMul over tokens, BN on the flattened rows, twice."""
    x = net.conv(net.image(), 16)
    flat = net.op("Reshape", x, net.constant(np.array([0, 16, -1], np.int64)))
    x = net.op("Transpose", flat, perm=[0, 2, 1])
    for channels in (32, 16):
        x = net.matmul(x, channels)
        rows = net.op("Reshape", x, net.constant(np.array([-1, channels], np.int64)))
        tokens = net.constant(np.array([-1, 144, channels], np.int64))
        x = net.relu(net.op("Reshape", net.bn(rows), tokens))
    return net.op("ReduceMean", x, net.constant(np.array([1], np.int64)), keepdims=0)


def max_pool_bn_conv(net: Network) -> str:
    """Conv → ReLU → MaxPool → BN → conv."""
    x = net.op("MaxPool", net.relu(net.conv(net.image(), 16)), kernel_shape=[2, 2], strides=[2, 2])
    return net.head(net.conv(net.bn(x), 16))


def bn_max_pool(net: Network) -> str:
    """Conv → MaxPool → BN → ReLU → conv."""
    x = net.op("MaxPool", net.conv(net.image(), 16), kernel_shape=[2, 2], strides=[2, 2])
    return net.head(net.conv(net.relu(net.bn(x)), 16))


def average_pool_bn(net: Network) -> str:
    """Conv → AveragePool → BN → ReLU → conv."""
    x = net.op("AveragePool", net.conv(net.image(), 16), kernel_shape=[2, 2], strides=[2, 2])
    return net.head(net.conv(net.relu(net.bn(x)), 16))


def bn_average_pool_conv(net: Network) -> str:
    """ReLU → BN → AveragePool → conv 1x1."""
    x = net.bn(net.relu(net.conv(net.image(), 16)))
    x = net.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    return net.head(net.conv(x, 16, 1))


def half_conv_bn(net: Network) -> str:
    """Conv → BN → ReLU in float16."""
    x = net.conv(net.image(dtype=np.float16), 16, dtype=np.float16)
    return net.relu(net.bn(x, np.float16))


def half_conv_single_bn(net: Network) -> str:
    """A float16 convolution whose batch norm has float32 parameters."""
    x = net.conv(net.image(dtype=np.float16), 16, dtype=np.float16)
    return net.relu(net.bn(x))


ALL = (
    conv_bn,
    conv1d_bn,
    conv3d_bn,
    depthwise_separable,
    conv_transpose_bn,
    conv_relu_bn,
    conv_relu6_bn,
    conv_leaky_relu_bn,
    bn_prelu_conv,
    silu_bn_pointwise,
    gelu_bn_padded,
    hard_swish_bn,
    bn_padded_conv,
    bn_unpadded_conv,
    linear_bn,
    matmul_flatten_bn,
    max_pool_bn_conv,
    bn_max_pool,
    average_pool_bn,
    bn_average_pool_conv,
    half_conv_bn,
    half_conv_single_bn,
)
