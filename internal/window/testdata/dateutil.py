"""Answers a test's questions about recurrences with python-dateutil.

One question a line on standard input, one answer a line on standard output,
both JSON. Instants are written 20260131T013000Z, wall-clock times without the Z.
"""

import datetime
import heapq
import json
import os
import sys
import time
import zoneinfo

from dateutil import rrule, tz

UTC = datetime.timezone.utc
DAY = datetime.timedelta(days=1)

# It reads a Z as this machine's own zone if that is called UTC, and else as UTC.
os.environ["TZ"] = "UTC"
time.tzset()


def starts(question):
    """The first starts after an instant, found in two ways."""
    after, n = instant(question["after"]), question["n"]
    look_until(question["last_year"])
    answer = {"floating": [stamp(t) for t in first(floating(question["text"], after), after, n)]}
    if "as_written" in question:
        answer["as_written"] = [stamp(t) for t in first(floating(question["as_written"], after), after, n)]
    try:
        found = own(question["text"], after, n)
        if [at for _, at, *_ in found if at > question["after"]] == answer["floating"]:
            answer["same"] = True
        else:
            answer["own"] = found
    except (ValueError, TypeError) as e:
        answer["error"] = str(e)
    return answer


def never(question):
    """Whether nothing starts within the century after DTSTART: none of the whole,
    or none of one of its rules, when it is alone."""
    text = Text(question["text"])
    lines = question["text"].split()
    rest = [line for line in lines if not line.startswith(("RRULE", "RDATE", "EXDATE"))]
    return {"never": any(map(starts_never, [lines] + [rest + ["RRULE:" + rule] for rule in text.rules]))}


def starts_never(lines):
    text = " ".join(lines)
    dtstart = Text(text).dtstart
    look_until(dtstart.year + 101)
    try:
        found = next(floating(text, dtstart.replace(tzinfo=UTC) - 2 * DAY), None)
    except ValueError:  # the whole has a part in it that nobody takes
        return False
    return found is None or found.year > dtstart.year + 100


def accepts(question):
    """Whether dateutil takes the text."""
    try:
        rrule.rrulestr(question["text"])
    except Exception as e:  # it has no error of its own, and some that are slips
        return {"error": str(e) or type(e).__name__}
    return {}


def bench(question):
    """How long n searches for the next start take."""
    rule, after = rrule.rrulestr(question["text"]), instant(question["after"])
    began = time.perf_counter_ns()
    for _ in range(question["n"]):
        rule.after(after)
    return {"ns": time.perf_counter_ns() - began}


def look_until(year):
    """Has dateutil look for a rule's next start until then. With its default, the
    year 9999, it takes minutes to see that a rule never occurs."""
    datetime.MAXYEAR = year


def instant(text):
    return datetime.datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def stamp(t):
    return t.strftime("%Y%m%dT%H%M%S") + ("Z" if t.tzinfo else "")


# Floating: dateutil expands wall-clock times that have no zone. What they are in
# a zone is decided here, by our rule and by Python's own zoneinfo.


class Text:
    """A recurrence's text, cut into its properties."""

    def __init__(self, text):
        self.rules, self.added, self.excluded = [], [], []
        properties = []
        for line in text.split():
            head, value = line.split(":", 1)
            name, *params = head.split(";")
            tzid = [p[len("TZID="):] for p in params if p.startswith("TZID=")]
            properties.append((name, tzid, value))
            if name == "DTSTART":
                self.dtstart, self.zone = self.time(value, tzid)
        for name, tzid, value in properties:
            if name == "RRULE":
                self.rules.append(value)
            elif name == "RDATE":
                self.added += [resolve(*self.time(v, tzid)) for v in value.split(",")]
            elif name == "EXDATE":
                self.excluded += [resolve(*self.time(v, tzid)) for v in value.split(",")]

    def time(self, value, tzid):
        wall = datetime.datetime.strptime(value.rstrip("Z"), "%Y%m%dT%H%M%S")
        if value.endswith("Z"):
            return wall, zoneinfo.ZoneInfo("UTC")
        return wall, zoneinfo.ZoneInfo(tzid[0]) if tzid else self.zone


def resolve(wall, zone):
    """The instant at which a clock shows wall: the first of two, and the end of
    the gap if it never does."""
    at = wall.replace(tzinfo=zone).astimezone(UTC)
    if shown(at, zone) == wall:
        return at
    low, high = -2 * 86400, 2 * 86400
    while high - low > 1:
        middle = (low + high) // 2
        if shown(at + datetime.timedelta(seconds=middle), zone) < wall:
            low = middle
        else:
            high = middle
    return at + datetime.timedelta(seconds=high)


def shown(at, zone):
    return at.astimezone(zone).replace(tzinfo=None)


def floating(text, after):
    """Iterates the starts from two days before after on."""
    text = Text(text)
    begin = shown(after, text.zone) - 2 * DAY
    sources = [rule_starts(rule, text, begin) for rule in text.rules] + [sorted(text.added)]
    last = None
    for at in heapq.merge(*sources):
        if at != last and at not in text.excluded:
            yield at
        last = at


def rule_starts(rule, text, begin):
    parts = rule.split(";")
    until = None
    for part in parts:
        if part.startswith("UNTIL=") and part.endswith("Z"):
            until = instant(part[len("UNTIL="):])
            parts = [p for p in parts if p is not part]
    for wall in rrule.rrulestr("RRULE:" + ";".join(parts), dtstart=text.dtstart):
        if wall < begin:
            continue
        at = resolve(wall, text.zone)
        if until and at > until:
            return
        yield at


def first(times, after, n):
    found = []
    for at in times:
        if at > after:
            found.append(at)
            if len(found) == n:
                break
    return found


# Own: dateutil is given the same text and does all of it, zones too.


def own(text, after, n):
    """Its starts from some days before after on, to n after it, each as what the
    clock shows, the instant, and the instant by zoneinfo if that is another."""
    rules = rrule.rrulestr(text)
    tzid = Text(text).zone
    found = []
    begin = after.replace(tzinfo=None) - 3 * DAY  # more than any offset earlier
    for at in rules:
        if at.replace(tzinfo=None) < begin:
            continue
        utc = at.astimezone(UTC)
        in_utc = isinstance(at.tzinfo, (tz.tzutc, tz.tzlocal))
        wall = shown(utc, tzid) if in_utc else at.replace(tzinfo=None)
        entry = [stamp(wall), stamp(utc)]
        true = wall.replace(tzinfo=tzid).astimezone(UTC)
        if not in_utc and true != utc:
            entry.append(stamp(true))
        found.append(entry)
        n -= utc > after
        if n == 0:
            break
    return found


for line in sys.stdin:
    question = json.loads(line)
    answer = {"starts": starts, "never": never, "accepts": accepts, "bench": bench}[question["ask"]](question)
    print(json.dumps(answer, separators=(",", ":")), flush=True)
