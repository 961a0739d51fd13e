"""The numbers of a run: each step's parameters, nested as they stand beside its algorithm, nothing declared twice."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mining.policies import MiningParams
from mining.teacher import TeacherParams
from transforms.clean import CleanParams
from transforms.decontaminate import DecontaminateParams
from transforms.near import NearDuplicateParams


class CurationConfig(BaseModel):
    """Parameters of all stages. Unknown keys are refused with their path.

    ``rows_per_shard``: a dataset's shards are as many as its kept rows need. ``alarm_share``: a dataset that loses
    more than this share of its rows to one reason of deduplication raises an alarm. ``rows_per_partition`` and
    ``passages_per_pool_shard`` follow the data, never the workers, so that they do not change a result.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    clean: CleanParams = CleanParams()
    near: NearDuplicateParams = NearDuplicateParams()
    decontaminate: DecontaminateParams = DecontaminateParams()
    teacher: TeacherParams = TeacherParams()
    mining: MiningParams = MiningParams()
    rows_per_shard: Annotated[int, Field(ge=1)] = 20_000
    rows_per_partition: Annotated[int, Field(ge=1)] = 50_000
    passages_per_pool_shard: Annotated[int, Field(ge=1)] = 250_000
    alarm_share: Annotated[float, Field(gt=0, le=1)] = 0.5


def num_partitions(rows: int, rows_per_partition: int) -> int:
    """Range partitions of a shuffle: 4 for a sample, 128 from 100 thousand rows on, then one for each 50 thousand."""
    if rows < 2 * rows_per_partition:
        return 4 if rows < rows_per_partition // 2 else 32
    return max(128, -(-rows // rows_per_partition))
