"""A training run as one TOML file, checked whole before anything starts."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from training.augment import AugmentationConfig
from training.datasets import DataOptions
from training.loop import Precision
from training.models import ModelError, describe, parse
from training.optim import OptimizerConfig
from training.schedule import ScheduleConfig


class ConfigError(ValueError):
    """A configuration is wrong; the message names the key and the value, in one line."""


class LoopConfig(BaseModel):
    """How long, how much at once, and from which seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(default=128, ge=2, le=65_536)  # one sample has no batch variance
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    precision: Precision = Field(
        default="float32",
        description="of convolutions while fitting; weights, BN and evaluation stay float32",
    )
    patience: int | None = Field(
        default=None, ge=1, description="stop after so many epochs without a better validation"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(
        default=None, ge=1, le=256, description="CPU threads; results are equal for equal threads"
    )


class TrainingConfig(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="runs/<name>/")
    data: DataOptions
    model: dict[str, Any]
    training: LoopConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig = ScheduleConfig()
    augmentation: AugmentationConfig = AugmentationConfig()

    @field_validator("model")
    @classmethod
    def _model_is_known(cls, fields: dict[str, Any]) -> dict[str, Any]:
        try:
            parse(str(fields.get("name")), without_name(fields))
        except ModelError as error:
            raise ValueError(str(error)) from error
        return fields


def without_name(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the section ``[model]``."""
    return {key: value for key, value in fields.items() if key != "name"}


def load(path: Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Read a TOML file.

    Args:
        path: The file.
        overrides: ``section.key=value`` each, put over what the file says.

    Raises:
        ConfigError: If the file is missing, is not TOML, or has a wrong key or value.
    """
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error})") from error
    for override in overrides:
        _put(fields, override)
    try:
        return TrainingConfig.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error)}") from error


def _put(fields: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: write it as section.key=value")
    *sections, last = key.strip().split(".")
    for section in sections:
        fields = fields.setdefault(section, {})
        if not isinstance(fields, dict):
            raise ConfigError(f"--set {override}: {section} is not a section")
    fields[last] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word is a string: nobody quotes twice on a command line
