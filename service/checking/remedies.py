"""What to do about a version that cannot be served, by what the load says of it."""

from pathlib import Path

from service.repository.entries import MODEL_FILE

# The first whose words are in the reason.
_REMEDIES = (
    ("FOLDSERVE_MAX_MODEL_BYTES", "set it higher, if the model may take so much memory"),
    ("lock.json", "if the files are those that you mean, foldserve-export lock {models} writes it"),
    ("leads out of the repository", "put the file itself into the version's folder"),
    ("the external data", "put the data beside model.onnx, as plain files of their own"),
    ("cannot be read", "let the server's user read them"),
    ("changed while they were read", "check again when nobody writes them"),
    ("format_version", "the file is of another release: update the service, or build it anew"),
    ("at export", "build it anew with foldserve-export, on this kind of machine"),
    ("which cannot be served", "give its graph inputs and outputs that are tensors of numbers"),
)
_BUILD = "write it anew with foldserve-export build"


def remedy(reason: str, file: Path, models: Path) -> str:
    """Return what to do.

    Args:
        reason: why the version cannot be served.
        file: where its model is looked for.
        models: the repository's folder.
    """
    if not file.is_file():
        return _put(file)
    found = (what for words, what in _REMEDIES if words in reason)
    return next(found, _BUILD).format(models=models)


def _put(file: Path) -> str:
    others = sorted(path.name for path in file.parent.glob("*.onnx") if path.is_file())
    if len(others) == 1:
        return f"rename {others[0]} to {MODEL_FILE}"
    return "put it there, or remove the folder"
