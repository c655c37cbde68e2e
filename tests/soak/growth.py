"""Whether processes grow: threads, descriptors and anonymous memory, from `/proc`."""

import os
import statistics
import time

# Samples of a process that has just started say little, in seconds.
WARM_UP = 30
# The users have as many shares as they keep after this time, in seconds.
FILLING = 180
# Growth within these bounds is noise: a factor, and an addend in the unit of the figure.
FACTOR = 1.25
ADDEND = {"threads": 8, "descriptors": 24, "memory": 12}
# A tracker keeps the rows of its registry in memory, in KiB for each row at most. Rows of withdrawn
# shares and of ended groups are kept for ever, so a soak adds some ten thousand rows.
PER_ROW = 1


class Growth:
    """Samples of all processes during the soak."""

    def __init__(self):
        self.begun = time.monotonic()
        self.samples = []

    def sample(self, programs):
        """Looks at each program that runs long enough. Memory is in MiB."""
        now = time.monotonic()
        for program in programs:
            process = program.process
            if process.poll() is not None or now - program.since < WARM_UP:
                continue
            try:
                figures = read(process.pid)
            except (FileNotFoundError, ProcessLookupError, KeyError):
                # It has just ended. Until it is waited for, it has no memory.
                continue
            role = program.label.rstrip("0123456789")
            self.samples.append((now - self.begun, role, figures))

    def report(self, rows):
        """Returns a table of the first and the last third, and the names of what has grown. The time
        in which the users fill their catalogue does not count. `rows`: how many rows the registry
        of a tracker has."""
        end = self.samples[-1][0] if self.samples else 0.0
        third = (end - FILLING) / 3
        lines, grown = ["| what | first third | last third |", "|---|---|---|"], []
        for role in ("tracker", "peer") if third > 0 else ():
            for what in ADDEND:
                first = median(self.samples, role, what, FILLING, FILLING + third)
                last = median(self.samples, role, what, end - third, end)
                lines.append(f"| {what} of a {role} | {first:.0f} | {last:.0f} |")
                bound = first * FACTOR + ADDEND[what]
                if (role, what) == ("tracker", "memory"):
                    bound += rows * PER_ROW / 1024
                if last > bound:
                    grown.append(f"{what} of a {role}: {first:.0f} to {last:.0f}")
        return "\n".join(lines), grown


def median(samples, role, what, begin, end):
    values = [figures[what] for at, of, figures in samples if of == role and begin <= at <= end]
    return statistics.median(values) if values else 0.0


def read(process):
    with open(f"/proc/{process}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return {
        "threads": int(fields["Threads"]),
        "descriptors": len(os.listdir(f"/proc/{process}/fd")),
        "memory": int(fields["RssAnon"].split()[0]) / 1024,
    }
