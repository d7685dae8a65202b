"""The Open Inference Protocol over gRPC, on the same registry and batcher as over HTTP."""
