"""The file of settings: what is replaced, what stays, and that it is never half written."""

from pathlib import Path

import pytest

from service.errors import StartError
from service.tuning.settings_file import require_writable, write_settings

CHOSEN = {"workers": 2, "max_batch_size": 32, "batch_buckets": (1, 8, 32)}
REMARK = "tune digits; version 1 (fp32) on 2 CPUs, 2026-01-02"
WRITTEN = (
    "# foldserve-serve tune digits; version 1 (fp32) on 2 CPUs, 2026-01-02\n"
    "FOLDSERVE_WORKERS=2\n"
    "FOLDSERVE_MAX_BATCH_SIZE=32\n"
    "FOLDSERVE_BATCH_BUCKETS=1,8,32\n"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "foldserve.env"


def test_a_file_that_is_not_there_is_made_readable_for_all(file: Path) -> None:
    write_settings(file, CHOSEN, REMARK)
    assert file.read_text() == WRITTEN
    assert file.stat().st_mode & 0o777 == 0o644


def test_other_lines_stay_and_those_of_the_same_settings_go(file: Path) -> None:
    file.write_text(
        "# of our own\nFOLDSERVE_TOP_K=3\n\nFOLDSERVE_WORKERS=7\n"
        "export foldserve_max_batch_size = 1\nFOLDSERVE_WORKERS_NOTE=1"
    )
    write_settings(file, CHOSEN, REMARK)
    assert file.read_text() == (
        f"# of our own\nFOLDSERVE_TOP_K=3\n\nFOLDSERVE_WORKERS_NOTE=1\n{WRITTEN}"
    )


def test_a_second_run_replaces_what_the_first_wrote(file: Path) -> None:
    write_settings(file, CHOSEN, "tune other; version 3 (int8) on 8 CPUs, 2026-01-01")
    write_settings(file, CHOSEN, REMARK)
    assert file.read_text() == WRITTEN


def test_the_mode_of_the_file_stays_and_so_does_a_link(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("")
    target.chmod(0o600)
    file.symlink_to(target)
    write_settings(file, CHOSEN, REMARK)
    assert file.is_symlink()
    assert target.read_text() == WRITTEN
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "foldserve.env"
    folder.mkdir()
    with pytest.raises(StartError, match=r"cannot write .*foldserve.env: Is a directory"):
        write_settings(folder, CHOSEN, REMARK)
    with pytest.raises(StartError, match="No such file or directory"):
        write_settings(tmp_path / "nowhere" / "file", CHOSEN, REMARK)
    assert list(tmp_path.iterdir()) == [folder]


def test_an_interrupt_while_it_is_written_leaves_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("FOLDSERVE_TOP_K=3\n")

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_settings(file, CHOSEN, REMARK)
    assert file.read_text() == "FOLDSERVE_TOP_K=3\n"
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_is_no_text_is_left_alone(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(StartError, match="it is no text"):
        write_settings(file, CHOSEN, REMARK)
    assert file.read_bytes() == b"\xff\xfe"


def test_a_file_that_can_be_written_is_known_as_such_and_not_made(file: Path) -> None:
    require_writable(file)
    assert list(file.parent.iterdir()) == []


def test_a_file_that_cannot_be_written_is_known_beforehand(tmp_path: Path) -> None:
    (tmp_path / "folder.env").mkdir()
    (tmp_path / "image.env").write_bytes(b"\xff")
    for name, reason in (
        ("nowhere/foldserve.env", "No such file or directory"),
        ("folder.env", "Is a directory"),
        ("image.env", "it is no text"),
    ):
        with pytest.raises(StartError, match=f"^cannot write .*{name}: {reason}$"):
            require_writable(tmp_path / name)
