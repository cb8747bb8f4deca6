"""
How fluid the interactive parts of the pages are, with far too many jobs, runs and lines.

    python -m benchmarks.parts

prints, for each part: how long from opening its page until it was drawn, how long the frames
took while somebody scrolled or dragged, and how many bytes were sent. The browser draws without
a graphics card, so a frame here takes longer than on a desk.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import FLAGS, find_chromium
from tests.web.stage import stage

SCENES = [
    ("rush-timeline", "nightly", "", "scroll"),
    ("rush-timeline", "large", "", "scroll"),
    ("rush-graph", "nightly", "", "drag"),
    ("rush-graph", "large", "focus=failed", "drag"),
    ("rush-graph", "large", "focus=all", "zoom"),
    ("rush-grid", "large", "", "scroll"),
    ("rush-grid", "wide", "", "scroll"),
    ("rush-log", "large", "", "scroll"),
    ("rush-log", "large", "query=repair", "read all"),
    ("rush-chart", "day", "", ""),
    ("rush-chart", "large", "kind=durations", ""),
]

DRAWN = """part => new Promise(done => {
    const look = () => {
        const element = document.querySelector(part);
        if (element?.answer && (!element.frame || typeof element.frame !== "number"))
            requestAnimationFrame(() => setTimeout(() => done(performance.now())));
        else requestAnimationFrame(look);
    };
    look();
})"""

FRAMES = """([part, how]) => new Promise(done => {
    const element = document.querySelector(part);
    const boxes = [...element.querySelectorAll(".tl-scroll, .gd-scroll, .lg-scroll")];
    const times = [];
    let last = performance.now();
    let frame = 0;
    const step = () => {
        const now = performance.now();
        times.push(now - last);
        last = now;
        frame += 1;
        if (frame > 120) return done(times.slice(1));
        if (how === "drag") element.view.pan(Math.sin(frame / 10) * 30, Math.cos(frame / 10) * 20);
        else if (how === "zoom") element.view.zoom(frame < 60 ? 1.06 : 1 / 1.06);
        else for (const box of boxes) box.scrollTop += how === "scroll" ? (frame < 60 ? 400 : -900) : 0;
        requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
})"""

SENT = """() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
    .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""

READ_ALL = """() => new Promise(done => {
    const log = document.querySelector("rush-log");
    const look = () => (log.hasOlder || log.all || log.sifting ? setTimeout(look, 50) : done(performance.now()));
    setTimeout(look, 100);
})"""


def measure(page: Page, address: str, part: str, case: str, query: str, how: str) -> dict[str, Any]:
    page.goto(f"{address}/part/{part}/{case}?{query}")
    found: dict[str, Any] = {"drawn": page.evaluate(DRAWN, part)}
    if how == "read all":
        found["read"] = page.evaluate(READ_ALL)
        how = "scroll"
    if how:
        frames = sorted(page.evaluate(FRAMES, [part, how]))
        found |= {
            "median": median(frames),
            "p95": frames[int(len(frames) * 0.95)],
            "longest": frames[-1],
        }
    found["sent"] = page.evaluate(SENT)
    found["elements"] = page.evaluate("document.querySelectorAll('*').length")
    return found


def run(browser: Browser, address: str) -> None:
    print(
        f"{'':38}{'drawn':>8}{'frames: median':>16}{'p95':>8}{'longest':>9}{'sent':>11}{'elements':>10}"
    )
    for part, case, query, how in SCENES:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.set_default_timeout(120_000)
        found = measure(page, address, part, case, query, how)
        frames = [
            f"{found[name]:.0f} ms" if name in found else ""
            for name in ("median", "p95", "longest")
        ]
        name = f"{part} {case} {query.removeprefix('query=')}".strip()
        print(
            f"{name:38}{found['drawn']:5.0f} ms{frames[0]:>16}{frames[1]:>8}{frames[2]:>9}"
            f"{found['sent'] / 1000:8.0f} kB{found['elements']:10}"
            + (
                f"   all read and searched after {found['read'] / 1000:.1f} s"
                if "read" in found
                else ""
            )
        )
        context.close()


def main() -> None:
    program = find_chromium()
    if program is None:
        raise SystemExit(
            "no Chromium on this machine: apt-get install chromium, or set RUSH_CHROMIUM"
        )
    with stage() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        run(browser, address)
        browser.close()


if __name__ == "__main__":
    main()
