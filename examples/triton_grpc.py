"""Triton's client over GRPC: python examples/triton_grpc.py [HOST:PORT] [IMAGE].

It is ``pip install 'tritonclient[grpc]'``.
"""

import sys
from pathlib import Path

import numpy as np
from tritonclient import grpc as triton


def main(address: str = "127.0.0.1:8001", image: str = "tests/data/digit_7.png") -> None:
    """Ask with a picture, and with numbers."""
    with triton.InferenceServerClient(address) as client:
        print("ready:", client.is_server_ready(), client.is_model_ready("digits"))

        # A picture goes in place of the tensor, as bytes; "score:index:label" comes back.
        picture = triton.InferInput("input", [1], "BYTES")
        picture.set_data_from_numpy(np.array([Path(image).read_bytes()], np.object_))
        classes = triton.InferRequestedOutput("logits", class_count=2)
        found = client.infer("digits", [picture], outputs=[classes])
        for text in found.as_numpy("logits").ravel():
            score, index, label = text.decode().split(":")
            print(f"{label}: class {index}, score {float(score):.2f}")

        numbers = triton.InferInput("input", [4, 1, 8, 8], "FP32")
        numbers.set_data_from_numpy(np.zeros((4, 1, 8, 8), np.float32))
        logits = client.infer("digits", [numbers]).as_numpy("logits")
        print(f"logits of four empty pictures: {logits.shape}, each {logits[0].argmax()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
