"""The settings come from FOLDSERVE_* alone, and a wrong one stops the start."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.environment import describe_settings, environment, read_settings, variable
from service.errors import StartError
from service.settings import Settings


def test_the_defaults_are_those_that_the_readme_promises() -> None:
    settings = read_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.models == Path("models")
    assert settings.provider == "cpu"


def test_a_variable_sets_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDSERVE_MAX_BATCH_SIZE", "7")
    assert read_settings().max_batch_size == 7


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDSERVE_PORT", "")
    assert read_settings().port == 8000


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("FOLDSERVE_PROT", "FOLDSERVE_PORT"),
        ("FOLDSERVE_MAX_BATCHSIZE", "FOLDSERVE_MAX_BATCH_SIZE"),
        ("foldserve_hots", "FOLDSERVE_HOST"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(wrong: str, right: str) -> None:
    with pytest.raises(StartError, match=f"^{wrong} is no setting; did you mean {right}\\?$"):
        read_settings({wrong: "1", "PATH": "/bin"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "99999"),
        ("PORT", "http"),
        ("PROVIDER", "tpu"),
        ("MAX_BATCH_SIZE", "0"),
        ("REQUEST_TIMEOUT_S", "0"),
        ("REQUEST_TIMEOUT_S", "nan"),
        ("MAX_QUEUE_DELAY_MS", "-1"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name_and_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"FOLDSERVE_{name}", value)
    with pytest.raises(StartError, match=f"^FOLDSERVE_{name}={value}: "):
        read_settings()


def test_a_queue_that_cannot_hold_a_batch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDSERVE_MAX_QUEUE_SIZE", "8")
    with pytest.raises(StartError, match="max_queue_size is smaller than max_batch_size"):
        read_settings()


@pytest.mark.parametrize(
    ("given", "missing"),
    [("TLS_KEY", "CERTIFICATE"), ("TLS_CLIENT_CA", "CERTIFICATE"), ("TLS_CERTIFICATE", "KEY")],
)
def test_tls_with_a_part_missing_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: str, missing: str
) -> None:
    monkeypatch.setenv(f"FOLDSERVE_{given}", "file.pem")
    with pytest.raises(StartError, match=f"FOLDSERVE_TLS_{missing} is missing"):
        read_settings()


def test_buckets_are_written_as_sizes_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDSERVE_BATCH_BUCKETS", "1,4,32")
    assert read_settings().batch_buckets == (1, 4, 32)


@pytest.mark.parametrize("sizes", ["4,1,32", "0,32", "1,1,32", "1,4", "1,x,32"])
def test_buckets_that_do_not_rise_to_a_batch_are_refused(
    monkeypatch: pytest.MonkeyPatch, sizes: str
) -> None:
    monkeypatch.setenv("FOLDSERVE_BATCH_BUCKETS", sizes)
    with pytest.raises(StartError, match=r"(?i)batch_buckets"):
        read_settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        setattr(Settings(), "port", 1)  # noqa: B010 -- a plain assignment is refused by mypy


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_has_one_line_of_help_and_stands_in_the_help(field: str) -> None:
    description = Settings.model_fields[field].description
    assert description
    assert "\n" not in description
    assert variable(field) in describe_settings()
    assert description in describe_settings()


def test_a_child_has_other_values_of_some_settings_and_the_rest_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FOLDSERVE_TOP_K", "3")
    monkeypatch.setenv("FOLDSERVE_WORKERS", "9")
    monkeypatch.setenv("foldserve_port", "1")
    monkeypatch.setenv("FOLDSERVE_GRPC_PORT", "2")
    chosen = {"workers": 2, "port": 0, "warm_up": False, "batch_buckets": (1, 8), "grpc_port": None}
    made = environment(chosen)
    assert {name: value for name, value in made.items() if "foldserve" in name.lower()} == {
        "FOLDSERVE_TOP_K": "3",
        "FOLDSERVE_WORKERS": "2",
        "FOLDSERVE_PORT": "0",
        "FOLDSERVE_WARM_UP": "false",
        "FOLDSERVE_BATCH_BUCKETS": "1,8",
    }
    assert made["PATH"]


@pytest.mark.parametrize("origin", ["*", "https://example.org/", "example.org", "HTTPS://A.ORG"])
def test_a_page_is_named_by_its_origin(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("FOLDSERVE_CORS_ORIGINS", origin)
    with pytest.raises(StartError, match="cors_origins"):
        read_settings()


def test_all_pages_may_call_only_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDSERVE_CORS_ORIGINS", "*")
    monkeypatch.setenv("FOLDSERVE_API_KEYS", "keys.toml")
    assert read_settings().cors_origins == ("*",)
