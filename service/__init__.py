"""Serve BN-folded ONNX models over HTTP with FastAPI and ONNX Runtime."""
