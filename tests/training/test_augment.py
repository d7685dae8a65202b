import pytest
import torch
from torch import Tensor

from training.augment import AugmentationConfig, augment, erase, flip, shift, turn_and_zoom


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 64) -> Tensor:
    return torch.rand(count, 2, 6, 5, generator=seeded(9)) * 255 + 1


ALL = AugmentationConfig(shift=1, flip=True, rotation=10, scale=0.1, erase=0.5, noise=1)


def test_the_same_seed_changes_a_batch_in_the_same_way() -> None:
    batch = images()

    first, again = (augment(batch, ALL, seeded()) for _ in range(2))

    assert torch.equal(first, again)
    assert not torch.equal(first, augment(batch, ALL, seeded(1)))
    assert first.shape == batch.shape


def test_the_batch_itself_is_not_written_to() -> None:
    batch = images()

    augment(batch, ALL, seeded())

    assert torch.equal(batch, images())


def test_nothing_asked_changes_nothing() -> None:
    assert torch.equal(augment(images(), AugmentationConfig(), seeded()), images())


def test_a_shift_moves_whole_pixels_and_fills_with_zeros() -> None:
    batch = images()

    shifted = shift(batch, 1, seeded())

    padded = torch.nn.functional.pad(batch, [1] * 4)
    for before, after in zip(padded, shifted, strict=True):
        windows = [before[:, y : y + 6, x : x + 5] for y in range(3) for x in range(3)]
        assert sum(torch.equal(window, after) for window in windows) == 1


def test_a_shift_reaches_every_offset() -> None:
    dots = torch.zeros(500, 1, 5)
    dots[:, :, 2] = 1

    assert shift(dots, 2, seeded()).sum(dim=(0, 1)).gt(0).all()


def test_a_flip_mirrors_about_half_of_the_images() -> None:
    batch = images(1000)

    flipped = flip(batch, seeded())

    mirrored = (flipped == batch.flip(3)).all(dim=(1, 2, 3))
    same = (flipped == batch).all(dim=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 400 < int(mirrored.sum()) < 600  # 6 standard deviations of a fair coin


def test_no_turn_and_no_zoom_is_the_identity_of_the_sampling_grid() -> None:
    # bilinear weights are computed in float32: 255 * 2**-23 times a few operations
    assert (turn_and_zoom(images(), 0, 0, seeded()) - images()).abs().max() < 1e-3
    assert (turn_and_zoom(images(), 5, 0, seeded()) - images()).abs().max() > 1


def test_a_turn_keeps_the_aspect_of_images_that_are_not_square() -> None:
    line = torch.zeros(200, 1, 21, 41)
    line[:, :, 10, 10:31] = 1  # horizontal, 21 pixels

    turned = turn_and_zoom(line, 90, 0, seeded())

    # rotation keeps the line's mass but for the sampling; shearing by the aspect would double it
    assert (turned.sum(dim=(1, 2, 3)) - 21).abs().max() < 4


def test_an_erased_box_has_the_mean_of_the_batch_and_at_most_the_asked_size() -> None:
    batch = images(500)

    erased = erase(batch, 0.5, 0.5, seeded())

    changed = (erased != batch).any(dim=1)
    assert torch.equal(torch.unique(erased[(erased != batch)]), batch.mean().view(1))
    assert int(changed.any(dim=1).sum(dim=1).max()) <= 3  # half of 5 columns, rounded up
    assert int(changed.any(dim=2).sum(dim=1).max()) <= 4  # half of 6 rows can touch 4
    assert 0.3 < changed.any(dim=2).any(dim=1).float().mean() < 0.5  # some boxes hold no pixel


@pytest.mark.parametrize("change", [{"shift": 3}, {"erase": 1.0}, {"noise": 0.5}])
def test_signals_can_be_shifted_erased_and_made_noisy(change: dict[str, float]) -> None:
    signals = torch.rand(8, 1, 40, generator=seeded(3))
    config = AugmentationConfig.model_validate(change)

    changed = augment(signals, config, seeded())

    assert changed.shape == signals.shape
    assert not torch.equal(changed, signals)
    assert config.needs_images == ()


def test_what_makes_sense_for_images_alone_is_named() -> None:
    assert AugmentationConfig(flip=True, scale=0.1, shift=1).needs_images == ("flip", "scale")
