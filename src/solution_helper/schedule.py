"""How old the newest snapshot may be by the schedule of the backups: two intervals of it."""

import calendar
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from itertools import islice, product

LABELS = {"daily": 1, "weekly": 7, "monthly": 31}
"""Days that an interval label promises; for a schedule that is due too seldom to tell."""
UNITS = {name: timedelta(**{f"{name}s": 1}) for name in ("minute", "hour", "day")}
YEARS = 14  # a schedule that does not end is due three times in it, the 29th of February too
TICKS = 20_000  # two weeks of one that is due each minute
MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
WEEKDAYS = {name: n for n, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}


def two_intervals(schedule: str, label: str, window: timedelta, today: date) -> timedelta:
    """The longest time in which two backups are due: when neither was complete, all is not well.

    schedule: a rate or cron expression of Amazon EventBridge. One that EventBridge will refuse is
    not refused here.
    """
    try:
        due = list(_outside_windows(_due(schedule, today.year), window))
    except (ArithmeticError, LookupError, ValueError):
        due = []
    spans = (last - first for first, last in zip(due, due[2:], strict=False))
    return max(spans, default=2 * timedelta(days=LABELS[label]))


def _outside_windows(due: Iterable[datetime], window: timedelta) -> Iterator[datetime]:
    """What is due within the window of a backup that is due before is refused."""
    begun = None
    for moment in due:
        if begun is None or moment - begun >= window:
            yield (begun := moment)


def _due(schedule: str, year: int) -> Iterator[datetime]:
    """When a schedule is due, from the beginning of a year."""
    kind, _, expression = schedule.rstrip(") ").partition("(")
    if kind == "cron":
        return islice(_cron(expression.upper(), year), TICKS)
    value, unit = expression.split()
    step = int(value) * UNITS[unit.removesuffix("s")]
    # As far as two backups reach, whose windows are shorter than a day.
    count = 2 * (timedelta(days=1) // step + 1) + 1
    return (datetime(year, 1, 1) + number * step for number in range(count))


def _cron(expression: str, first_year: int) -> Iterator[datetime]:
    minutes, hours, days, months, weekdays, years = expression.split()
    times = list(product(_numbers(hours, 0, 23), _numbers(minutes, 0, 59)))
    for year in range(first_year, first_year + YEARS):
        if year not in _numbers(years, 1970, 2199):
            continue
        for month in _numbers(months, 1, 12, MONTHS):
            found = _by_week(weekdays, year, month) if days == "?" else _by_date(days, year, month)
            for day, time in product(sorted(found), times):
                yield datetime(year, month, day, *time)


def _by_date(field: str, year: int, month: int) -> set[int]:
    """Days of a month, from the field for the day of the month."""
    last = calendar.monthrange(year, month)[1]
    found: set[int] = set()
    for part in field.split(","):
        if part == "L":
            found.add(last)
        elif part.endswith("W"):
            day = last if part == "LW" else int(part[:-1])
            found.add(_working_day(year, month, min(day, last), last))
        else:
            found.update(_numbers(part, 1, 31))
    return found & set(range(1, last + 1))


def _working_day(year: int, month: int, day: int, last: int) -> int:
    """The one nearest to a day, in the same month."""
    match calendar.weekday(year, month, day):
        case 5:  # Saturday
            return day - 1 if day > 1 else day + 2
        case 6:  # Sunday
            return day + 1 if day < last else day - 2
    return day


def _by_week(field: str, year: int, month: int) -> set[int]:
    """Days of a month, from the field for the day of the week."""
    first, last = calendar.monthrange(year, month)
    by_weekday = {
        # Here Sunday is 1 and Saturday is 7; for the calendar, Monday is 0 and Sunday is 6.
        number: range(1 + (number - 2 - first) % 7, last + 1, 7)
        for number in WEEKDAYS.values()
    }
    found: set[int] = set()
    for part in field.split(","):
        name, _, which = part.partition("#")
        if which:
            found.update(by_weekday[_number(name, WEEKDAYS)][int(which) - 1 : int(which)])
        elif part.endswith("L") and part != "L":
            found.add(by_weekday[_number(part[:-1], WEEKDAYS)][-1])
        else:
            days = _numbers("SAT" if part == "L" else part, 1, 7, WEEKDAYS)
            found.update(*(by_weekday[number] for number in days))
    return found


def _numbers(
    field: str, first: int, last: int, names: Mapping[str, int] | None = None
) -> list[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        begin, _, end = span.partition("-")
        if span in ("*", "?"):
            low, high = first, last
        else:
            low = _number(begin, names)
            high = _number(end, names) if end else last if step else low
        # FRI-MON goes round.
        members = (
            range(low, high + 1)
            if low <= high
            else (*range(low, last + 1), *range(first, high + 1))
        )
        found.update(members[:: int(step or 1)])
    return sorted(found)


def _number(text: str, names: Mapping[str, int] | None) -> int:
    return (names or {}).get(text) or int(text)
