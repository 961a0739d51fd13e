# Every target needs only Python 3.11 or newer, make and a C compiler; `.venv` is filled on the first call.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name))))
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
GOOGLE := $(VENV)/.google
INSTALL = $(VENV)/bin/uv pip install --compile-bytecode --python $(PY) -c constraints.txt -b constraints.txt --overrides $(VENV)/overrides.txt
GPU := $(shell nvidia-smi -L 2>/dev/null | grep '^GPU')
HERE := $(dir $(firstword $(MAKEFILE_LIST)))
comma := ,
EXTRAS := dev,train$(if $(GPU),$(comma)gpu)

# The interface. A variable that is not set passes no flag, so that the command's own default holds. Values reach the
# command as they were given: make takes them by $(value), the shell from the environment, and neither expands them.
INTERFACE := CONFIG CATEGORY LICENSES LANGUAGES CATALOG SOURCE FOLLOW_LINKS LIMIT OUT TEACHER EVALUATION AGAINST RUNNER WORKERS DRY_RUN MODEL STAGE SETS MTEB THROUGH FORMAT TO OTHER READMIT IDS REASON DATASET HUB_REPO \
	PROJECT REGION BUCKET IMAGE ACCELERATOR TARGET TASK_MANAGERS SLOTS MEMORY FLINK_MASTER FLINK_JOB_SERVER_JAR ROWS CORES GPUS LIKE ARGS
$(foreach name,$(INTERFACE),$(eval KALM_$(name) := $$(value $(name))))
export $(addprefix KALM_,$(INTERFACE))
unexport $(INTERFACE)
flag = $(if $(value $(2)),--$(1)="$$KALM_$(2)")
CHOICE = $(call flag,config,CONFIG) $(call flag,category,CATEGORY) $(call flag,licenses,LICENSES) \
	$(call flag,languages,LANGUAGES) $(call flag,catalog,CATALOG)
RUN = $(CHOICE) $(call flag,source,SOURCE) $(if $(value FOLLOW_LINKS),--follow_links=true) $(call flag,limit,LIMIT) \
	$(call flag,teacher,TEACHER) $(call flag,evaluation,EVALUATION) $(call flag,against,AGAINST) $(call flag,readmit,READMIT)
# ARGS: any further flags, in one text that the command splits as a shell would, expanding nothing. Targets that do not
# call the command hand theirs to the shell.
KALM = $(VENV)/bin/kalm$(if $(value ARGS), --args="$$KALM_ARGS")
REST = $(value ARGS)

.PHONY: help setup catalog config curate plan train evaluate verify card croissant report readmit diff export publish regenerate docs screenshots test test-fast test-flink test-flink-kills check format pins \
	bench bench-stages bench-dedup bench-edits bench-language bench-leaks bench-leak-share bench-join bench-shuffle bench-scale bench-mining bench-mining-memory bench-false-negatives bench-encoder bench-reuse bench-teachers bench-training bench-training-memory bench-ablation \
	flink-up flink-down prism image dataflow clean distclean

help:  ## Show this list
	@echo "make TARGET [CONFIG=file|preset] [CATEGORY=..] [LICENSES=..] [LANGUAGES=..] [CATALOG=dir] [SOURCE=sample|hub|DIR] [FOLLOW_LINKS=1] [LIMIT=rows] [OUT=dir] [TEACHER=..] [EVALUATION=dir|sets|none] [AGAINST=out,..|none] [READMIT=file] [RUNNER=..] [WORKERS=n] [DRY_RUN=1] [STAGE=..] [MODEL=..] [SETS=..] [MTEB=benchmark] [THROUGH=own|mteb] [FORMAT=..] [TO=dir] [OTHER=dir] [IDS=..] [REASON=..] [DATASET=..] [HUB_REPO=user/name] [PROJECT=..] [REGION=..] [BUCKET=..] [IMAGE=..] [ACCELERATOR=gpu] [TARGET=cpu|gpu|dataflow] [FLINK_MASTER=host:port] [FLINK_JOB_SERVER_JAR=file] [TASK_MANAGERS=n] [SLOTS=n] [MEMORY=4g] [ARGS='..']"
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
	$(INSTALL) -e '.[$(EXTRAS)]'
	$(VENV)/bin/kalm warm-up
	@touch $(READY)

