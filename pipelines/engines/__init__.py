"""Engines on this machine: a local Flink cluster and the Prism runner, installed and run in one ignored folder."""
