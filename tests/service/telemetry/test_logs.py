"""Log lines for eyes and for machines."""

import json
import logging
import warnings

import pytest
import structlog
from PIL import Image, TiffImagePlugin

from service.images.preprocessing import image_tensor
from service.telemetry.logs import configure_logs
from tests.service.pictures import encoded, image_input

pytestmark = pytest.mark.usefixtures("_logs_as_before")


def fail() -> None:
    body = "what the client sent"
    raise ValueError(f"of {len(body)} characters")


def log_a_failure() -> None:
    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("unexpected error")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_shows_no_local_variables(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("json" if log_format == "json" else "console", "info")
    log_a_failure()
    logged = capsys.readouterr().err
    assert "of 20 characters" in logged
    assert "what the client sent" not in logged.replace('body = "what the client sent"', "")
    assert "locals" not in logged


def test_json_lines_of_ours_and_of_libraries_have_the_same_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("json", "info")
    structlog.get_logger().info("ours", model="digits")
    logging.getLogger("library").info("theirs %d", 1)
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["level"], ours["model"]) == ("ours", "info", "digits")
    assert (theirs["event"], theirs["level"]) == ("theirs 1", "info")
    assert ours["timestamp"].endswith("Z")


def test_what_is_less_severe_than_the_level_is_not_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("console", "warning")
    structlog.get_logger().info("quiet")
    logging.getLogger("uvicorn.error").info("quiet")
    logging.getLogger("python_multipart.multipart").warning("a client's words")
    logging.getLogger("PIL.TiffImagePlugin").info("a picture's words")
    grpc = logging.getLogger("grpc._cython.cygrpc")
    grpc.error("Invalid encoding on %s", b"a client's words")
    grpc.error("something else")
    structlog.get_logger().warning("loud")
    logged = capsys.readouterr().err
    assert "loud" in logged
    assert "quiet" not in logged
    assert "words" not in logged
    assert "something else" in logged


@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_what_pillow_warns_of_is_not_said_and_what_others_do_is_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("json", "info")
    warnings.warn_explicit("a picture's words", UserWarning, "x.py", 1, TiffImagePlugin.__name__)
    warnings.warn_explicit("a number's", RuntimeWarning, "x.py", 2, "numpy")
    (line,) = capsys.readouterr().err.splitlines()
    assert "RuntimeWarning: a number's" in json.loads(line)["event"]


def damaged_exif() -> bytes:
    """A picture whose EXIF is to have 200 entries, and ends after the first."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\xc8" + bytes(12)
    return encoded(Image.new("L", (4, 4)), "JPEG", exif=exif)


def test_what_is_damaged_in_a_picture_is_neither_a_line_nor_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = dict(getattr(TiffImagePlugin, "__warningregistry__", {}))
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        image_tensor(damaged_exif(), image_input(4, 4, "L"), 100)  # without our settings
    configure_logs("console", "info")
    image_tensor(damaged_exif(), image_input(4, 4, "L"), 100)
    assert capsys.readouterr().err == ""
    assert getattr(TiffImagePlugin, "__warningregistry__", {}).keys() <= {*kept, "version"}
