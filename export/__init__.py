"""Fold batch normalization into the weights and write one self-describing ONNX file."""
