"""What is wrong with a model's name or configuration, in one line."""

from pydantic import ValidationError


class ModelError(ValueError):
    """A model is unknown, or its configuration cannot be built."""


def describe(error: ValidationError) -> str:
    """Say in one line which key is wrong, what stood there, and what is expected.

    Args:
        error: What pydantic found; only its first complaint is told.

    Returns:
        For example ``optimizer.learning_rate: input should be greater than 0 (got -1)``.
    """
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    prefix = f"{key}: " if key else ""
    if first["type"] == "value_error":  # our own validators name the value themselves
        return f"{prefix}{message}"
    if first["type"] == "missing":
        return f"{prefix}this key is required"
    if first["type"] == "extra_forbidden":
        return f"{prefix}no such key (got {first['input']!r})"
    return f"{prefix}{message} (got {first['input']!r})"
