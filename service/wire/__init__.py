"""The protocols' bodies and the arrays in them, apart from HTTP and gRPC."""
