"""Read CIFAR's published python batches without unpickling them.

Those files are pickles (protocol 2, written by Python 2), and unpickling a file runs what the file
says. Nothing is run here: `pickletools.genops` only names the opcodes of the stream, and this
module walks over them with a stack of plain values. It takes the opcodes that those files consist
of and refuses any other by name. A GLOBAL is never imported: three names are known, they stay
text, and the one shape in which they may occur is recognized as "an array of unsigned bytes".
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RECONSTRUCT = "numpy.core.multiarray _reconstruct"
_NDARRAY = "numpy ndarray"
_DTYPE = "numpy dtype"


class PythonBatchError(ValueError):
    """The stream holds something that the published batches do not."""


@dataclass(frozen=True)
class _Name:
    """A GLOBAL of the stream: text, never looked up."""

    text: str


@dataclass
class _Call:
    """A REDUCE of the stream, not carried out, with the state that a BUILD gives it."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


class _Mark:
    """Where the items of a tuple, list or dict begin."""


class _Machine:
    """The stack and memo of a pickle, for the opcodes in the tables below alone."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def since_mark(self) -> list[Any]:
        start = max(i for i, item in enumerate(self.stack) if isinstance(item, _Mark))
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def text(self, value: str) -> None:
        self.push(value.encode("latin-1"))  # genops decodes a Python 2 string so

    def name(self, value: str) -> None:
        if value not in (_RECONSTRUCT, _NDARRAY, _DTYPE):
            raise PythonBatchError(f"it names {value.replace(' ', '.')!r}")
        self.push(_Name(value))

    def tuple_of(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.push(items)

    def reduce(self) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        self.push(_Call(name.text, arguments))

    def build(self) -> None:
        state = self.stack.pop()
        self.stack[-1].state = state

    def append(self) -> None:
        item = self.stack.pop()
        self.stack[-1].append(item)

    def appends(self) -> None:
        items = self.since_mark()
        self.stack[-1].extend(items)

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][key] = value

    def set_items(self) -> None:
        items = self.since_mark()
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.push(self.memo[index])


_PLAIN: dict[str, Callable[[_Machine], None]] = {
    "MARK": lambda machine: machine.push(_Mark()),
    "NONE": lambda machine: machine.push(None),
    "NEWFALSE": lambda machine: machine.push(False),
    "NEWTRUE": lambda machine: machine.push(True),
    "EMPTY_DICT": lambda machine: machine.push({}),
    "EMPTY_LIST": lambda machine: machine.push([]),
    "TUPLE": lambda machine: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine: machine.tuple_of(1),
    "TUPLE2": lambda machine: machine.tuple_of(2),
    "TUPLE3": lambda machine: machine.tuple_of(3),
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
}
_WITH_ARGUMENT: dict[str, Callable[[_Machine, Any], None]] = {
    "BININT": _Machine.push,
    "BININT1": _Machine.push,
    "BININT2": _Machine.push,
    "LONG1": _Machine.push,
    "SHORT_BINSTRING": _Machine.text,
    "BINSTRING": _Machine.text,
    "GLOBAL": _Machine.name,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
}
_SILENT = frozenset({"PROTO", "STOP"})


def parse(content: bytes) -> dict[bytes, Any]:
    """Read one batch: a dict of byte-string keys.

    Returns:
        Values are byte strings, integers, lists of those, and arrays of uint8.

    Raises:
        PythonBatchError: If the stream holds any other opcode, name or structure.
    """
    try:
        (result,) = _walk(content)
        return {key: _value(value) for key, value in result.items()}
    except PythonBatchError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise PythonBatchError(f"not the structure of a batch ({error})") from error


def _walk(content: bytes) -> list[Any]:
    """Follow the opcodes to the end; what is left is the stack."""
    machine = _Machine()
    for opcode, argument, position in pickletools.genops(content):
        if opcode.name in _PLAIN:
            _PLAIN[opcode.name](machine)
        elif opcode.name in _WITH_ARGUMENT:
            _WITH_ARGUMENT[opcode.name](machine, argument)
        elif opcode.name not in _SILENT:
            raise PythonBatchError(f"opcode {opcode.name} at byte {position}")
    return machine.stack


def _value(value: Any) -> Any:
    if isinstance(value, bytes | int):
        return value
    if isinstance(value, list) and all(isinstance(item, bytes | int) for item in value):
        return value
    if isinstance(value, _Call):
        return _array(value)
    raise PythonBatchError(f"a value of type {type(value).__name__}")


def _array(call: _Call) -> NDArray[np.uint8]:
    """Recognize numpy's own pickle of an array: version, shape, dtype, Fortran order, bytes."""
    if (call.name, call.arguments) != (_RECONSTRUCT, (_Name(_NDARRAY), (0,), b"b")):
        raise PythonBatchError(f"it calls {call.name.replace(' ', '.')} other than for an array")
    _, shape, dtype, fortran_order, content = call.state
    if (dtype.name, dtype.arguments[:1]) != (_DTYPE, (b"u1",)):
        raise PythonBatchError("an array of something else than unsigned bytes")
    if not isinstance(content, bytes):  # bytearray takes a number for a size to allocate
        raise PythonBatchError("an array without its bytes")
    flat = np.frombuffer(bytearray(content), dtype=np.uint8)  # a copy, so that it can be written to
    return flat.reshape(shape, order="F" if fortran_order else "C")
