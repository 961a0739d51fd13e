"""The numbers of a run: each step's parameters, nested as they stand beside its algorithm, nothing declared twice."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mining.policies import MiningParams
from mining.teacher import TeacherParams
from transforms.cleaning.clean import CleanParams
from transforms.duplicates.near import NearDuplicateParams
from transforms.leaks.decontaminate import DecontaminateParams


class CurationConfig(BaseModel):
    """Parameters of all stages. Unknown keys are refused with their path.

    ``rows_per_shard``: a dataset's shards are as many as its kept rows need. ``alarm_share``: a dataset that loses
    more than this share of its examples to one reason of deduplication raises an alarm. ``rows_per_partition`` and
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
    """Range partitions of a shuffle: one for each ``rows_per_partition`` rows; of fewer rows 128 that are smaller.

    No smaller, though, than a third, and no fewer than 4: every part sends a batch to every range, and of 150,000 rows
    128 ranges took half as long again as 18, and 18 took a fifteenth more CPU time than 9.
    """
    smaller = min(128, 3 * rows // rows_per_partition)
    return max(4, smaller, -(-rows // rows_per_partition))
