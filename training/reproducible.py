"""The same result twice: seeds that follow from the epoch, and deterministic operators."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_of(seed: int, epoch: int) -> int:
    """A seed of its own for every epoch.

    All that is random in an epoch starts from here, so a training that was killed and resumed
    draws what the unbroken one draws, and no generator's state needs to be saved.
    """
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))  # torch takes 63 bits


@contextmanager
def deterministic(device: torch.device, threads: int | None) -> Iterator[None]:
    """Refuse operators whose result depends on timing; give every global switch back.

    On CUDA some operators have no such form, so there the promise is not made. But float32 is
    float32 there too: cuDNN's default is TF32 with ten bits, and the accuracy in a checkpoint
    would not be the one that its weights have elsewhere.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    used = [device] if device.type == "cuda" else []  # else every device of the machine is started
    with (
        torch.random.fork_rng(devices=used),
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
    ):
        torch.use_deterministic_algorithms(device.type == "cpu")
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0])
            torch.set_num_threads(before[1])
