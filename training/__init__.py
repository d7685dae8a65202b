"""Train convolutional networks with batch normalization in PyTorch."""
