"""What all tests share: property tests have no deadline, since a machine may be busy, and find the same cases again."""

import os

from hypothesis import settings

# Read when gcsfs is imported: its way to ask what kind a bucket is needs Google's own servers.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
