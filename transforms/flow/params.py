"""How work travels: what is tried again, and when."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RetryParams:
    """How often, and after which pauses, what a network failed to do is tried again.

    ``attempts``: tries in all. ``first_wait``: seconds before the second, doubled each time. ``longest_wait``: seconds
    between two tries at most.
    """

    attempts: int = 5
    first_wait: float = 0.5
    longest_wait: float = 8.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 <= self.first_wait <= self.longest_wait:
            raise ValueError(f"retries need attempts >= 1 and 0 <= first_wait <= longest_wait; got {self}")

    def wait(self, attempt: int) -> float:
        """Seconds to pause after the ``attempt``-th failure (from 0)."""
        return float(min(self.longest_wait, self.first_wait * 2**attempt))
