import pytest
import torch

from training.reproducible import deterministic, seed_of

CPU = torch.device("cpu")


def test_every_epoch_of_every_training_has_a_seed_of_its_own() -> None:
    seeds = {seed_of(seed, epoch) for seed in range(20) for epoch in range(20)}

    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)  # what torch takes
    assert seed_of(3, 4) == seed_of(3, 4)


def test_float32_is_float32_on_cuda_too_while_the_block_runs() -> None:
    assert torch.backends.cudnn.allow_tf32  # torch's default: ten bits

    with deterministic(CPU, None):
        assert not torch.backends.cudnn.allow_tf32

    assert torch.backends.cudnn.allow_tf32


def test_every_switch_is_given_back_after_an_error_too() -> None:
    before = torch.get_num_threads()
    inside: list[tuple[int, bool]] = []

    def fail() -> None:
        with deterministic(CPU, before + 1):
            inside.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert inside == [(before + 1, True)]
    assert torch.get_num_threads() == before
    assert not torch.are_deterministic_algorithms_enabled()