# Google's libraries, which a graph for Dataflow is translated by: tests do that, and only a run on Dataflow besides.
$(GOOGLE): $(READY)
	$(INSTALL) -e '.[gcp]'
	@touch $(GOOGLE)

catalog: $(READY)  ## List the datasets: task type, languages, licence, rows (CATEGORY, LICENSES, LANGUAGES)
	$(strip $(KALM) catalog $(CHOICE))

config: $(READY)  ## Show the configuration of a run: every value, its origin, its meaning (CONFIG, and as for curate)
	$(strip $(KALM) config $(RUN))

curate: $(READY)  ## Make shards: read, clean, deduplicate, embed, mine, pack (CATEGORY=retrieval)
	$(strip $(KALM) curate $(RUN) $(call flag,out,OUT) $(call flag,runner,RUNNER) $(call flag,workers,WORKERS) \
		$(call flag,flink_master,FLINK_MASTER) $(call flag,flink_job_server_jar,FLINK_JOB_SERVER_JAR) \
		$(if $(value DRY_RUN),--dry_run))

plan: $(READY)  ## Say what ROWS rows cost on WORKERS machines of CORES cores (STAGE, RUNNER, GPUS, LIKE=out; ARGS='--text_bytes=..')
	$(strip $(KALM) plan $(call flag,like,LIKE) $(call flag,rows,ROWS) $(call flag,stage,STAGE) $(call flag,runner,RUNNER) \
		$(call flag,workers,WORKERS) $(call flag,cores,CORES) $(call flag,gpus,GPUS))

train: $(READY)  ## Train a model on the shards of OUT's manifest (STAGE=pretrain|finetune|distill, MODEL=tiny|static|.. or a path)
	$(strip $(KALM) train --manifest="$${KALM_OUT:-out}/manifest.json" $(call flag,stage,STAGE) $(call flag,model,MODEL))

evaluate: $(READY)  ## Evaluate MODEL (default: OUT's) on collections (SETS='folder ..', default: the sample's) (THROUGH=mteb: as tasks of mteb) or on mteb's own (MTEB=benchmark)
	$(strip $(KALM) evaluate "$${KALM_MODEL:-$${KALM_OUT:-out}/model}" \
		$(if $(value SETS),$$KALM_SETS,$(if $(value MTEB),,$(HERE)catalog/sample/eval)) $(call flag,mteb,MTEB) \
		$(call flag,through,THROUGH))

verify: $(READY)  ## Compare the shards, rejections and counts of OUT with its manifest
	$(KALM) verify "$${KALM_OUT:-out}"

card: $(READY)  ## Print the data card of OUT, which a run writes to OUT/README.md
	$(KALM) card "$${KALM_OUT:-out}"

croissant: $(READY)  ## Write OUT/croissant.json, the Croissant metadata of OUT, which later runs renew
	$(KALM) croissant "$${KALM_OUT:-out}"

report: $(READY)  ## Write OUT/report.html anew, which a run writes: what was kept, what was not, and why
	$(KALM) report "$${KALM_OUT:-out}"

readmit: $(READY)  ## List rejected rows of OUT for the next run to keep with READMIT=file (IDS, REASON, DATASET, TO=file)
	$(strip $(KALM) readmit "$${KALM_OUT:-out}" $(call flag,ids,IDS) $(call flag,reason,REASON) $(call flag,dataset,DATASET) \
		$(call flag,to,TO))

diff: $(READY)  ## Say what differs from OUT to OTHER, two runs' folders or manifests, and why
	$(KALM) diff "$${KALM_OUT:-out}" "$$KALM_OTHER"

export: $(READY)  ## Write OUT's examples for another trainer (FORMAT=tuples|flagembedding|tevatron|kalm, TO=dir, CATEGORY)
	$(strip $(KALM) export "$${KALM_OUT:-out}" --format="$${KALM_FORMAT:-tuples}" $(call flag,to,TO) $(call flag,category,CATEGORY))

publish: $(READY)  ## Upload OUT's shards, card, report and manifest to the hub (HUB_REPO=user/name; ARGS=--private)
	$(strip $(KALM) publish "$${KALM_OUT:-out}" $(call flag,repo,HUB_REPO))

regenerate: $(READY)  ## Rebuild the bundled sample's shards, or CONFIG's in OUT, and compare with what is committed (ACCEPT=1 renews it)
	$(strip $(KALM) regenerate $(call flag,config,CONFIG) $(call flag,out,OUT) $(if $(value ACCEPT),--update))

