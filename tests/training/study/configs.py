"""A study so small that a trial takes a moment."""

import tomllib

from training.study.config import StudyConfig
from training.study.trials import Trial

TOML = """
name = "tiny"
seeds = [0]
trains_at = 0.3

[article]
data = {name = "digits", train_limit = 320}
model = {name = "keras_style_2d", filters = [4]}
steps = 12
looks = 3
batch_size = 32
learning_rates = [0.1]
target = 0.2
batch_sizes = [4, 32]
inference_batch_sizes = [1, 4]

[deep]
data = {name = "digits", train_limit = 320}
model = {name = "cnn2d"}
width = 4
steps = 8
looks = 2
batch_size = 32
depths = [1, 2]
learning_rates = [0.1]
scaled_depth = 2
scales = [1.0, 10.0]
scaled_learning_rates = [0.1]
"""


def tiny() -> StudyConfig:
    return StudyConfig.model_validate(tomllib.loads(TOML))


def a_trial(**changes: object) -> Trial:
    """A trial of the article's network; ``changes`` are its attributes."""
    fields: dict[str, object] = {
        "part": "article",
        "purpose": "rates",
        "batch_norm": "before",
        "learning_rate": 0.1,
        "batch_size": 32,
        "steps": 12,
        "seed": 0,
    }
    return Trial(**(fields | changes))  # type: ignore[arg-type]  # a test says which
