"""Servers of ONNX models side by side: the same models, the same load, in one run."""
