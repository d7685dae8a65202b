"""Foldserve from Python: python examples/python_client.py [URL] [IMAGE]."""

import sys

import numpy as np

from foldserve_client import Client, errors


def main(url: str = "http://127.0.0.1:8000", image: str = "tests/data/digit_7.png") -> None:
    """Ask for what a program asks for."""
    with Client(url, timeout_s=30) as client:  # api_key="fs_…" where the server wants one
        for each in client.predict("digits", image, top_k=3).predictions:
            print(f"{each.label}: {each.probability:.3f}")

        version = client.model("digits").versions[-1]
        (signature,) = version.inputs or ()
        batch = np.zeros((4, *signature.shape[1:]), np.float32)
        logits = client.infer("digits", {signature.name: batch})["logits"]
        print(f"logits of four empty pictures: {logits.shape}, each {logits[0].argmax()}")

        try:
            client.predict("letters", image)
        except errors.ModelNotFound as error:
            print(f"{error.code}: {error.detail}")


if __name__ == "__main__":
    main(*sys.argv[1:])