docs:  ## Build docs/ and the README as a site in .site, in a virtual environment of its own
	@test -x .venv-docs/bin/mkdocs || { $(PYTHON) -m venv .venv-docs && \
		.venv-docs/bin/pip install --quiet --disable-pip-version-check -r docs/requirements.txt; }
	.venv-docs/bin/mkdocs build --strict
	@echo "open .site/index.html"

screenshots: $(READY)  ## Take the documents' pictures of OUT's report, and of the local Flink cluster's page (needs Chromium on the PATH)
	$(PY) -m docs.screenshots "$${KALM_OUT:-out}"

# Test processes run side by side: torch spins in threads of its own where all cores are taken.
test: $(GOOGLE)  ## Run all tests but those that need Flink
	OMP_NUM_THREADS=1 $(PY) -m pytest -m 'not flink' -n auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder $(REST)

test-fast: $(READY)  ## Run the tests that take a few seconds at most
	OMP_NUM_THREADS=1 $(PY) -m pytest -m 'not flink and not slow' -n auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder $(REST)

test-flink: $(READY)  ## Run the tests on a local Flink cluster (Java 17 and Maven)
	@java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])' && command -v mvn > /dev/null || { \
		echo "make test-flink: SKIPPED, nothing was run on Flink: Java 17 or newer (java) and Maven (mvn) must be on PATH"; exit 0; } && \
		$(PY) -m pytest -m flink $(REST)

test-flink-kills: $(READY)  ## Run the tests on a local Flink cluster that lose a part of it in every stage (some ten minutes)
	KALM_FLINK_KILLS=1 $(PY) -m pytest -m flink -k 'killed or bytes' $(REST)

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
	$(PY) -c 'from pipelines.runners import write_beam_flags; write_beam_flags()'

bench: bench-dedup bench-edits bench-language bench-leaks bench-join bench-stages  ## Measure all numbers (ARGS=--write=docs/measured.md puts them there)

bench-stages: $(READY)  ## Measure the stages on SOURCE beside what people run today (LIMIT, EVALUATION)
	$(strip $(PY) -m benchmarks.stages $(call flag,source,SOURCE) $(call flag,category,CATEGORY) \
		$(call flag,limit,LIMIT) $(call flag,evaluation,EVALUATION) $(call flag,teacher,TEACHER) $(REST))

bench-dedup: $(READY) .venv-peers/.ready  ## Measure deduplication beside datasketch, rensa and datatrove (some minutes)
	$(PY) -m benchmarks.dedup $(REST)

.venv-peers/.ready: benchmarks/peers.txt | $(READY)
	test -x .venv-peers/bin/python || $(VENV)/bin/uv venv --quiet --python $(PY) .venv-peers
	$(VENV)/bin/uv pip install --quiet --python .venv-peers/bin/python -r benchmarks/peers.txt
	@touch $@

bench-edits: $(READY)  ## Measure which edited copies of SOURCE's texts near-duplicate removal finds
	$(strip $(PY) -m benchmarks.edits $(call flag,source,SOURCE) $(call flag,category,CATEGORY) $(REST))

bench-language: $(READY)  ## Measure what the language check loses and finds on SOURCE (CATALOG, LIMIT)
	$(strip $(PY) -m benchmarks.language $(call flag,source,SOURCE) $(call flag,category,CATEGORY) \
		$(call flag,catalog,CATALOG) $(call flag,limit,LIMIT) $(REST))

bench-leaks: $(READY)  ## Measure which copies of EVALUATION's queries are found, and which rows of SOURCE are kept
	$(strip $(PY) -m benchmarks.leaks $(call flag,evaluation,EVALUATION) $(call flag,source,SOURCE) \
		$(call flag,category,CATEGORY) $(REST))

bench-leak-share: $(READY)  ## Measure what the check for leaks costs with sets of the size of mteb's (SOURCE, 6 GiB of memory)
	$(strip $(PY) -m benchmarks.leak_share $(call flag,source,SOURCE) $(REST))

bench-join: $(READY)  ## Measure the memory of prepare on corpora of one and four million passages
	$(PY) -m benchmarks.join $(REST)

bench-scale: $(READY)  ## Measure what each stage costs by rows, and fit what kalm plan says (ROWS: of the largest run)
	$(strip $(PY) -m benchmarks.scale $(call flag,rows,ROWS) $(REST))

