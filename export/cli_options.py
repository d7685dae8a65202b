"""Options of ``foldserve-export`` that belong to the model, whichever command is told about it."""

from pathlib import Path
from typing import Annotated

import typer

from export.folding import Mode, Target
from export.input_format import InputFormat
from export.precision import Io, Kind

Source = Annotated[
    str,
    typer.Argument(
        help="A checkpoint (.safetensors), an .onnx file, a Keras model (.keras), a program of "
        "torch.export (.pt2), or a factory package.module:factory."
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(help="State dict of a factory's module: .safetensors, .pth or .pt."),
]
Input = Annotated[
    str | None, typer.Option("--input", help="Shape of one input without the batch: 3x224x224.")
]
Labels = Annotated[Path | None, typer.Option(help="File of class names, one a line.")]
Color = Annotated[str | None, typer.Option(help="RGB or L: the input is an image.")]
Mean = Annotated[
    str | None,
    typer.Option(
        help="Mean of every channel in units of 0..1, as 0.485,0.456,0.406; the artifact takes "
        "pixels of 0..255 and computes (pixel / 255 - mean) / std itself."
    ),
]
Std = Annotated[str | None, typer.Option(help="Standard deviation of every channel, likewise.")]
ResizeFilter = Annotated[
    str | None, typer.Option(help="nearest, box, bilinear, bicubic or lanczos.")
]
CropFraction = Annotated[
    float | None, typer.Option(help="How much of the resized image a centre crop keeps: 0.875.")
]
Format = Annotated[
    InputFormat,
    typer.Option(
        "--input-format",
        help="What the artifact takes: float32 is what the network takes; image-uint8 is the bytes "
        "of decoded images, channels last, and the graph does the rest.",
    ),
]
FoldMode = Annotated[
    Mode,
    typer.Option(
        "--fold",
        help="Which moves: safe leaves no operator behind; all removes every batch norm that can "
        "be removed exactly; fast takes of these what measures faster.",
    ),
]
FoldTarget = Annotated[Target, typer.Option("--target", help="The device that fast decides for.")]
Samples = Annotated[
    int | None, typer.Option(min=1, help="Inputs to verify on.", show_default="64, or 16 large")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of these inputs and of a factory's weights.")]
Tolerance = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Largest relative error to float64.",
        show_default="1e-5 in float32, or twice the unfolded model's",
    ),
]
Precision = Annotated[
    Kind | None,
    typer.Option(
        help="Numbers of the artifact: fp16 for weights and activations in 16-bit floats, int8 in "
        "8-bit integers; judged on held-out data.",
        show_default="float32",
    ),
]
IoType = Annotated[
    Io, typer.Option("--io", help="With --precision fp16: type of the inputs and outputs.")
]
Calibration = Annotated[
    Path | None,
    typer.Option(
        help="Inputs to measure ranges on: a folder of images, an .npy file, or an .npz file with "
        "an array 'calibration'.",
        show_default="samples.npz beside the checkpoint",
    ),
]
HeldOut = Annotated[
    Path | None,
    typer.Option(
        help="Inputs to judge by: a folder of images, one subfolder a class; an .npy file; or an "
        ".npz file with the arrays 'held_out' and 'targets'.",
        show_default="samples.npz, or a quarter of the calibration data",
    ),
]
TemperatureOf = Annotated[
    str | None,
    typer.Option(
        "--temperature",
        metavar="auto|NUMBER",
        help="Divide logits by it before the softmax, so that probabilities are shares of right "
        "answers; auto fits it to one half of the held-out samples and judges on the other.",
        show_default="1",
    ),
]
MaxAccuracyDrop = Annotated[
    float,
    typer.Option(min=0.0, max=100.0, help="Points of top-1 that --precision may cost."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="For machines: one JSON document; the rest is on stderr.")
]
