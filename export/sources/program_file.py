"""``.pt2`` files of `torch.export.save`: looked at, and cleaned, before PyTorch reads them.

`torch.export.load` unpickles whatever a file brings as a pickle, loads compiled libraries,
evaluates expressions of sizes and finds operators by name in all that `torch` can reach. Here
nothing of that is left: PyTorch is given a copy, written here, of what was looked at here, without
pickles, and an operator or expression that is not known to be harmless is refused.
"""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from export.errors import SourceError, first_line
from export.sources.archive import DAMAGED, objects
from export.sources.tracing import quiet

GRAPH = "models/model.json"
WEIGHTS = "data/weights/"
CONSTANTS = "data/constants/"
SAMPLE = "data/sample_inputs/model.pt"  # a pickle of the example that was traced; left out
# Which tensor is in which record, and what records are called.
TABLES = {
    f"{WEIGHTS}model_weights_config.json": re.compile(r"weight_\d+"),
    f"{CONSTANTS}model_constants_config.json": re.compile(r"tensor_\d+"),
}
TENSOR = re.compile(rf"{WEIGHTS}weight_\d+|{CONSTANTS}tensor_\d+")
VERSIONS = ("archive_format", "archive_version", "byteorder", ".data/version")
LARGEST = 1 << 32  # bytes, unpacked; twice what an artifact can hold
# Of JSON, which takes several times as much once it is read; a node is about 1 kB of it.
LARGEST_DOCUMENT = 1 << 28  # bytes
# PyTorch's own operators but the one that maps a file, and arithmetic on sizes.
OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|torchvision)\.(?!from_file)\w+\.\w+|torch\._?sym_\w+|math\.\w+|"
    r"torch\.ops\.higher_order\.wrap_with_set_grad_enabled|"  # what no_grad() leaves
    r"_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_)"
)
# An expression of sizes, as sympy writes it: ``Add(Symbol('s77', integer=True), Integer(2))``.
EXPRESSION = re.compile(r"[\w\s+\-*/%(),.<>='\"]*")
WORD = re.compile(r"[A-Za-z_]\w*")
KNOWN = re.compile(
    "Symbol|Integer|Rational|Float|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|"
    "TruncToInt|Eq|Ne|Equality|Unequality|StrictLessThan|StrictGreaterThan|LessThan|GreaterThan|"
    "And|Or|Not|true|false|True|False|oo|int_oo|integer|positive|nonnegative|[suz]\\d+"
)
CONTAINERS = frozenset({"None", "builtins.tuple", "builtins.list", "builtins.dict"})
SPECS = ("in_spec", "out_spec")
MODULES = "nn_module_stack"  # of a node's metadata, all that is read: what the module was called


def load(path: Path) -> torch.export.ExportedProgram:
    """Load a program without unpickling anything.

    Raises:
        SourceError: It cannot be read, or holds what is not read.
    """
    records = _records(path)
    documents = {name: _json(records, name, path) for name in (GRAPH, *TABLES)}
    _check_graph(documents[GRAPH], path)
    for name, record in TABLES.items():
        _check_table(documents[name], record, path)
    _strip(documents[GRAPH])
    for document in documents.values():
        _move_to_cpu(document)
    clean = _written(records, documents)
    with quiet():
        try:
            return torch.export.load(clean)
        except Exception as error:
            raise SourceError(f"{path}: PyTorch cannot load it: {first_line(error)}") from error


def _records(path: Path) -> dict[str, bytes]:
    """What is in the archive, by its path below the one folder that holds all of it."""
    if not path.is_file():
        raise SourceError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > LARGEST:
                raise SourceError(f"{path}: more than {LARGEST} bytes when unpacked")
            names = [name.partition("/")[2] for name in archive.namelist()]
            if GRAPH not in names:
                raise SourceError(_other_kind(path, archive.namelist()))
            return {
                name: archive.read(info)
                for name, info in zip(names, archive.infolist(), strict=True)
            }
    except DAMAGED as error:
        raise SourceError(f"{path} is no .pt2 program: {first_line(error)}") from error


def _other_kind(path: Path, names: list[str]) -> str:
    if any("aotinductor/" in name for name in names):
        return f"{path} holds compiled code, which is not run; give what torch.export.save writes"
    if "serialized_exported_program.json" in names:
        return f"{path} was written by PyTorch 2.7 or before; save it again with 2.8 or later"
    return f"{path} is no .pt2 program: it has no {GRAPH}"


