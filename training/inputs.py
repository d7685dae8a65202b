"""What a model takes: an image with the steps that lead to it, or a bare signal."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

ResizeFilter = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
"""Pillow's resampling filters, by name."""

CHANNELS = {"L": 1, "RGB": 3}
"""Channels of each Pillow mode that a model may take."""


class ImageInput(BaseModel):
    """Raw pixels, (channels, height, width) of float32, and how an image file becomes them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["image"] = "image"
    color: Literal["L", "RGB"]
    channels: int
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    value_range: tuple[float, float] = (0, 255)
    resize_filter: ResizeFilter = "bilinear"
    crop_fraction: float | None = Field(default=None, gt=0, le=1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width

    @model_validator(mode="after")
    def _color_has_these_channels(self) -> Self:
        if CHANNELS[self.color] != self.channels:
            raise ValueError(
                f"color {self.color} has {CHANNELS[self.color]} channels, not {self.channels}"
            )
        return self


class SignalInput(BaseModel):
    """Raw samples, (channels, length) of float32."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["signal"] = "signal"
    shape: tuple[int, ...] = Field(min_length=1)
    value_range: tuple[float, float]


ModelInput = Annotated[ImageInput | SignalInput, Field(discriminator="kind")]

_INPUT: TypeAdapter[ImageInput | SignalInput] = TypeAdapter(ModelInput)


def parse_input(fields: object) -> ImageInput | SignalInput:
    """Read an input from its JSON form.

    Raises:
        pydantic.ValidationError: If it is not one.
    """
    return _INPUT.validate_python(fields)
