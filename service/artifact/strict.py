"""How a manifest's objects are read: every field, no other field, nothing converted."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """An object of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
