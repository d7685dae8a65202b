"""Keras networks to export, made in Keras, on PyTorch; the article's is trained a little."""

import functools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # it has no types

from export.sources import keras_file

Array = NDArray[np.float32]
AXIS = {"channels_last": -1, "channels_first": 1}
ENLARGED = 3  # digits of 8 x 8 are too small for two convolutions without padding, and two pools
SIDE = 8 * ENLARGED
MOMENTUM = 0.8  # Keras's 0.99 takes hundreds of batches to forget where statistics began


@functools.cache
def keras() -> Any:
    """Keras, as the reader starts it; its weights drawn with one seed."""
    started = keras_file.start()
    started.utils.set_random_seed(0)
    return started


def image_shape(layout: str, side: int, channels: int) -> tuple[int, ...]:
    last = layout == "channels_last"
    return (side, side, channels) if last else (channels, side, side)


def article(layout: str = "channels_last") -> Any:
    """Conv -> ReLU -> BN -> MaxPool, twice, then two dense layers; not trained yet."""
    layers, options = keras().layers, {"data_format": layout}
    parts: list[Any] = [keras().Input(image_shape(layout, SIDE, 1), name="image")]
    for filters in (8, 16):
        parts += [
            layers.Conv2D(filters, 3, activation="relu", **options),
            layers.BatchNormalization(axis=AXIS[layout], momentum=MOMENTUM),
            layers.MaxPooling2D(**options),
        ]
    parts += [layers.Flatten(), layers.Dense(32, activation="relu"), layers.Dense(10)]
    return keras().Sequential(parts, name="article")


@functools.cache
def digits(layout: str = "channels_last") -> tuple[Array, NDArray[np.int64]]:
    """Images of digits and what they are."""
    images, labels = load_digits(return_X_y=True)
    small = images.reshape(-1, 8, 8).astype(np.float32) / 16
    large = small.repeat(ENLARGED, axis=1).repeat(ENLARGED, axis=2)
    return np.expand_dims(large, AXIS[layout]), labels


@functools.cache
def trained(layout: str = "channels_last") -> Any:
    """The article's network after one pass over a thousand digits."""
    model, (images, labels) = article(layout), digits(layout)
    loss = keras().losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras().optimizers.Adam(1e-2), loss=loss)
    with keras().device("cpu"):
        model.fit(images[:1024], labels[:1024], batch_size=64, epochs=1, shuffle=False, verbose=0)
    return model


def with_negative_gammas(model: Any) -> Any:
    """A copy whose batch norms have every fourth gamma negative."""
    copy = keras().models.clone_model(model)
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        if isinstance(layer, keras().layers.BatchNormalization):
            gamma = layer.gamma.numpy()
            gamma[::4] *= -1
            layer.gamma.assign(gamma)
    return copy


def residual() -> Any:
    """Batch norms behind convolutions and in front of one; pooled by a mean; ends in softmax."""
    layers = keras().layers
    image = keras().Input((12, 12, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    y = layers.BatchNormalization(scale=False)(y)
    x = layers.ReLU()(layers.Add()([x, y]))
    y = layers.ReLU()(layers.BatchNormalization(center=False)(x))
    y = layers.Conv2D(16, 3, strides=2, padding="same")(y)
    x = layers.Add()([layers.Conv2D(16, 1, strides=2)(x), y])
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
    return keras().Model(image, layers.Dense(5, activation="softmax", name="classes")(x))


def separable() -> Any:
    """Depthwise and pointwise convolutions with ReLU6, as in MobileNet."""
    layers = keras().layers
    image = keras().Input((12, 12, 3), name="image")
    x = image
    for filters, strides in ((8, 1), (12, 2)):
        x = layers.ZeroPadding2D(1)(x)
        x = layers.DepthwiseConv2D(3, strides=strides, use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
        x = layers.Conv2D(filters, 1, use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Reshape((5,))(layers.Conv2D(5, 1)(x))
    return keras().Model(image, layers.Activation("softmax", name="classes")(x))


def signal() -> Any:
    """Convolutions of one dimension, and a batch norm behind a dense layer."""
    layers = keras().layers
    wave = keras().Input((40, 2), name="wave")
    x = layers.LeakyReLU()(layers.BatchNormalization()(layers.Conv1D(8, 5, padding="same")(wave)))
    x = layers.BatchNormalization()(layers.SeparableConv1D(12, 3)(x))
    x = layers.Flatten()(layers.MaxPooling1D()(layers.Activation("swish")(x)))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(16)(x)))
    return keras().Model(wave, layers.Dense(4, name="classes")(x))


def normalized() -> Any:
    """A Normalization layer that was adapted to data, in front."""
    layers = keras().layers
    scale = layers.Normalization()
    scale.adapt(np.random.default_rng(0).normal(3, 2, (50, 8, 8, 3)))
    parts = [keras().Input((8, 8, 3), name="image"), scale, layers.Conv2D(4, 3)]
    parts += [layers.BatchNormalization(), layers.ReLU(), layers.Flatten()]
    return keras().Sequential([*parts, layers.Dense(4, name="classes")])


def shared() -> Any:
    """A model inside a model, called twice."""
    layers = keras().layers
    inner = keras().Sequential(
        [keras().Input((8, 8, 4)), layers.Conv2D(4, 1), layers.BatchNormalization()], name="inner"
    )
    image = keras().Input((8, 8, 3), name="image")
    x = layers.ReLU()(inner(layers.Conv2D(4, 3, padding="same")(image)))
    x = layers.GlobalMaxPooling2D()(inner(x))
    return keras().Model(image, layers.Dense(4, name="classes")(x))


def volume() -> Any:
    """Convolutions of three dimensions."""
    layers = keras().layers
    parts = [keras().Input((6, 8, 8, 2), name="scan"), layers.Conv3D(4, 3, use_bias=False)]
    parts += [layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling3D(), layers.Flatten()]
    return keras().Sequential([*parts, layers.Dense(4, name="classes")])


def randomize(model: Any) -> Any:
    """Give every batch norm statistics, gammas and betas worth folding."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in {"gamma", "moving_variance"}:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        if weight.name in {"beta", "moving_mean"}:
            weight.assign(rng.uniform(-0.5, 0.5, weight.shape))
    return model


def saved(model: Any, folder: Path) -> Path:
    """The model as a ``.keras`` file."""
    path = folder / f"{model.name}.keras"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of models that are not built, which is meant
        model.save(path)
    return path


def exported(model: Any, folder: Path) -> Path:
    """The model as Keras's own exporter writes it."""
    path = folder / f"{model.name}.onnx"
    with keras().device("cpu"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the old exporter that Keras calls
        model(np.zeros((1, *model.inputs[0].shape[1:]), np.float32))  # it must have been called
        model.export(path, format="onnx", verbose=False)
    return path


def serialized(model: ir.Model) -> bytes:
    """The bytes of a model."""
    data: bytes = ir.to_proto(model).SerializeToString()
    return data
