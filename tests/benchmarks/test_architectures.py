import torch
from torch import nn

from benchmarks.folding.architectures import calibrate, randomize
from benchmarks.folding.weights import SMALLEST_DEVIATION


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 200, 1)
        self.norm = nn.BatchNorm2d(200)
        self.layer_scale = nn.Parameter(torch.full((200, 1, 1), 1e-5))
        self.head = nn.Linear(200, 2)
        nn.init.zeros_(self.norm.weight)  # as many networks start the last one of a block
        nn.init.zeros_(self.head.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled = self.layer_scale * self.norm(self.conv(x))
        logits: torch.Tensor = self.head(scaled.mean((2, 3)))
        return logits


def made() -> Block:
    torch.manual_seed(0)
    block = Block()
    randomize(block)
    calibrate(block, (3, 8, 8))
    return block


def test_what_starts_at_zero_has_a_say():
    block = made()
    assert block.head.weight.abs().min() > 0
    assert block.layer_scale.min() > 0.1
    negative = (block.norm.weight < 0).float().mean()
    assert 0.02 < negative < 0.2  # a tenth of 200, give or take


def test_batch_norms_are_calibrated_and_left_in_eval_mode():
    block = made()
    mean, variance = block.norm.running_mean, block.norm.running_var
    assert mean is not None
    assert variance is not None
    assert not block.norm.training
    assert mean.abs().max() > 0.01
    assert (variance >= (SMALLEST_DEVIATION * mean).square()).all()
    assert variance.min() > 0
