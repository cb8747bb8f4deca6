"""
The tour of the README, followed literally: every file is written, every command typed, and what the
README shows is what a terminal shows, but for numbers.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rush.store.embedded import Embedded
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(
    r"(?:^(?P<before>[^\n]+)\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```\n", re.DOTALL | re.MULTILINE
)
FILE = re.compile(r"`([\w./]+\.(?:py|yaml|csv))`")
#: Files are written; these are typed.
TYPED = ("sh", "sql")


@dataclass(slots=True)
class Step:
    """What is written or typed, and what the README says comes of it."""

    kind: str
    text: str
    file: str | None = None
    shown: str | None = None


@dataclass(slots=True)
class Reader:
    """Somebody with a terminal."""

    folder: Path
    environment: Mapping[str, str]
    workers: list[tuple[subprocess.Popen[bytes], Path]] = field(default_factory=list)

    def follow(self, step: Step) -> None:
        if step.file is not None:
            path = self.folder / step.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(step.text)
        elif step.kind == "sql":
            self.type_sql(step.text)
        elif step.text.startswith("rush worker "):
            self.start_worker(step)
        else:
            self.type_commands(step)

    def type_sql(self, text: str) -> None:
        typed = subprocess.run(
            ["rush", "db", "shell", "--", "--set=ON_ERROR_STOP=1"],
            input=text,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert typed.returncode == 0, typed.stderr

    def start_worker(self, step: Step) -> None:
        """In a terminal of its own, until it has said what the README shows."""
        said = self.folder / f"terminal-{len(self.workers)}"
        with said.open("wb") as terminal:
            process = subprocess.Popen(
                step.text.split(),
                cwd=self.folder,
                env=self.environment,
                stdout=terminal,
                stderr=terminal,
                start_new_session=True,
            )
        self.workers.append((process, said))
        for line in masked(step.shown or "").splitlines():
            wait_for(
                lambda line=line: line in masked(said.read_text()),
                what=lambda line=line: f"{line!r} in {said.read_text()!r}",
                timeout=30,
            )

    def type_commands(self, step: Step) -> None:
        seen = ""
        for command in step.text.splitlines():
            if command.startswith("cd "):
                self.folder /= command.removeprefix("cd ")
                continue
            if command == "rush db stop":
                self.end_workers()
            if command.startswith("kill -9"):
                # Nobody types it before the first line of a log has been kept.
                wait_for(
                    lambda: "parameters" in self.type("rush logs by_hand/2")[1],
                    what="the first line of the run that is to be killed",
                    timeout=30,
                )
            code, output = self.type(command)
            seen += output
            assert code == 0 or step.shown is not None, output
        if step.shown is not None:
            assert masked(seen) == masked(step.shown)

    def type(self, command: str) -> tuple[int, str]:
        """Run a command in a terminal. Returns its exit code and what is to be seen at its end."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        output = b"".join(read_all(ours))
        os.close(ours)
        return process.wait(), last_picture(output.decode().replace("\r\n", "\n"))

    def end_workers(self) -> None:
        """As Ctrl-C does. One of them has been killed."""
        for process, said in self.workers:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) in (0, -signal.SIGKILL), said.read_text()

    def close(self) -> None:
        for process, _ in self.workers:
            process.kill()
            process.wait()
        Embedded(self.folder / ".rush").remove()


def test_the_tour(tmp_path: Path) -> None:
    """Who follows the README sees what it shows."""
    steps = list(steps_of(section("A tour in five minutes")))
    assert {"sh", "sql", "python", "yaml", "csv"} == {step.kind for step in steps}
    with ExitStack() as stack:
        reader = Reader(tmp_path, environment())
        stack.callback(reader.close)
        for step in steps:
            reader.follow(step)


def section(title: str) -> str:
    _, _, rest = README.read_text().partition(f"\n## {title}\n")
    assert rest, f"the README has no section {title}"
    return rest.partition("\n## ")[0]


def steps_of(text: str) -> Iterator[Step]:
    """A block of `text` belongs to what is typed before it."""
    step: Step | None = None
    for block in BLOCK.finditer(text):
        kind, body = block["kind"], block["text"]
        if kind == "text":
            assert step is not None and step.kind in TYPED, f"nobody has typed anything for {body}"
            step.shown = body
            continue
        if step is not None:
            yield step
        file = FILE.search(block["before"] or "")
        assert file or kind in TYPED, f"the README does not say which file this is: {body}"
        step = Step(kind, body, file=None if kind in TYPED or file is None else file[1])
    if step is not None:
        yield step


def environment() -> dict[str, str]:
    """A terminal of 110 columns without colours, with `rush` and `python` on the path."""
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith(("RUSH_", "DATABASE_URL", "PG"))
    }
    return clean | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "110",
        "LINES": "40",
        "TERM": "xterm",
        "NO_COLOR": "1",
        "RUSH_SLOTS": "2",
    }


def read_all(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # Linux says so when the other end is closed
            return
        if not data:
            return
        yield data


def last_picture(output: str) -> str:
    """What is left of a picture that is drawn anew in its place: the last of them."""
    last = re.split(r"\x1b\[1A\x1b\[2K", output)[-1]
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last)


def masked(text: str) -> str:
    """The text without what differs from one reader to the next: numbers, columns, this machine."""
    text = text.replace(socket.gethostname(), "vm")
    text = re.sub(r'File "[^"]*/shop/', 'File "', text)
    text = re.sub(r"\d+ [smhd] ago|\bnow\b", "AGO", text)
    text = re.sub(r"\d+ m \d\d s|\d+(\.\d+)? s\b", "TIME", text)
    # What is left of a lease.
    text = re.sub(r"(?<=AGO) +(TIME|\u2013)", "", text)
    text = re.sub(r"\d+([-:.]\d+)*", "N", text)
    text = re.sub(r"[─-]{2,}", "-", text)
    lines = (re.sub(r"\s+", " ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line.strip("^~"))
