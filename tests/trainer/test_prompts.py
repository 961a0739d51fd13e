from pathlib import Path

from schemas.manifest import DatasetRecord
from tests.trainer.curated import PROMPT, record, row, write_shard
from trainer.prompts import prompts


def sized(folder: Path, name: str, rows: int, **changes: str | None) -> DatasetRecord:
    shards = [write_shard(folder, f"{name}.parquet", [row(f"{name} {i}", 0) for i in range(rows)])]
    return record(name, shards, **changes)


def test_each_task_type_has_the_prompt_of_its_largest_dataset_under_mtebs_name(tmp_path):
    records = [
        sized(tmp_path, "small", 2),
        sized(tmp_path, "medium", 3, instruction="Middle"),
        sized(tmp_path, "large", 9, task_type="sts", instruction="Similar"),
        sized(tmp_path, "intents", 4, task_type="classification", instruction="Tell the intent"),
        sized(tmp_path, "bare", 1, task_type="clustering", instruction=None),
    ]
    assert prompts(records) == {
        "Retrieval-query": "Instruct: Middle \n Query: ",
        "STS": "Instruct: Similar \n Query: ",
        "Classification": "Instruct: Tell the intent \n Query: ",
        "Clustering": "",
        "query": "Instruct: Middle \n Query: ",
        "document": "",
    }


def test_without_retrieval_queries_have_the_prompt_of_the_largest_dataset(tmp_path):
    records = [sized(tmp_path, "a", 2, task_type="sts"), sized(tmp_path, "b", 1, task_type="clustering")]
    assert prompts(records)["query"] == PROMPT
    assert "Retrieval-query" not in prompts(records)
