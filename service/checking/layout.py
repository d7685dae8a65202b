"""What in a repository's folder a start takes no notice of, and is likely not meant so.

Whatever holds an ONNX file that nobody would find there is a model that is not served; the rest
is told and does no harm.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from service.checking.findings import Finding
from service.repository.entries import MODEL_FILE, Entry
from service.repository.names import MODEL_NAME, VERSION

_ONNX = "*.onnx"
_NAMES = {
    0: "a model's name is letters, digits, '.', '_' and '-'; rename it",
    1: "versions are folders named 1, 2, 3 and so on; rename it",
}


def ignored(root: Path, folder: str, reason: str) -> Finding:
    """Return what to say of a folder that is taken for no model or version.

    Args:
        root: the repository's folder.
        folder: inside it.
        reason: why not.
    """
    remedy = _NAMES[folder.count("/")] if "name" in reason else "give the server the right to"
    return Finding(folder, f"it is ignored: {reason}", remedy, keeps_out=_holds(root / folder))


def misplaced(root: Path, entries: Sequence[Entry]) -> Iterator[Finding]:
    """Return what lies where nothing is looked for.

    Args:
        root: the repository's folder.
        entries: the versions that were found in it.

    Raises:
        OSError: the folder cannot be listed.
    """
    with_versions = {entry.name for entry in entries}
    yield from _files(root, "")
    for folder in sorted(root.iterdir()):
        if not folder.is_dir() or not MODEL_NAME.fullmatch(folder.name):
            continue
        files = [*_files(folder, f"{folder.name}/")]
        yield from files
        if folder.name not in with_versions and not files:
            remedy = f"put the model at {folder.name}/1/{MODEL_FILE}, or remove the folder"
            yield Finding(folder.name, "no model: it has no folder of a version", remedy)


def _files(folder: Path, within: str) -> Iterator[Finding]:
    for file in sorted(folder.glob(_ONNX)):
        if file.name.startswith(".") or not file.is_file():
            continue
        place = f"{within or f'{file.stem}/'}1/{MODEL_FILE}"
        what = "it is in no version's folder, where a model is looked for"
        is_a_models = VERSION.fullmatch(folder.name) and file.name == MODEL_FILE
        remedy = (
            "the repository is the folder above this one" if is_a_models else f"move it to {place}"
        )
        yield Finding(f"{within}{file.name}", what, remedy, keeps_out=True)


def _holds(folder: Path) -> bool:
    """Whether a model lies in a folder, or in one of its folders."""
    return any(folder.glob(_ONNX)) or any(folder.glob(f"*/{_ONNX}"))
