"""What the chaos tests share."""

from pathlib import Path

import pytest

from tests.service import zoo


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a doubler, ``m``, and a classifier of images."""
    zoo.put(tmp_path, "brightness", 1, zoo.brightness_classifier())  # the greeting names it
    zoo.put(tmp_path, "m", 1, zoo.doubler())
    return tmp_path
