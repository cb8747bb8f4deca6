"""Read and check the raw files, before anything is touched."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from rush import Job

from .feeds import FEEDS, MISSING, WEATHER, Feed

#: So few that the processor's cache holds them.
ROWS_AT_ONCE = 500


class CheckFeed(Job):
    """Is the weather there yet? The first attempt says no, so that you see a retry."""

    def run(self) -> None:
        if self.attempt == 1:
            raise FileNotFoundError(
                "the weather feed is not there yet (this failure is part of the demo)"
            )
        path = WEATHER.path(Path(self.params["data"]))
        self.logger.info("%s is there: %s bytes", path, f"{path.stat().st_size:,}")


class Extract(Job):
    """Count the rows of every file. What cannot be used is an error, what is odd a warning."""

    def run(self) -> dict[str, int]:
        data = Path(self.params["data"])
        counts: dict[str, int] = {}
        for done, feed in enumerate(FEEDS, start=1):
            counts[feed.name] = self.check(feed, data)
            self.logger.info("%s: %s rows", feed.name, f"{counts[feed.name]:,}")
            self.progress(done, len(FEEDS))
        return counts

    def check(self, feed: Feed, data: Path) -> int:
        """The number of rows. Looks at columns, not at cells: few of their values differ."""
        path = feed.path(data)
        rows = feed.rows(data)
        header = next(rows, [])
        if header != list(feed.columns):
            raise ValueError(f"{path} has the columns {header}, not {[*feed.columns]}")

        count = 0
        keys: set[str] = set()
        values: dict[str, set[str]] = {column: set() for column in feed.limits}
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            if wrong := [row for row in chunk if len(row) != len(header)]:
                raise ValueError(f"{path}: {wrong[0]} are not {len(header)} values")
            cells = dict(zip(header, zip(*chunk, strict=True), strict=True))
            for column, seen in values.items():
                seen.update(cells[column])
            keys.update(map(",".join, zip(*(cells[column] for column in feed.key), strict=True)))
            count += len(chunk)

        if len(keys) != count or count == 0:
            raise ValueError(f"{path} has {count} rows, of which {len(keys)} are different")
        for column, (least, most) in feed.limits.items():
            for value in values[column] - {MISSING}:
                if not least <= float(value) <= most:
                    self.logger.warning("%s: a %s of %s cannot be", path, column, value)
        return count
