# Every target needs only Python 3.11 or newer, make and a C compiler; `.venv` is filled on the first call.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name))))
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
GPU := $(shell nvidia-smi -L 2>/dev/null | grep '^GPU')
comma := ,
EXTRAS := dev,train$(if $(GPU),$(comma)gpu)

# The interface. A variable that is not set passes no flag, so that the command's own default holds.
MODEL ?= tiny
CHOICE = $(if $(CATEGORY),--category='$(CATEGORY)') $(if $(LICENSES),--licenses='$(LICENSES)') \
	$(if $(LANGUAGES),--languages='$(LANGUAGES)') $(if $(CATALOG),--catalog='$(CATALOG)')
CURATE_FLAGS = $(CHOICE) $(if $(SOURCE),--source='$(SOURCE)') \
	$(if $(LIMIT),--limit='$(LIMIT)') $(if $(OUT),--out='$(OUT)') $(if $(TEACHER),--teacher='$(TEACHER)') \
	$(if $(RUNNER),--runner='$(RUNNER)') $(if $(WORKERS),--workers='$(WORKERS)') $(if $(EVALUATION),--evaluation='$(EVALUATION)') $(if $(DRY_RUN),--dry_run)
MANIFEST = $(or $(OUT),out)/manifest.json

.PHONY: help setup catalog curate train regenerate test test-fast test-flink check format pins \
	bench bench-stages bench-dedup bench-edits bench-language bench-leaks bench-join flink-up flink-down prism clean distclean

help:  ## Show this list
	@echo "make TARGET [CATEGORY=..] [LICENSES=..] [LANGUAGES=..] [CATALOG=dir] [SOURCE=sample|hub|DIR] [LIMIT=rows] [OUT=dir] [TEACHER=..] [EVALUATION=dir|sets|none] [RUNNER=..] [WORKERS=n] [DRY_RUN=1] [ARGS='..']"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(READY)  ## Fill .venv (again only when setup.py or constraints.txt changed)

$(READY): setup.py constraints.txt
	@$(if $(PYTHON),,echo "make setup: no python3 on PATH; install Python 3.11 or newer" >&2; exit 1)
	@test -x $(PY) || { $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		f"make setup: {sys.executable} is Python {sys.version.split()[0]}, 3.11 or newer is needed: make setup PYTHON=...")' \
		&& $(PYTHON) -m venv $(VENV); }
	@test -x $(VENV)/bin/uv || $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@# faiss-cpu and faiss-gpu hold the same files: with a GPU the former is left out by a marker that is never true.
	@echo "$(if $(GPU),faiss-cpu; python_version < '3')" > $(VENV)/overrides.txt
	$(VENV)/bin/uv pip install --python $(PY) -c constraints.txt -b constraints.txt --overrides $(VENV)/overrides.txt -e '.[$(EXTRAS)]'
	$(PY) -m pipelines.warm_up
	@touch $(READY)

catalog: $(READY)  ## List the datasets: task type, languages, licence, rows (CATEGORY, LICENSES, LANGUAGES)
	$(PY) -m catalog.table $(strip $(CHOICE) $(ARGS))

curate: $(READY)  ## Make shards: read, clean, deduplicate, embed, mine, pack (CATEGORY=retrieval)
	$(PY) -m pipelines.curate $(strip $(CURATE_FLAGS) $(ARGS))

train: $(READY)  ## Train a model on the shards of OUT's manifest (MODEL=tiny or a path)
	$(PY) -m trainer.train --manifest='$(MANIFEST)' --model='$(MODEL)' $(ARGS)

regenerate: $(READY)  ## Rebuild the bundled sample's shards and compare them with the golden file
	$(PY) -m pipelines.regenerate $(ARGS)

test: $(READY)  ## Run all tests but those that need Flink
	$(PY) -m pytest -m 'not flink' $(ARGS)

test-fast: $(READY)  ## Run the tests that take a few seconds at most
	$(PY) -m pytest -m 'not flink and not slow' $(ARGS)

