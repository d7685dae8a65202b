# The commands of the project; `make help` lists them. Everything lives in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

# Other people's clients, which the tests run unchanged; they want an older protobuf than ours.
CLIENTS := $(VENV)/clients

# What looks at the page: for accessibility, and for the types of its scripts.
NODE := $(VENV)/node

# What looks at the dependencies, apart from what it looks at.
TOOLS := $(VENV)/tools

.DEFAULT_GOAL := help
.PHONY: help serve install test quick profile docs lint chaos fuzz screenshots audit sbom format model proto lock clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Foldserve needs Python 3.11 or newer; try: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "Python has no venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# A stamp says which extras are installed, for which pyproject.toml and which pins.
$(VENV)/.service: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt --editable '.[service]'
	@touch $@

$(VENV)/.all: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt --editable '.[service,client,tracing,training,export,keras,dev]'
	@touch $@ $(VENV)/.service

$(VENV)/.clients: $(BIN)/python tests/clients/requirements.txt
	$(BIN)/python -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip --disable-pip-version-check install --quiet \
	  --requirement tests/clients/requirements.txt
	@touch $@

$(VENV)/.node: $(BIN)/python tests/browser/package.json tests/browser/package-lock.json
	@command -v npm >/dev/null \
	  || { echo "Without npm some tests of the page are skipped; on Debian and Ubuntu: apt install npm" >&2; exit 0; }; \
	mkdir -p $(NODE) && cp tests/browser/package.json tests/browser/package-lock.json $(NODE) \
	  && (cd $(NODE) && npm ci --silent --no-audit --no-fund --ignore-scripts) && touch $@

$(VENV)/.tools: $(BIN)/python Makefile
	$(BIN)/python -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip --disable-pip-version-check install --quiet 'pip-audit>=2.10' 'cyclonedx-bom>=7.2'
	@touch $@

serve: $(VENV)/.service  ## serve the bundled model on 127.0.0.1:8000
	@exec $(BIN)/foldserve-serve

install: $(VENV)/.all $(VENV)/.clients $(VENV)/.node  ## put every stage and the tools into .venv

lint: $(VENV)/.all  ## format check, lint, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint $(VENV)/.clients $(VENV)/.node  ## everything that must be green, the tests included
	$(BIN)/pytest --cov --cov-report=term

# The fast tests of one stage, a process for each processor; those marked slow train or export a real
# network, or start a server. Those of the service's two protocols, which make the whole app for each
# test, are stages of their own: each is done in twenty seconds on two processors.
STAGE ?= service
quick: $(VENV)/.all  ## the fast tests of one stage: make quick STAGE=service (or service/api, service/rpc, training, export)
	$(BIN)/pytest -q -n auto -m 'not slow' tests/$(STAGE) \
	  $(addprefix --ignore=,$(wildcard tests/$(STAGE)/api tests/$(STAGE)/rpc))

profile: $(VENV)/.all  ## record a running server for 15 s as a flame graph, runs/profile.svg (PID=...)
	@mkdir -p runs
	$(BIN)/py-spy record --native --subprocesses --duration 15 --output runs/profile.svg \
	  --pid $(or $(PID),$$(pgrep -o -f foldserve-serve))

docs: $(VENV)/.all  ## write docs/reference from the code
	$(BIN)/python -m docs.generate

chaos: $(VENV)/.all $(VENV)/.clients  ## the tests of README's promises in their long form
	CHAOS=long $(BIN)/pytest tests/chaos tests/security tests/docker/test_rolling_restart.py

# A search with the same seed tries the same inputs; the line that make prints has it. What a search
# finds is kept in the folder that the failure names, to go into tests/security/fuzz/corpus.
fuzz: $(VENV)/.all $(VENV)/.clients  ## search for inputs that break the service, SECONDS=60 each way
	FUZZ_SECONDS=$(or $(SECONDS),60) FUZZ_SEED=$(or $(SEED),$(strip $(shell od -An -N4 -tu4 /dev/urandom))) \
	  $(BIN)/pytest -s tests/security/fuzz

screenshots: $(VENV)/.all  ## take the pictures of the page anew, for docs/pictures
	PICTURES=docs/pictures $(BIN)/pytest tests/browser/test_pictures.py

# Known holes of every pinned version; one that cannot be looked up fails as well.
audit: $(VENV)/.tools  ## look the pinned versions up in the databases of known vulnerabilities
	for pins in constraints.txt tests/clients/requirements.txt; do \
	  $(TOOLS)/bin/pip-audit --strict --disable-pip --no-deps --requirement $$pins || exit 1; done

# Of an environment with what the image of the service holds, and nothing else.
sbom: $(VENV)/.tools  ## write the service's software bill of materials, dist/sbom.json (CycloneDX)
	rm -rf $(VENV)/served && $(PYTHON) -m venv --without-pip $(VENV)/served && mkdir -p dist
	$(PIP) --python $(VENV)/served/bin/python install --quiet --constraint constraints.txt '.[service]'
	$(TOOLS)/bin/cyclonedx-py environment $(VENV)/served/bin/python --pyproject pyproject.toml \
	  --output-reproducible --output-file dist/sbom.json

format: $(VENV)/.all  ## format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

model: $(VENV)/.all  ## train the bundled digits model again and export it
	$(BIN)/foldserve-train training/configs/digits.toml --fresh
	$(BIN)/foldserve-export build runs/digits/checkpoint.safetensors --name digits --version 1 --output models/ --force
	cp runs/digits/samples.npz models/digits/1/  # what --precision calibrates on and judges by

proto: $(VENV)/.clients  ## compile the description of the gRPC messages
	$(CLIENTS)/bin/python -m grpc_tools.protoc --proto_path=service/rpc --include_imports \
	  --descriptor_set_out=service/rpc/open_inference.binpb open_inference.proto

lock:  ## resolve the pins of both environments anew (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --no-annotate --no-header --quiet --output-file constraints.txt
	uv pip compile tests/clients/requirements.in --universal --python-version 3.11 \
	  --no-annotate --no-header --quiet --output-file tests/clients/requirements.txt

clean:  ## remove what can be made again
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*
