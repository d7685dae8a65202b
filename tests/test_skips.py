"""The rule that CI skips nothing is itself a check, so it is seen to fail."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TESTS = """
    import pytest

    def test_calls_skip() -> None:
        pytest.skip({reason!r})

    @pytest.mark.skipif(True, reason={reason!r})
    def test_is_marked() -> None:
        ...
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, root: Path) -> pytest.Pytester:
    """A suite of its own with this project's conftest."""
    pytester.makeconftest((root / "tests/conftest.py").read_text())
    return pytester


def test_ci_fails_a_skip_that_names_no_hardware(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    suite.makepyfile(TESTS.format(reason="no engine"))
    suite.runpytest_subprocess().assert_outcomes(failed=1, errors=1)


def test_ci_accepts_a_skip_that_names_missing_hardware(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    suite.makepyfile(TESTS.format(reason="hardware: no CUDA device"))
    suite.runpytest_subprocess().assert_outcomes(skipped=2)


def test_elsewhere_a_skip_is_a_skip(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    suite.makepyfile(TESTS.format(reason="no engine"))
    suite.runpytest_subprocess().assert_outcomes(skipped=2)