def _json(records: Mapping[str, bytes], name: str, path: Path) -> dict[str, Any]:
    if len(records.get(name, b"")) > LARGEST_DOCUMENT:
        raise SourceError(f"{path}: its {name} is larger than {LARGEST_DOCUMENT} bytes")
    try:
        found = json.loads(records[name])
    except (KeyError, ValueError, RecursionError) as error:
        raise SourceError(f"{path} is no .pt2 program: {name}: {first_line(error)}") from error
    if not isinstance(found, dict):
        raise SourceError(f"{path} is no .pt2 program: {name} is no object")
    return found


def _check_table(table: dict[str, Any], record: re.Pattern[str], path: Path) -> None:
    """Every weight or constant is plain numbers, in a record of its own name."""
    entries = table.get("config")
    if not isinstance(entries, dict):
        raise SourceError(f"{path} is no .pt2 program: it does not say which tensor is where")
    for name, entry in entries.items():
        plain = isinstance(entry, dict) and entry.get("use_pickle") is False
        if not plain or not record.fullmatch(str(entry.get("path_name"))):
            raise SourceError(
                f"{path}: '{name}' is stored as a pickle, which is not read; only plain tensors are"
            )


def _check_graph(graph: dict[str, Any], path: Path) -> None:
    """Nothing in a graph is code, or finds some."""
    if not isinstance(graph.get("graph_module"), dict):
        raise SourceError(f"{path} is no .pt2 program: {GRAPH} has no graph")
    for name in graph.get("range_constraints") or {}:
        _check_expression(name, path)
    for found in objects(graph):
        target = found.get("target")
        if "inputs" in found and isinstance(target, str) and not OPERATOR.fullmatch(target):
            raise SourceError(f"{path}: calls {target[:80]}, which is no operator of PyTorch's own")
        if "as_operator" in found or "as_custom_obj" in found:
            raise SourceError(f"{path}: holds an operator or an object as a value")
        _check_expression(found.get("expr_str", ""), path)
        for spec in SPECS:
            _check_containers(found.get(spec), path)


def _check_expression(text: object, path: Path) -> None:
    if not _is_expression(text):
        raise SourceError(f"{path}: the size {str(text)[:80]!r} is not understood")


def _is_expression(text: object) -> bool:
    return (
        isinstance(text, str)
        and EXPRESSION.fullmatch(text) is not None
        and all(KNOWN.fullmatch(word) for word in WORD.findall(text))
    )


def _check_containers(spec: object, path: Path) -> None:
    """Inputs and outputs are in tuples, lists and dictionaries, none of others' classes."""
    if spec is None or spec == "":
        return
    try:
        described = json.loads(str(spec))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is no .pt2 program: {first_line(error)}") from error
    for found in objects(described):
        if str(found.get("type")) not in CONTAINERS or "fqn" in str(found.get("context")):
            raise SourceError(f"{path}: takes or gives a {found.get('type')}")


def _strip(graph: dict[str, Any]) -> None:
    """Drop the code of guards and, but for what a node is called by, all metadata."""
    graph["guards_code"] = []
    graph["graph_module"] |= {"metadata": {}, "treespec_namedtuple_fields": {}}
    for found in objects(graph):
        metadata = found.get("metadata")
        if "target" in found and isinstance(metadata, dict):
            found["metadata"] = {MODULES: metadata[MODULES]} if MODULES in metadata else {}


def _move_to_cpu(document: dict[str, Any]) -> None:
    """Say cpu wherever a device is named: what was traced on one runs on any."""
    for found in objects(document):
        if found.keys() == {"type", "index"}:
            found |= {"type": "cpu", "index": None}


def _written(records: Mapping[str, bytes], documents: Mapping[str, Any]) -> io.BytesIO:
    """An archive of what was looked at, and an empty example."""
    kept = {
        name: data for name, data in records.items() if name in VERSIONS or TENSOR.fullmatch(name)
    }
    kept |= {name: json.dumps(document).encode() for name, document in documents.items()}
    kept[SAMPLE] = b""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in kept.items():
            archive.writestr(f"program/{name}", data)
    buffer.seek(0)
    return buffer
