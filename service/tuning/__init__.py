"""``foldserve-serve tune``: which settings serve a model best on this machine."""
