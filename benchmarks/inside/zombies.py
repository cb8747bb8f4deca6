"""
What the jobs of every product do in the trial of zombies, so that all do the same: say that they
have begun, wait until workers like theirs may go on, say that they are over.

    ZOMBIE_NAME     whose worker this is: `victim3`, `heir0`
    ZOMBIE_FOLDER   where a file named `victim` or `heir` lets them go on
"""

from __future__ import annotations

import os

NAME = os.environ.get("ZOMBIE_NAME", "")

#: How often a job looks whether it may go on, in seconds.
LOOK = 0.05


def may_go_on() -> bool:
    return os.path.exists(os.path.join(os.environ["ZOMBIE_FOLDER"], NAME.rstrip("0123456789")))
