"""Where engines live: one folder, ignored by git, with what was downloaded, what runs and what it said."""

import os
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "KALM_ENGINES"
DEFAULT_HOME = ".engines"


@dataclass(frozen=True)
class EnginesHome:
    """The folder and its rooms: ``dist`` can be kept between machines of one kind, ``flink`` goes with a cluster."""

    root: Path

    @property
    def dist(self) -> Path:
        """Downloaded and built artefacts: Flink, the job server's jar, the prism binary."""
        return self.root / "dist"

    @property
    def flink(self) -> Path:
        """State of the local cluster: configuration, pids, logs, temporary files."""
        return self.root / "flink"

    @property
    def conf(self) -> Path:
        return self.flink / "conf"

    @property
    def logs(self) -> Path:
        return self.flink / "log"

    @property
    def pids(self) -> Path:
        return self.flink / "pids"

    @property
    def tmp(self) -> Path:
        return self.flink / "tmp"

    @property
    def record(self) -> Path:
        """The parameters of the cluster that was started last (JSON)."""
        return self.flink / "cluster.json"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def engines_home() -> EnginesHome:
    """The folder named by ``KALM_ENGINES``, else ``.engines`` in the current directory."""
    return EnginesHome(Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).resolve())
