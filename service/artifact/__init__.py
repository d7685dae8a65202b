"""What a model's file says: the graph's signature and the manifest."""
