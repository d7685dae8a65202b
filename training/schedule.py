"""Learning rates as functions of how far the training has come; nothing to save or restore."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ScheduleConfig(BaseModel):
    """Warm up to the optimizer's learning rate, then anneal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["one_cycle", "cosine"] = "one_cycle"
    warm_up: float = Field(default=0.25, ge=0, lt=1, description="share of all steps")


_START = 1 / 25  # one_cycle begins there, as a share of the top: torch's div_factor
_END = _START / 1e4  # and ends there: torch's final_div_factor


def rate(config: ScheduleConfig, step: int, steps: int) -> float:
    """Share of the full learning rate at a step.

    ``one_cycle`` is L. Smith, "Super-Convergence", 2018, with cosine flanks; ``cosine`` is
    Loshchilov and Hutter, "SGDR", 2017, without restarts and behind a linear warm-up.

    Args:
        config: Which schedule.
        step: From 0 to steps - 1.
        steps: How many there are in all.

    Returns:
        A number in (0, 1].
    """
    peak = config.warm_up * steps - 1 if config.name == "one_cycle" else config.warm_up * steps
    if step <= peak and peak > 0:
        return _rise(config, step / peak, steps)
    fall = (step - max(peak, 0)) / max(steps - 1 - max(peak, 0), 1)
    end = _END if config.name == "one_cycle" else 0.0
    return max(_cosine(1.0, end, fall), _END)


def _rise(config: ScheduleConfig, done: float, steps: int) -> float:
    if config.name == "one_cycle":
        return _cosine(_START, 1.0, done)
    return max(done, 1 / steps)


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
