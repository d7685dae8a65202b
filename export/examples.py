"""The examples at the end of each command's help: in Markdown, and on a terminal, a line each."""


def _examples(*commands: str) -> str:
    # Where there are markups of rich, typer breaks lines at empty ones alone.
    return "\n\n".join(("Examples:", *(f"foldserve-export {command}" for command in commands)))


ALL = _examples(
    "build runs/digits/checkpoint.safetensors --name digits",
    "inspect models/digits/1/model.onnx",
    "build --help",
)
BUILD = _examples(
    "build runs/digits/checkpoint.safetensors --name digits --version 2",
    "build network.onnx --name net --input 3x224x224 --labels labels.txt --color RGB",
    "build package.module:factory --weights weights.safetensors --name net --input 3x224x224",
    "build runs/digits/checkpoint.safetensors --name digits --version 3 --precision int8",
    "build runs/digits/checkpoint.safetensors --name digits --version 4 --json",
)
FOLD = _examples(
    "fold network.onnx folded.onnx",
    "fold network.onnx folded.onnx --fold safe --samples 16 --force --json",
)
INSPECT = _examples(
    "inspect models/digits/1/model.onnx",
    "inspect models/digits/1/model.onnx --json",
)
VERIFY = _examples(
    "verify models/digits/1/model.onnx --against models/digits/1/checkpoint.safetensors",
    "verify folded.onnx --against network.onnx --tolerance 1e-5 --json",
)
LOCK = _examples("lock models/", "lock models/ --check", "lock models/ --check --json")
