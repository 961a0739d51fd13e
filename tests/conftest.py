"""What all tests share: property tests have no deadline, since a machine may be busy, and find the same cases again."""

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
