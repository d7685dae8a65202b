"""A virtual environment for every peer, made where it is missing."""

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("peers")
INSTALL_LIMIT_S = 1800
STAMP = ".requirements"  # what was installed; another file of requirements installs anew


class NoEnvironmentError(Exception):
    """A peer cannot be installed; the message says what pip said."""


def provide(peer: str, folder: Path) -> Path:
    """The Python that has a peer.

    Args:
        peer: Whose requirements are `peers/<peer>.txt`.
        folder: With one environment a peer.

    Raises:
        NoEnvironmentError: It cannot be installed.
    """
    requirements = REQUIREMENTS / f"{peer}.txt"
    home = folder.resolve() / peer
    python = home / "bin" / "python"
    stamp = home / STAMP
    wanted = requirements.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        _run(sys.executable, "-m", "venv", str(home))
        pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run(str(python), *pip, "--requirement", str(requirements))
        stamp.write_text(wanted)
    return python


def version(peer: str, package: str) -> str:
    """Which version of a package a peer's requirements pin."""
    lines = (REQUIREMENTS / f"{peer}.txt").read_text().splitlines()
    pins = dict(line.split("#")[0].strip().split("==") for line in lines if "==" in line)
    return next(pin for name, pin in pins.items() if name.split("[")[0] == package)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - pip and venv of this interpreter
            command, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoEnvironmentError(str(error)) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no word"]
        raise NoEnvironmentError(said[-1][:300])
