"""How far the probabilities of a classifier can be believed, and a temperature that mends them.

Guo et al., "On Calibration of Modern Neural Networks", 2017 (arXiv:1706.04599). What is measured
are the probabilities that the service answers with: the softmax of the artifact's own logits.
"""

from export.reliability.measuring import Reliability, Temperature, measure
from export.reliability.options import parse_temperature

__all__ = ["Reliability", "Temperature", "measure", "parse_temperature"]
