# The image of Beam's workers: the project with its pins, the bundled teacher and the compiled loops, started by the
# Beam SDK's own entry point. Once built it needs no network. `make image TARGET=..` builds it by docker or buildah.
#
#   cpu       torch without CUDA; user beam (1000)
#   gpu       torch with CUDA; the driver comes from the machine; user beam (1000)
#   dataflow  one of the two (DEVICE=cpu|gpu) for Dataflow, as worker and as launcher of a Flex Template; user root
#
#   docker run IMAGE --worker_pool                    a worker pool on port 50000, as Flink asks for workers
#   docker run --entrypoint kalm IMAGE curate ...     a command
#
# The Python of BASE must have the minor version of the Python that submits the pipeline.

ARG BASE=python:3.11-slim
ARG BEAM_VERSION=2.77.0
# Where the entry point comes from: `sdk` takes it out of Beam's image, `go` compiles it from Beam's Go module.
ARG BOOT=sdk
ARG SDK_IMAGE=apache/beam_python3.11_sdk:${BEAM_VERSION}
ARG GO_IMAGE=golang:1.26
ARG LAUNCHER_IMAGE=gcr.io/dataflow-templates-base/python311-template-launcher-base:latest
ARG DEVICE=gpu

FROM ${SDK_IMAGE} AS boot-sdk

FROM ${GO_IMAGE} AS boot-go
ARG BEAM_VERSION
RUN export PATH=/usr/local/go/bin:$PATH CGO_ENABLED=0 GOBIN=/opt/apache/beam GOPATH=/tmp/go GOCACHE=/tmp/go-build \
    && go install -ldflags='-s -w' github.com/apache/beam/sdks/v2/python/container@v${BEAM_VERSION} \
    && mv /opt/apache/beam/container /opt/apache/beam/boot

FROM boot-${BOOT} AS boot

FROM ${LAUNCHER_IMAGE} AS launcher

# What all targets have in common: the system, the user, the places, and an empty virtual environment.
FROM ${BASE} AS python

# libgomp is numba's thread-safe layer where tbb is not to be had. The entry point crashes for a user id without a name.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 beam

# Loops are compiled when the image is built, for the CPU that is named here, since code for the CPU of whoever builds it
# would be compiled again on workers of another kind: `haswell` stands for any x86-64 with AVX2. On ARM: NUMBA_CPU=generic.
ARG NUMBA_CPU=haswell

# A venv holds everything, so that any Debian-like base will do; the SDK is told not to make another beside it.
ENV PATH=/opt/venv/bin:$PATH \
    VIRTUAL_ENV=/opt/venv \
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    PYTHONUNBUFFERED=1 \
    ARROW_DEFAULT_MEMORY_POOL=jemalloc \
    NUMBA_CACHE_DIR=/opt/numba \
    NUMBA_CPU_NAME=${NUMBA_CPU} \
    NUMBA_CPU_FEATURES= \
    HF_HOME=/tmp/huggingface

WORKDIR /opt/kalm-curation
COPY constraints.txt ./
RUN python3 -m venv /opt/venv \
    && pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt uv setuptools

# The project as a wheel: its sources and what makes a package of them stay behind.
FROM python AS wheel
COPY setup.py pyproject.toml README.md LICENSE ./
COPY catalog catalog
COPY configs configs
COPY schemas schemas
COPY transforms transforms
COPY mining mining
COPY pipelines pipelines
COPY trainer trainer
RUN mkdir /wheel && python -c 'from setuptools import build_meta; build_meta.build_wheel("/wheel")'

# Requirements before the project: that layer changes only with setup.py and the pins.
FROM python AS cpu
# `cpu`: torch without CUDA (a tenth of the size) from PyTorch's own index; empty: the build that PyPI has, with CUDA.
ARG TORCH_BACKEND=cpu
ARG EXTRAS=gcp
COPY setup.py README.md ./
COPY deploy/image/install deploy/image/install
RUN deploy/image/install requirements "${EXTRAS}" "${TORCH_BACKEND}"
COPY --from=wheel /wheel /opt/wheel
RUN deploy/image/install project
COPY --from=boot /opt/apache/beam /opt/apache/beam
WORKDIR /tmp
USER 1000
ENTRYPOINT ["/opt/apache/beam/boot"]

FROM python AS gpu
ARG TORCH_BACKEND=
ARG EXTRAS=gcp
# Where Dataflow and NVIDIA's container runtime lay the driver, and what they lay there.
ENV PATH=/usr/local/nvidia/bin:$PATH \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY setup.py README.md ./
COPY deploy/image/install deploy/image/install
RUN deploy/image/install requirements "${EXTRAS}" "${TORCH_BACKEND}"
COPY --from=wheel /wheel /opt/wheel
RUN deploy/image/install project
COPY --from=boot /opt/apache/beam /opt/apache/beam
WORKDIR /tmp
USER 1000
ENTRYPOINT ["/opt/apache/beam/boot"]

# Dataflow starts workers in folders that belong to root, and the launcher by its path.
FROM ${DEVICE} AS dataflow
USER root
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY deploy/image/launch.py /opt/kalm-curation/launch.py
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/kalm-curation/launch.py
