"""Small networks, one for every way in which batch norm stands in a convolutional network.

Each is a function from an empty `Network` to the names of its outputs, under its own name.
"""

import zlib
from collections.abc import Callable, Mapping

import onnx

from benchmarks.folding import patterns_blocks, patterns_exotic, patterns_simple
from benchmarks.folding.network import Network

Pattern = Callable[[Network], str | tuple[str, ...]]
MODULES = (patterns_simple, patterns_blocks, patterns_exotic)
PATTERNS: Mapping[str, Pattern] = {
    function.__name__: function for module in MODULES for function in module.ALL
}


def pattern(name: str) -> onnx.ModelProto:
    """One of the networks; the same weights every time.

    Raises:
        KeyError: There is none of that name.
    """
    network = Network(zlib.crc32(name.encode()))
    outputs = PATTERNS[name](network)
    return network.finish(*([outputs] if isinstance(outputs, str) else outputs))
