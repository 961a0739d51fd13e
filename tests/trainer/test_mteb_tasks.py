"""Tasks of the mteb package by name, run for real: their data come from a hub on this machine."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mining.encoder import load_encoder
from schemas.errors import ConfigError, SourceError
from tests.hub_server import HubServer
from tests.trainer.curated import manifest_of
from trainer import mteb_tasks
from trainer.config import TrainConfig
from trainer.evaluate import main
from trainer.model_meta import NAME, write_model_meta

ROOT = Path(__file__).parents[2]
#: mteb pins the revision of a task's data; ours has another. All runs share one process: importing mteb takes seconds.
CODE = """
import json
import sys
import mteb
revisions, runs = map(json.loads, sys.argv[1:])
for name, revision in revisions.items():
    mteb.get_task(name).metadata.dataset["revision"] = revision
from trainer.evaluate import main
for run in runs:
    code = main(run)
    print(f"code {code}", file=sys.stderr)
"""
ALIKE = {
    "sentence1": ["a cat sat on the mat", "rain falls on the roof", "bread is baked in an oven"],
    "sentence2": ["the cat was sitting on a mat", "stars are far away", "the oven bakes bread"],
    "score": [4.0, 0.0, 5.0],
}


def test_tasks_are_measured_by_name_at_each_dimension(tmp_path: Path) -> None:
    output, data = tmp_path / "scores.json", io.BytesIO()
    pq.write_table(pa.table(ALIKE), data)
    runs = [["--mteb=STS12", "--mteb=STS13", "--dims=384,64", f"--output={output}"], ["--mteb=STS13"]]
    with HubServer() as hub:
        revisions = {
            "STS12": hub.add("mteb/sts12-sts", {"test.parquet": data.getvalue()}),
            "STS13": hub.add("mteb/sts13-sts", {"test.parquet": b"no Parquet"}),
        }
        words = [json.dumps(revisions), json.dumps([["minilm", *run] for run in runs])]
        own = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf")}
        own["MTEB_CACHE"] = str(tmp_path / "cache")
        command = [sys.executable, "-W", "ignore", "-c", CODE, *words]
        ended = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    one_of_two, code, first_fails, other_code, _ = re.split(r"^code (\d)$", ended.stderr, flags=re.MULTILINE)
    assert (code, other_code) == ("1", str(SourceError.exit_code))
    scores = json.loads(output.read_text("utf-8"))["scores"]
    assert scores == {"STS12": {dim: {"cosine_spearman": pytest.approx(0.5)} for dim in ("384", "64")}}
    assert "1 of 2: STS12" in one_of_two
    assert "not measured: STS13: " in one_of_two
    assert "mteb cannot measure the first task, STS13" in first_fails
    assert "(mteb/sts13-sts) come from the hub: is that reached" in first_fails
    assert "Traceback" not in ended.stderr
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept == []  # another model of this machine would be given these scores


def test_names_are_of_benchmarks_or_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [task.metadata.name for task in mteb_tasks.find_tasks(["NanoBEIR", "SciFact", "NanoArguAnaRetrieval"])]
    assert names[0] == "NanoArguAnaRetrieval"
    assert (len(names), len(set(names)), names[-1]) == (14, 14, "SciFact")
    with pytest.raises(ConfigError, match=r"--mteb=SciFacts: .*Did you mean.*'SciFact'"):
        mteb_tasks.find_tasks(["SciFacts"])
    monkeypatch.setattr(mteb_tasks, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"needs the Python package mteb.*kalm-curation\[evaluate\]"):
        mteb_tasks.find_tasks(["SciFact"])


@pytest.mark.parametrize(("trained_on", "share"), [(["SciFact"], 50), ([], 100)])
def test_the_zero_shot_share_is_that_of_mteb_with_tasks_that_it_counts_as_alike(
    trained_on: list[str], share: int, tmp_path: Path
) -> None:
    tasks = mteb_tasks.find_tasks(["NanoSciFactRetrieval", "STS12"])
    assert mteb_tasks.zero_shot_percentage(tmp_path, tasks) is None
    manifest = manifest_of().model_copy(update={"training_datasets": trained_on})
    write_model_meta(tmp_path, load_encoder("minilm").model, TrainConfig(), "tiny", manifest)
    assert mteb_tasks.zero_shot_percentage(tmp_path, tasks) == share
    (tmp_path / NAME).write_text('{"training_datasets": null}', "utf-8")
    assert mteb_tasks.zero_shot_percentage(tmp_path, tasks) is None


def test_nothing_to_evaluate_on_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["minilm"]) == 2
    assert "name folders of collections, or a benchmark (--mteb=NAME)" in capsys.readouterr().err
