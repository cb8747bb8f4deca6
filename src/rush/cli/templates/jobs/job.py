"""The base class of every job, under the name that this project uses."""

from rush import Job

__all__ = ["Job"]
