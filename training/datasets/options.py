"""Options that every data set shares."""

from pydantic import BaseModel, ConfigDict, Field


class SplitOptions(BaseModel):
    """How samples are divided. The same options give the same splits, always."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split_seed: int = Field(default=0, ge=0, description="seed of the splits, not of the training")
    validation_fraction: float = Field(
        default=0.1, gt=0, lt=1, description="share of the training samples that choose the epoch"
    )
    train_limit: int | None = Field(
        default=None, ge=1, description="learn on that many samples only, the classes in proportion"
    )
