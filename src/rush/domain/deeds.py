"""Who does something."""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Doer:
    """Who does something, and by what."""

    who: str
    #: `session`, `token` or `local` (the dashboard), `command`, `client`.
    via: str


def this_user(via: str) -> Doer:
    """The user that this process runs as: alice@laptop."""
    return Doer(who=f"{user()}@{socket.gethostname()}", via=via)


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container there may be a number alone.
        return "somebody"
