"""The page: findings put into sentences and pictures. Every sentence is made from the numbers."""

from __future__ import annotations

from calendar import day_name, month_abbr, month_name
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from .charts import Bar, bars, columns
from .findings import Findings, Group, Rough

Naming = Callable[[Group], str]


def make_page(findings: Findings, *, made_by: str) -> str:
    """One HTML file that needs no other, and no script."""
    template = Template(Path(__file__).with_name("page.html").read_text("utf-8"))
    total = findings.total
    return template.substitute(
        headline=headline(findings),
        flights=f"{total.flights:,}",
        key_figures="".join(key_figures(total)),
        when="".join(when(findings)),
        where="".join(where(findings)),
        verdict=verdict(findings),
        weather="".join(weather(findings)),
        unmeasured=f"{total.flights - total.cancelled - findings.rough.flights:,}",
        made_by=escape(made_by),
    )


def sentences(findings: Findings) -> list[str]:
    """What the page says, in a few lines of plain text."""
    rough = findings.rough
    return [
        text.replace("\N{NO-BREAK SPACE}", " ")
        for text in (
            headline(findings),
            by_hour(findings.by["hour"]),
            worst_day(findings.by["date"]),
            by_carrier(findings.by["carrier"]),
            f"Is it the weather? {answer(findings)} In fine weather alone the average delay would"
            f" be {minutes(rough.mean_if_fine, 1)} instead of {minutes(rough.mean_delay, 1)}",
        )
    ]


def headline(findings: Findings) -> str:
    share = percent(findings.total.share_late)
    return f"{share} of planes left New York late in {period(findings)}"


def period(findings: Findings) -> str:
    first, last = findings.first, findings.last
    if (first.month, last.month) == (1, 12):
        return f"{last.year}"
    return f"{first:%B} {last.year}" if first.month == last.month else f"{first:%B} to {last:%B %Y}"


def key_figures(total: Group) -> Iterator[str]:
    for name, value in (
        ("left 15 minutes late or more", percent(total.share_late, 1)),
        ("was the average delay", minutes(total.mean_delay, 1)),
        ("was the median: half left earlier", minutes(total.median_delay)),
        ("were cancelled", percent(total.cancelled / total.flights, 1)),
    ):
        yield f"<div><dt>{name}</dt><dd>{value}</dd></div>"


# When ---------------------------------------------------------------------------


def when(findings: Findings) -> Iterator[str]:
    hours, weekdays, months, dates = (
        findings.by[name] for name in ("hour", "weekday", "month", "date")
    )
    yield figure(
        by_hour(hours),
        "Per cent of the planes that left late, by the hour of their schedule",
        columns(upright(hours, hour, tick=plain), described="Late planes by hour"),
    )
    yield figure(
        f"{weekday(worst(weekdays))} is the latest day of the week,"
        f" {weekday(best(weekdays))} the most punctual",
        "By the day of the week",
        table(weekdays, weekday, head="day"),
    )
    if len(months) > 1:
        yield figure(
            f"{month(worst(months))} was the latest month, {month(best(months))} the most punctual",
            "Per cent of the planes that left late, month by month",
            columns(upright(months, month, tick=short_month), described="Late planes by month"),
            shape="wide",
        )
    yield figure(
        worst_day(dates),
        "Per cent of the planes that left late, day by day",
        columns(
            upright(dates, day, tick=every_fifth_day if len(months) == 1 else month_at_its_middle),
            described="Late planes by day",
        ),
        shape="wide",
    )


def by_hour(hours: Sequence[Group]) -> str:
    early, late = best(hours), worst(hours)
    return (
        f"{percent(early.share_late)} are late at {hour(early)},"
        f" {percent(late.share_late)} at {hour(late)}"
    )


def worst_day(dates: Sequence[Group]) -> str:
    return f"The worst day was {day(worst(dates))}: {percent(worst(dates).share_late)} left late"


def hour(group: Group) -> str:
    return f"{group.name}:00"


def weekday(group: Group) -> str:
    return day_name[group.name - 1]


def month(group: Group) -> str:
    return month_name[group.name]


def short_month(group: Group) -> str:
    return month_abbr[group.name]


def day(group: Group) -> str:
    return f"{group.name:%A} {group.name.day} {group.name:%B}"


def every_fifth_day(group: Group) -> str:
    return f"{group.name.day}" if group.name.day % 5 == 0 else ""


def month_at_its_middle(group: Group) -> str:
    return month_abbr[group.name.month] if group.name.day == 15 else ""


# Where --------------------------------------------------------------------------


def where(findings: Findings) -> Iterator[str]:
    carriers, airports, destinations = (
        findings.by[name] for name in ("carrier", "airport", "destination")
    )
    yield figure(
        by_carrier(carriers),
        "By the airline that flew",
        table(latest_first(carriers), plain, head="airline"),
    )
    of_airports = figure(
        f"{plain(worst(airports))} is the latest of the airports,"
        f" {plain(best(airports))} the most punctual",
        "By the airport of departure",
        table(latest_first(airports), plain, head="airport"),
    )
    of_destinations = figure(
        f"{percent(worst(destinations).share_late)} of planes to {plain(worst(destinations))}"
        " leave late",
        f"The ten latest of {len(destinations)} destinations",
        table(latest_first(destinations)[:10], plain, head="destination"),
    )
    yield f"<div class=stack>{of_airports}{of_destinations}</div>"


def by_carrier(carriers: Sequence[Group]) -> str:
    return f"{plain(worst(carriers))} is late most often, {plain(best(carriers))} least"


