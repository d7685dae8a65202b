"""How the folders of a repository may be called."""

import re

# What needs no quoting in a URL, a metric's label or a shell.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Triton's rule: a positive number without a leading zero; other folders are not versions.
VERSION = re.compile(r"[1-9][0-9]{0,17}")
