"""Into how many pieces work is divided: by the data, never by the workers."""


def num_partitions(rows: int, rows_per_partition: int) -> int:
    """Range partitions of a shuffle: one for each ``rows_per_partition`` rows; of fewer rows 128 that are smaller.

    No smaller, though, than a third, and no fewer than 4: every part sends a batch to every range, and of 150,000 rows
    128 ranges took half as long again as 18, and 18 took a fifteenth more CPU time than 9.
    """
    smaller = min(128, 3 * rows // rows_per_partition)
    return max(4, smaller, -(-rows // rows_per_partition))
