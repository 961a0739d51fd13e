# The Beam worker image: the project and its pins, started by the Beam SDK's own entry point.
#
#   docker build -t kalm-curation .                             CPU, for Dataflow or a Flink worker pool
#   docker build -t kalm-curation:gpu --build-arg DEVICE=gpu .  CUDA build of torch, faiss-gpu
#   docker build --build-arg BOOT=go ...                        entry point compiled from Beam's Go module
#   docker run kalm-curation --worker_pool                      a worker pool on port 50000
#
# The Python of BASE must have the minor version of the Python that submits the pipeline.

ARG BASE=python:3.11-slim
ARG BEAM_VERSION=2.77.0
ARG SDK_IMAGE=apache/beam_python3.11_sdk:${BEAM_VERSION}
ARG GO_IMAGE=golang:1.26
ARG BOOT=sdk

FROM ${SDK_IMAGE} AS boot-sdk

FROM ${GO_IMAGE} AS boot-go
ARG BEAM_VERSION
RUN CGO_ENABLED=0 GOBIN=/opt/apache/beam go install github.com/apache/beam/sdks/v2/python/container@v${BEAM_VERSION} \
    && mv /opt/apache/beam/container /opt/apache/beam/boot

FROM boot-${BOOT} AS boot

FROM ${BASE}
ARG DEVICE=cpu
# `cpu` takes torch without CUDA (a tenth of the size) from PyTorch's own index; empty takes the default build.
ARG TORCH_BACKEND=${DEVICE}
ARG EXTRAS=gcp

# libgomp is numba's thread-safe layer where tbb is not to be had. The entry point crashes for a user id without a name, so a
# user other than root is made for `--user beam`; root stays the default, since Dataflow mounts folders of root's.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 beam

# A venv holds everything, so that any Debian-like base will do; the SDK is told not to make another beside it.
# Caches lie under /tmp, where every user may write.
ENV PATH=/opt/venv/bin:$PATH \
    VIRTUAL_ENV=/opt/venv \
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/tmp/numba \
    HF_HOME=/tmp/huggingface

WORKDIR /opt/kalm-curation
COPY setup.py pyproject.toml constraints.txt README.md LICENSE ./

# Dependencies first: this layer changes only with setup.py and the pins. faiss-cpu and faiss-gpu hold the same files.
RUN set -eu; \
    python3 -m venv /opt/venv; \
    pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt uv setuptools; \
    extras="${EXTRAS}"; \
    : > overrides.txt; \
    case "${DEVICE}" in \
        cpu) ;; \
        gpu) extras="${extras},gpu"; echo "faiss-cpu; python_version < '3'" > overrides.txt ;; \
        *) echo "DEVICE is cpu or gpu, not ${DEVICE}" >&2; exit 1 ;; \
    esac; \
    flags=""; \
    for extra in $(echo "${extras}" | tr , ' '); do flags="${flags} --extra ${extra}"; done; \
    backend="${TORCH_BACKEND#gpu}"; \
    uv pip install --no-cache --compile-bytecode --constraint constraints.txt --build-constraints constraints.txt \
        --overrides overrides.txt ${backend:+--torch-backend ${backend}} --requirements setup.py ${flags}

COPY catalog catalog
COPY configs configs
COPY schemas schemas
COPY transforms transforms
COPY mining mining
COPY pipelines pipelines
COPY trainer trainer
RUN uv pip install --no-cache --compile-bytecode --no-deps --no-build-isolation . \
    && kalm curate --help > /dev/null

COPY --from=boot /opt/apache/beam /opt/apache/beam
WORKDIR /tmp
ENTRYPOINT ["/opt/apache/beam/boot"]
