"""What a JPEG costs on its way to the tensor, by decoder."""
