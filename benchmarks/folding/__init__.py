"""How much batch norm the folders of ONNX graphs remove, how exactly, and what it is worth."""
