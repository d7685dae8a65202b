"""API keys for tests: the file, and the headers."""

from pathlib import Path

from service.access.keys import digest

KEYS = {"predict": "fs_predict", "metrics": "fs_metrics", "control": "fs_control"}


def entry(name: str, key: str, scope: str, more: str = "") -> str:
    hashed = digest(key.encode()).hex()
    return f'[[key]]\nname = "{name}"\nsha256 = "{hashed}"\nscopes = ["{scope}"]\n{more}\n'


def put(folder: Path, more: str = "") -> Path:
    """Write a file with one key for each scope."""
    path = folder / "keys.toml"
    path.write_text("".join(entry(name, key, name) for name, key in KEYS.items()) + more)
    path.chmod(0o600)
    return path


def bearer(scope: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[scope]}"}
