"""What is sent to the browser as it stands."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import httpx
import pytest

from rush.web.rendering import FOLDER, STATIC, stamp

VENDOR = STATIC / "vendor"
TESTS_VENDOR = Path(__file__).parents[1] / "browser/vendor"


@pytest.mark.parametrize("folder", [VENDOR, TESTS_VENDOR], ids=["pages", "tests"])
def test_what_others_wrote_is_as_it_came_and_says_whose_it_is(folder: Path) -> None:
    """Each file has its line with a hash, and its licence lies beside it."""
    notes = (folder / "README.md").read_text(encoding="utf-8")
    kept = dict(
        reversed(line.split()) for line in re.findall(r"^    [0-9a-f]{64}  \S+$", notes, re.M)
    )
    files = {path.name for path in folder.iterdir() if path.suffix in (".js", ".css")}
    assert set(kept) == files
    for name, digest in kept.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    for licence in re.findall(r"\]\((\S+\.LICENSE)\)", notes):
        assert (folder / licence).is_file()


def test_what_the_pages_name_is_there(site: httpx.Client) -> None:
    """Every style and script of the layout, and every module that they import."""
    named = re.findall(r'(?:src|href)="(/static/[^"]+)"', site.get("/runs").text)
    assert len(named) > 5
    for path in named:
        assert site.get(path.partition("#")[0]).status_code == 200
    for module in (STATIC / "js").glob("*.js"):
        for name in re.findall(r'from "(\./[\w.-]+)"', module.read_text(encoding="utf-8")):
            assert (module.parent / name).is_file(), f"{module.name} imports {name}"


def test_every_template_is_used() -> None:
    """By a page, or by another template."""
    folder = FOLDER / "templates"
    texts = [path.read_text(encoding="utf-8") for path in folder.iterdir()]
    texts += [path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.py")]
    for path in folder.iterdir():
        assert any(f'"{path.name}"' in text for text in texts), path.name


def test_a_browser_keeps_what_a_page_names(site: httpx.Client) -> None:
    """
    It asks for no style or script twice, nor for a module that one of them imports; another
    version of any of them has another address.
    """
    named = re.findall(r'(?:src|href)="(/static/[^"]+)"', site.get("/runs").text)
    for path in named:
        kept = site.get(path.partition("#")[0]).headers["cache-control"]
        assert kept == "public, max-age=31536000, immutable"
        assert path.startswith(f"/static/{stamp()}/")


def test_a_browser_asks_after_what_is_named_without_a_stamp(site: httpx.Client) -> None:
    """So that an upgrade is seen at once, and what has not changed is not sent again."""
    first = site.get("/static/js/app.js")
    assert first.headers["cache-control"] == "no-cache"
    again = site.get("/static/js/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
