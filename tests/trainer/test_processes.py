"""Two processes on one machine, with the variables that torchrun sets, end with the weights of one."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.curated import embed, mixed
from trainer.models import open_model
from trainer.processes import working_folder
from trainer.shards import open_rows, read_manifest
from trainer.train import main

ROOT = Path(__file__).parents[2]
ALL_PARTS = ["--batch_size=6", "--max_seq_length=32", "--max_steps=3", "--dims=64,32", "--tokens_per_pass=200", "-q"]
RUNS = {
    "plain": ["--checkpoint_steps=2", "--homogeneous_share=0.5"],
    "cached": ["--gradient_caching=true"],
    "distilled": ["--gradient_caching=true", "--stage=distill", "--soft_labels=batch"],
}


def together(scripts: Sequence[str]) -> None:
    """Run a script in each of several processes that form one group; they must end well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": str(len(scripts)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = []
    for rank, script in enumerate(scripts):
        own = os.environ | group | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-W", "ignore", "-c", script]
        started.append(subprocess.Popen(command, cwd=ROOT, env=own, stderr=subprocess.PIPE, text=True))
    told = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * len(scripts), "\n".join(told)


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    path = mixed(tmp_path)
    embed(path)
    rows = open_rows(read_manifest(path), tmp_path, tmp_path)
    open_model("tiny", rows.sample_texts(20), 32, 0).save_pretrained(str(tmp_path / "start"))
    given = [f"--manifest={path}", f"--model={tmp_path / 'start'}", "--learning_rate=1e-3", *ALL_PARTS]
    flags = {name: [*given, *own] for name, own in RUNS.items()}
    outputs = {name: f"--output={tmp_path / name}-by-two" for name in RUNS}
    calls = [f"main({[*given, outputs[name]]})" for name, given in flags.items()]
    together([f"from trainer.train import main; raise SystemExit({' or '.join(calls)})"] * 2)
    for name, given in flags.items():
        assert main([*given, f"--output={tmp_path / name}"]) == 0
        one, two = (load_file(tmp_path / each / "model.safetensors") for each in (name, f"{name}-by-two"))
        for key, weights in one.items():
            assert torch.allclose(weights, two[key], rtol=1e-3, atol=2e-5), (name, key)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".tmp-")] == []
    assert (tmp_path / "plain-by-two-checkpoints" / "checkpoint-2" / "kalm_run.json").is_file()


def test_only_the_first_process_leaves_a_folder(tmp_path, monkeypatch):
    for number in ("1", "0"):
        monkeypatch.setenv("RANK", number)
        with working_folder(tmp_path / "model") as folder:
            (folder / "modules.json").touch()
        assert (tmp_path / "model").exists() == (number == "0")
