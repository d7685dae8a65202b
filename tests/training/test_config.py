from pathlib import Path

import pytest

from training.config import ConfigError, load

CONFIGS = Path(__file__).parents[2] / "training" / "configs"
SHIPPED = sorted({*CONFIGS.glob("*.toml")} - {CONFIGS / "study.toml"})  # a study has its own form
MINIMAL = """
name = "x"
[data]
name = "digits"
[model]
name = "residual"
[training]
epochs = 2
[optimizer]
learning_rate = 0.1
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "x.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_valid_and_named_like_its_file(path: Path) -> None:
    assert load(path).name == path.stem


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    config = load(written(tmp_path, MINIMAL))

    assert config.schedule.name == "one_cycle"
    assert config.training.patience is None
    assert config.augmentation.shift == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "epochs = 2",
            "epochs = 0",
            "training.epochs: input should be greater than or equal to 1 (got 0)",
        ),
        ("epochs = 2", "epochs = 'x'", "training.epochs: input should be a valid integer"),
        ("epochs = 2", "epoch = 2", "training.epochs: this key is required"),
        ("epochs = 2", "epochs = 2\nspeed = 9", "training.speed: no such key (got 9)"),
        (
            "rate = 0.1",
            "rate = -1.0",
            "optimizer.learning_rate: input should be greater than 0 (got -1.0)",
        ),
        ('name = "digits"', 'name = "mnist"', "data: "),
        (
            'name = "digits"',
            'name = "image_folder"',
            "data.image_folder.folder: this key is required",
        ),
        ('name = "residual"', 'name = "vgg"', "model: no such model: 'vgg'"),
        (
            'name = "residual"',
            'name = "cnn1d"\nstride = 0',
            "model: cnn1d: stride: input should be greater",
        ),
        ('name = "residual"', 'name = "vgg"', "cnn1d, cnn2d, residual\n"),
        ('name = "x"', 'name = "../x"', "name: string should match pattern"),
        ('name = "x"', "name = ", "not TOML"),
    ],
)
def test_a_wrong_key_or_value_is_named_in_one_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, MINIMAL.replace(old, new)))

    assert message in f"{caught.value}\n"
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        load(tmp_path / "nowhere.toml")


def test_overrides_go_over_the_file(tmp_path: Path) -> None:
    config = load(
        written(tmp_path, MINIMAL),
        ["name=other", "training.seed = 7", "augmentation.flip=true", "model.filters=[8, 8, 8]"],
    )

    assert (config.name, config.training.seed, config.augmentation.flip) == ("other", 7, True)
    assert config.model["filters"] == [8, 8, 8]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.seed", "write it as section.key=value"),
        ("=3", "write it as section.key=value"),
        ("name.seed=3", "name is not a section"),
        ("training.sed=3", "training.sed: no such key"),
        ("augmentation.noise=inf", r"augmentation\.noise: input should be less than"),
    ],
)
def test_a_wrong_override_is_an_error(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(written(tmp_path, MINIMAL), [override])
