"""What a user asks for as a temperature."""

import math

from export.errors import UsageError
from export.reliability.calibration import HIGHEST, LOWEST
from export.reliability.measuring import AUTO, Temperature


def parse_temperature(text: str | None) -> Temperature | None:
    """Read ``--temperature``: a number, or "auto" to fit it.

    Raises:
        UsageError: It is neither, or out of bounds.
    """
    if text is None or text == AUTO:
        return None if text is None else AUTO
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not LOWEST <= number <= HIGHEST:
        raise UsageError(f"--temperature {text}: take {AUTO}, or {LOWEST:g} to {HIGHEST:g}")
    return number