bench-shuffle: $(READY)  ## Measure the bytes that prepare shuffles for each row, and by key
	$(PY) -m benchmarks.shuffle $(REST)

bench-mining: $(READY)  ## Measure mining from given vectors beside FAISS and other miners
	$(PY) -m benchmarks.mining $(REST)

bench-mining-memory: $(READY)  ## Measure the memory of mining on corpora of one and four million passages
	$(PY) -m benchmarks.mining_memory $(REST)

bench-false-negatives: $(READY)  ## Measure the false negatives of each preset on judged collections (EVALUATION)
	$(strip $(PY) -m benchmarks.false_negatives $(call flag,evaluation,EVALUATION) $(REST))

bench-encoder: $(READY)  ## Measure the encoder beside sentence-transformers
	$(PY) -m benchmarks.encoder $(REST)

bench-reuse: $(READY)  ## Measure what a run recomputes after a change (SOURCE, CATEGORY: two datasets or more, LIMIT)
	$(strip $(PY) -m benchmarks.reuse $(call flag,source,SOURCE) $(call flag,category,CATEGORY) $(call flag,limit,LIMIT) $(REST))

bench-teachers: $(READY)  ## Measure what a teacher by language gains over one for all (SOURCE, CATEGORY, LIMIT, TEACHER, ARGS=--teachers=..)
	$(strip $(PY) -m benchmarks.teachers $(call flag,source,SOURCE) $(call flag,category,CATEGORY) $(call flag,limit,LIMIT) $(call flag,teacher,TEACHER) $(REST))

bench-training: $(READY)  ## Measure a training step on OUT's shards beside sentence-transformers' (MODEL=minilm)
	$(strip $(PY) -m benchmarks.training --manifest="$${KALM_OUT:-out}/manifest.json" $(call flag,model,MODEL) $(REST))

bench-training-memory: $(READY)  ## Measure the memory of 5 million rows in training, and of a step of Qwen2-0.5B on a CPU
	$(PY) -m benchmarks.training_memory $(REST)

bench-ablation: $(READY)  ## Measure what each step of curation is worth to a student (SOURCE, EVALUATION, TEACHER, LIMIT)
	$(strip $(PY) -m benchmarks.ablation $(call flag,source,SOURCE) $(call flag,evaluation,EVALUATION) \
		$(call flag,teacher,TEACHER) $(call flag,limit,LIMIT) $(REST))

flink-up: $(READY)  ## Start a local Flink cluster, its job server and the worker pool (TASK_MANAGERS, SLOTS and MEMORY of each)
	$(strip $(KALM) flink up $(call flag,taskmanagers,TASK_MANAGERS) $(call flag,slots,SLOTS) $(call flag,memory,MEMORY))

flink-down: $(READY)  ## Stop the local Flink cluster
	$(KALM) flink down

prism: $(READY)  ## Install the Prism runner (needs Go)
	$(KALM) prism install

image:  ## Build the worker image by docker or buildah (TARGET=cpu|gpu|dataflow, IMAGE=name:tag, ARGS='--build-arg BASE=..')
	@builder=$$({ docker info > /dev/null 2>&1 && echo docker; } || command -v buildah) || { \
		echo "make image: no docker daemon answers and there is no buildah: start one or install the other" >&2; exit 1; }; \
	exec $$builder build --file Dockerfile --target "$${KALM_TARGET:-cpu}" \
		--tag "$${KALM_IMAGE:-localhost/kalm-curation:$${KALM_TARGET:-cpu}}" $(REST) .

dataflow: $(READY)  ## Curate on Google Cloud Dataflow (CATEGORY, SOURCE, PROJECT, REGION, BUCKET, IMAGE, ACCELERATOR=nvidia-l4)
	$(strip $(KALM) curate $(RUN) --runner=dataflow $(call flag,project,PROJECT) $(call flag,region,REGION) \
		$(if $(value BUCKET),--temp_location="gs://$$KALM_BUCKET/tmp") $(call flag,sdk_container_image,IMAGE) \
		$(call flag,accelerator,ACCELERATOR) $(if $(value OUT),$(call flag,out,OUT),$(if $(value \
		BUCKET),--out="gs://$$KALM_BUCKET/out")) $(if $(value DRY_RUN),--dry_run))

clean:  ## Remove builds, caches and work folders; a run's OUT stays
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## Remove also .venv, the engines and out/
	rm -rf $(VENV) .venv-peers .venv-docs .engines .work .site out