# Is it the weather? -------------------------------------------------------------

#: The classes of the tables by their lower bounds.
VISIBILITY: Mapping[float, str] = {
    0: "under 1",
    1: "1 to 3",
    3: "3 to 6",
    6: "6 to 10",
    10: "10 or more",
}
WIND: Mapping[float, str] = {
    0: "under 10",
    10: "10 to 15",
    15: "15 to 20",
    20: "20 to 25",
    25: "25 or more",
}
RAIN: Mapping[float, str] = {
    0: "none",
    0.01: "under 0.05",
    0.05: "0.05 to 0.1",
    0.1: "0.1 or more",
}

#: By the share of the delay that would have been saved, at least.
ANSWERS = (
    (0.5, "For the most part."),
    (0.25, "To a good part."),
    (0.05, "In part."),
    (-1, "Hardly."),
)


def verdict(findings: Findings) -> str:
    rough = findings.rough
    return (
        f"{answer(findings)} {percent(rough.share_rough)} of the planes left in rough weather: rain or snow,"
        " wind of 20 mph or more, or less than 3 miles of visibility. Had they been no later"
        " than the others of their airport and hour of day, the average delay would have been"
        f" {minutes(rough.mean_if_fine, 1)} instead of {minutes(rough.mean_delay, 1)},"
        f" {percent(saved(rough))} less."
    )


def answer(findings: Findings) -> str:
    return next(answer for least, answer in ANSWERS if saved(findings.rough) >= least)


def saved(rough: Rough) -> float:
    """The share of the delay that rough weather has caused."""
    return 1 - rough.mean_if_fine / rough.mean_delay


def weather(findings: Findings) -> Iterator[str]:
    for name, cause, caption, unit, labels, calm in (
        (
            "visibility",
            "Poor visibility",
            "By how far one can see, in miles",
            "miles",
            VISIBILITY,
            10,
        ),
        ("wind", "Wind", "By the speed of the wind, in miles per hour", "mph", WIND, 0),
        (
            "rain",
            "Rain or snow",
            "By the water that falls in an hour, in inches",
            "inches",
            RAIN,
            0,
        ),
    ):
        groups = findings.by[name]
        yield figure(
            f"{cause}: {effect(groups, calm)}",
            caption,
            table(groups, lambda group, labels=labels: labels[group.name], head=unit),
            shape="third",
        )
    yield explained(findings.explained)
    yield reading(findings.explained)


def effect(groups: Sequence[Group], calm: float) -> str:
    usual = next(group for group in groups if group.name == calm)
    if worst(groups) is usual:
        return "no later than without"
    return f"{percent(worst(groups).share_late)} late instead of {percent(usual.share_late)}"


def explained(shares: Mapping[str, float]) -> str:
    return figure(
        f"Weather explains {percent(shares['weather'], 1)} of the differences between flights,"
        f" the hour of day {percent(shares['hour'], 1)}",
        "Share of the variance of delays that lies between flights of different …",
        bars(
            [
                Bar(label=name, value=share, text=percent(share, 1), marked=name == "weather")
                for name, share in shares.items()
            ],
            head=("factor", "explains"),
        ),
    )


def reading(shares: Mapping[str, float]) -> str:
    rest = 1 - shares["hour and weather"]
    return (
        "<div class=prose><p>A plane may be late for many reasons that no table here has:"
        f" hour and weather together leave {percent(rest)} of the differences unexplained.</p>"
        "<p>Weather is what was measured at the airport of departure in the hour of the schedule."
        " A storm elsewhere, or a delay that the plane brought along from its flight before, is not"
        " in it. The day as a whole has some of that in it, and explains"
        f" {percent(shares['day'], 1)}.</p></div>"
    )


# Parts --------------------------------------------------------------------------


def figure(title: str, caption: str, picture: str, *, shape: str = "half") -> str:
    return (
        f"<figure class={shape}><h3>{escape(title)}</h3>"
        f"<figcaption>{escape(caption)}</figcaption>{picture}</figure>"
    )


def upright(groups: Sequence[Group], name: Naming, *, tick: Naming) -> list[Bar]:
    return [
        Bar(
            label=name(group),
            value=group.share_late,
            text=f"{100 * group.share_late:.0f}",
            tick=tick(group),
            marked=group is worst(groups),
        )
        for group in groups
    ]


def table(groups: Sequence[Group], name: Naming, *, head: str) -> str:
    rows = [
        Bar(
            label=name(group),
            value=group.share_late,
            text=percent(group.share_late),
            more=(decimal(group.mean_delay, 1), f"{group.flights:,}"),
            marked=group is worst(groups),
        )
        for group in groups
    ]
    return bars(rows, head=(head, "left late", "mean, min", "flights"))


def worst(groups: Sequence[Group]) -> Group:
    return max(groups, key=lambda group: group.share_late)


def best(groups: Sequence[Group]) -> Group:
    return min(groups, key=lambda group: group.share_late)


def latest_first(groups: Sequence[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: group.share_late, reverse=True)


def plain(group: Group) -> str:
    return f"{group.name}"


def percent(share: float, digits: int = 0) -> str:
    return f"{decimal(100 * share, digits)}\N{NO-BREAK SPACE}%"


def minutes(value: float, digits: int = 0) -> str:
    return f"{decimal(value, digits)}\N{NO-BREAK SPACE}min"


def decimal(value: float, digits: int) -> str:
    """With a real minus."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
