"""A study of batch normalization: the claims about it, measured on real data.

Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
Covariate Shift", 2015 (arXiv:1502.03167): faster convergence, larger learning rates, less
dependence on the initialization, a regularizing effect. Each is measured against the same network
without batch norm, over learning rates, depths, scales of the first weights and seeds.
"""

from training.study.run import study

__all__ = ["study"]
