"""Passwords and tokens: what is kept of them, and how they are compared."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections import deque
from functools import cache

#: 16 MiB and some 50 ms a time.
N, R, P = 2**14, 8, 1
#: So many at once: each takes memory and a core.
_AT_ONCE = threading.BoundedSemaphore(2)

SHORTEST = 10


def hashed(password: str) -> str:
    """What is kept of a password."""
    salt = secrets.token_bytes(16)
    return f"scrypt${N}${R}${P}${_text(salt)}${_text(_scrypt(password, salt, N, R, P))}"


@cache
def _nobodys() -> str:
    """For names that are not there: it takes as long to find that out."""
    return hashed(secrets.token_urlsafe())


def fits(password: str, kept: str | None) -> bool:
    """Whether a password is the one that this was kept of. It takes the same time when not."""
    _, n, r, p, salt, hash = (kept or _nobodys()).split("$")
    same = hmac.compare_digest(
        _scrypt(password, _bytes(salt), int(n), int(r), int(p)), _bytes(hash)
    )
    return same and kept is not None


def new_token() -> str:
    return f"rush_{secrets.token_urlsafe(32)}"


def fingerprint(token: str) -> bytes:
    """What is kept of a token: it has chance enough in it to need no salt."""
    return hashlib.sha256(token.encode()).digest()


class Attempts:
    """So many failures are allowed in so many seconds, for each key."""

    def __init__(self, allowed: int = 5, seconds: float = 60.0, keys: int = 10_000) -> None:
        self._allowed = allowed
        self._seconds = seconds
        self._keys = keys
        self._failed: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def wait_for(self, key: str) -> float:
        """How many seconds it takes until one may try again; 0: now."""
        with self._lock:
            failed = self._failed.get(key)
            if failed is None:
                return 0.0
            now = time.monotonic()
            while failed and failed[0] <= now - self._seconds:
                failed.popleft()
            if not failed:
                del self._failed[key]
            return 0.0 if len(failed) < self._allowed else failed[0] + self._seconds - now

    def note_failure(self, key: str) -> None:
        with self._lock:
            if len(self._failed) >= self._keys:
                # Somebody tries many names: the oldest is forgotten first.
                del self._failed[next(iter(self._failed))]
            self._failed.setdefault(key, deque()).append(time.monotonic())


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    with _AT_ONCE:
        return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=64 * 2**20)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
