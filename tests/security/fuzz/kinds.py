"""What is searched in a process of its own, and how.

python -m tests.security.fuzz.kinds FOLDER SECONDS SEED NAME...
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from tests.security.fuzz import damage, models, readers, seeds
from tests.security.fuzz.search import Kind, main

READERS: Mapping[str, Kind] = {
    "infer": Kind(seeds.tensors, damage.body, readers.infer),
    "v1": Kind(seeds.predictions, damage.behind_line(damage.document), readers.v1),
    "rpc": Kind(seeds.calls, damage.call, readers.rpc),
    "multipart": Kind(seeds.forms, damage.blind, readers.multipart),
    "encodings": Kind(seeds.packed, damage.blind, readers.encodings),
    "images": Kind(
        lambda: [
            name.encode() + b"\n" + file for name in readers.IMAGES for file in seeds.pictures()
        ],
        damage.behind_line(damage.picture),
        readers.images,
    ),
    "manifests": Kind(seeds.manifests, damage.document, readers.manifests),
    "policies": Kind(seeds.policies, damage.document, readers.policies),
}
MODELS: Mapping[str, Kind] = {
    "graphs": Kind(models.graphs, damage.call, models.serve),
    "described": Kind(models.described, damage.call, models.serve),
    "external": Kind(models.external, damage.call, models.serve),
}


if __name__ == "__main__":
    known = {**READERS, **MODELS}
    asked = {name: known[name] for name in sys.argv[4:]}
    main(asked, Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
