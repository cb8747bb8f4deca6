"""What the jobs of every product do, so that all do the same."""

from __future__ import annotations

import os
import socket
import time


def fibo(n: int) -> int:
    return n if n < 2 else fibo(n - 1) + fibo(n - 2)


def stamp() -> None:
    """Tell the harness that this line has been reached, and when: monotonic, one clock for all."""
    now = time.monotonic()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(repr(now).encode(), os.environ["BENCH_STAMPS"])