test-flink: $(READY)  ## Run the tests on a local Flink cluster (Java 17 and Maven)
	@java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])' && command -v mvn > /dev/null || { \
		echo "make test-flink: SKIPPED, nothing was run on Flink: Java 17 or newer (java) and Maven (mvn) must be on PATH"; exit 0; } && \
		$(PY) -m pytest -m flink $(ARGS)

check: $(READY)  ## Lint, format, types, floors, length of functions
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(PY) -m pytest -q tests/test_style.py

format: $(READY)  ## Format the code and mend what the linter can
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

pins: $(READY)  ## Resolve anew what constraints.txt pins (all extras, Python 3.11)
	{ $(VENV)/bin/uv pip compile --quiet --python-version 3.11 --upgrade --no-header --no-annotate --all-extras setup.py; \
		echo "uv==$$($(VENV)/bin/uv --version | cut -d' ' -f2)"; } | LC_ALL=C sort -f > $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt constraints.txt

bench: bench-dedup bench-edits bench-language bench-leaks bench-join bench-stages  ## Measure all numbers of the README (ARGS=--write=README.md puts them there)

bench-stages: $(READY)  ## Measure the stages on SOURCE beside what people run today (LIMIT, EVALUATION)
	$(PY) -m benchmarks.stages $(strip $(if $(SOURCE),--source='$(SOURCE)') $(if $(CATEGORY),--category='$(CATEGORY)') \
		$(if $(LIMIT),--limit='$(LIMIT)') $(if $(EVALUATION),--evaluation='$(EVALUATION)') $(if $(TEACHER),--teacher='$(TEACHER)') $(ARGS))

bench-dedup: $(READY) .venv-peers/.ready  ## Measure deduplication beside datasketch, rensa and datatrove (some minutes)
	$(PY) -m benchmarks.dedup $(ARGS)

.venv-peers/.ready: benchmarks/peers.txt | $(READY)
	test -x .venv-peers/bin/python || $(VENV)/bin/uv venv --quiet --python $(PY) .venv-peers
	$(VENV)/bin/uv pip install --quiet --python .venv-peers/bin/python -r benchmarks/peers.txt
	@touch $@

bench-edits: $(READY)  ## Measure which edited copies of SOURCE's texts near-duplicate removal finds
	$(PY) -m benchmarks.edits $(strip $(if $(SOURCE),--source='$(SOURCE)') $(if $(CATEGORY),--category='$(CATEGORY)') $(ARGS))

bench-language: $(READY)  ## Measure what the language check loses and finds on SOURCE (CATALOG, LIMIT)
	$(PY) -m benchmarks.language $(strip $(if $(SOURCE),--source='$(SOURCE)') $(if $(CATEGORY),--category='$(CATEGORY)') \
		$(if $(CATALOG),--catalog='$(CATALOG)') $(if $(LIMIT),--limit='$(LIMIT)') $(ARGS))

bench-leaks: $(READY)  ## Measure which copies of EVALUATION's queries are found, and which rows of SOURCE are kept
	$(PY) -m benchmarks.leaks $(strip $(if $(EVALUATION),--evaluation='$(EVALUATION)') $(if $(SOURCE),--source='$(SOURCE)') \
		$(if $(CATEGORY),--category='$(CATEGORY)') $(ARGS))

bench-join: $(READY)  ## Measure the memory of prepare on corpora of one and four million passages
	$(PY) -m benchmarks.join $(ARGS)

flink-up: $(READY)  ## Start a local Flink cluster, its job server and the worker pool
	$(PY) -m pipelines.engines.flink up $(ARGS)

flink-down: $(READY)  ## Stop the local Flink cluster
	$(PY) -m pipelines.engines.flink down $(ARGS)

prism: $(READY)  ## Install the Prism runner (needs Go)
	$(PY) -m pipelines.engines.prism install $(ARGS)

clean:  ## Remove builds, caches and work folders; a run's OUT stays
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## Remove also .venv, the engines and out/
	rm -rf $(VENV) .venv-peers .engines .work out
