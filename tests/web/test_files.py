"""Files that results name, and what is shown of a project's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rush.web.app import Options
from tests.support.kernel import Kernel
from tests.web.conftest import serving


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a report, and with what is nobody's business."""
    folder = tmp_path / "project"
    (folder / ".rush").mkdir(parents=True)
    (folder / "report.html").write_text("<h1>22 % were late</h1><script>alert(1)</script>")
    (folder / "rush.toml").write_text('database_url = "secret"')
    (folder / ".rush" / "notes.txt").write_text("secret")
    (tmp_path / "outside.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "other.txt").symlink_to(folder / "rush.toml")
    (folder / "unnamed.txt").write_text("secret")
    return folder


@pytest.fixture
def site(database: str, project: Path) -> Iterator[httpx.Client]:
    with (
        serving(Options(database_url=database, files=project)) as address,
        httpx.Client(base_url=address, timeout=20) as browser,
    ):
        yield browser


HIDDEN = [
    "rush.toml",
    ".rush/notes.txt",
    "../outside.txt",
    "link.txt",
    "other.txt",
    "missing.txt",
]


def run_with_result(kernel: Kernel, result: object) -> int:
    from psycopg.types.json import Jsonb

    kernel.define({"report": []}, "etl")
    run = kernel.start("etl")
    kernel.work(kernel.worker())
    kernel.sql("INSERT INTO rush.result VALUES (%s, 'report', 0, 1, %s)", run, Jsonb(result))
    return run


def test_a_report_is_a_link_and_runs_no_script(kernel: Kernel, site: httpx.Client) -> None:
    """It opens from the run's data, in a sandbox: whoever wrote it does nothing on our pages."""
    run = run_with_result(kernel, {"report": "report.html", "late": 0.22})
    link = f"/runs/{run}/files/report?name=report.html"
    for page in (f"/runs/{run}?tab=data", f"/runs/{run}?job=report"):
        assert link in site.get(page).text
    data = site.get(f"/runs/{run}?tab=data").text
    assert data.index(link) < data.index("&#34;late&#34;"), "files stand above the results"
    answer = site.get(link)
    assert "22 % were late" in answer.text
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script" not in policy


@pytest.mark.parametrize("name", HIDDEN)
def test_what_a_result_may_not_name_is_not_shown(
    kernel: Kernel, site: httpx.Client, name: str
) -> None:
    """Nothing outside the folder, nothing hidden, nothing of another kind, by no link."""
    run = run_with_result(kernel, [name])
    assert "/files/" not in site.get(f"/runs/{run}?tab=data").text
    answer = site.get(f"/runs/{run}/files/report", params={"name": name})
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_what_no_result_names_is_not_shown(kernel: Kernel, site: httpx.Client) -> None:
    """However harmless it is."""
    run = run_with_result(kernel, {"report": "report.html"})
    for name in ("unnamed.txt", "a\0.txt"):
        answer = site.get(f"/runs/{run}/files/report", params={"name": name})
        assert answer.status_code == 404


def test_a_dashboard_elsewhere_shows_no_files(kernel: Kernel, api: httpx.Client) -> None:
    """Where no folder was named, a result is text."""
    run = run_with_result(kernel, {"report": "report.html"})
    page = str(api.base_url).replace("/api/v1/", "")
    assert "/files/" not in httpx.get(f"{page}/runs/{run}?tab=data").text
    assert httpx.get(f"{page}/runs/{run}/files/report?name=report.html").status_code == 404
