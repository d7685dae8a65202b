"""Servers of ONNX models under faults: this project's and others, one after the other."""
