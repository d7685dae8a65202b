"""A study as one TOML file: which networks on which data, and what is varied."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.config import ConfigError
from training.datasets import DataOptions
from training.models import describe

LearningRate = Annotated[float, Field(gt=0, le=10)]
BatchSize = Annotated[int, Field(ge=2, le=65_536)]  # one sample has no batch variance
_Share = Annotated[float, Field(gt=0, lt=1)]


class Part(BaseModel):
    """One network on one data set, trained for so many steps by SGD with a constant rate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataOptions
    model: dict[str, Any] = Field(description="name and parameters, but for what is varied")
    steps: int = Field(ge=1, le=1_000_000)
    batch_size: BatchSize = 128
    looks: int = Field(default=20, ge=1, description="at validation, at equal distances")
    learning_rates: tuple[LearningRate, ...] = Field(min_length=1)


class Article(Part):
    """The article's network: rates, the place of batch norm, the gap, the size of a batch."""

    target: _Share = Field(description="validation accuracy whose first step is counted")
    batch_sizes: tuple[BatchSize, ...] = Field(min_length=1, description="to learn with")
    inference_batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        min_length=1,
        description="whose own statistics normalize them, in place of the running ones",
    )


class Deep(Part):
    """Convolutions in a row: depth, and the scale of the first weights."""

    width: int = Field(ge=1, le=4096, description="filters of every convolution")
    depths: tuple[Annotated[int, Field(ge=1, le=16)], ...] = Field(min_length=1)
    scales: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        min_length=1, description="factors of every first kernel of a convolution"
    )
    scaled_depth: Annotated[int, Field(ge=1, le=16)]
    scaled_learning_rates: tuple[LearningRate, ...] = Field(min_length=1)


class StudyConfig(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="runs/<name>/")
    seeds: tuple[Annotated[int, Field(ge=0, le=2**32 - 1)], ...] = Field(min_length=1)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    trains_at: _Share = Field(description="accuracy in every seed from which a rate trains")
    article: Article
    deep: Deep


def load(path: Path) -> StudyConfig:
    """Read a TOML file.

    Raises:
        ConfigError: If the file is missing, is not TOML, or has a wrong key or value.
    """
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error})") from error
    try:
        return StudyConfig.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error)}") from error
