"""From an image file to a model's input, and from scores to labels."""
