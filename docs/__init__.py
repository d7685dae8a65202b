"""Written for people; ``generate`` writes the reference."""
