#!/usr/bin/env python3
"""Two binaries in turns: processor time for one GiB, and for one announce.

    benches/pairs.py OLD NEW [PAIRS [MIB]]     default: 20 pairs and 512 MiB

Each binary has a tracker and a seed of its own on loopback, with all files in memory. In each pair
OLD and NEW fetch the same file through an open swarm, then through a group. The processor time is
that of seed and leech, from /proc. Then both trackers answer the announces of
`cargo bench --bench announces`, for one second in each way. The output has the medians of both, and
for NEW / OLD of each pair the median, the quartiles, the smallest and the largest ratio. Run OLD
with itself to see the variation of the machine alone.
"""
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

ANNOUNCE = re.compile(r"^(.*): (\d+) announces/s, ([0-9.]+) us")
HERE = os.path.dirname(os.path.abspath(__file__))


def used(process):
    """Returns the processor time of a process in seconds."""
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Peer:
    """A peer that reads commands and answers each with one line of JSON."""

    def __init__(self, side, name):
        arguments = ["peer", "127.0.0.1:0", f"{side.folder}/info", "--dir", f"{side.folder}/{name}", "--json"]
        self.process = subprocess.Popen(
            [side.binary, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.process.stdout.readline()

    def run(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["ok"], answer
        return answer

    def end(self):
        """Ends the peer; returns the processor time of its whole life."""
        before = os.times()
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.wait()
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system


class Side:
    """One of the two binaries, with its tracker and its seed."""

    def __init__(self, binary, work, name, file):
        self.binary = os.path.abspath(binary)
        self.folder = f"{work}/{name}"
        os.mkdir(self.folder)
        self.tracker = subprocess.Popen(
            [self.binary, "tracker", "--open", "--listen", "127.0.0.1:0", "--data", f"{self.folder}/tracker"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        address = self.tracker.stdout.readline().split()[-1]
        with open(f"{self.folder}/info", "w") as info:
            info.write(f"{address}\n{self.tracker.stdout.readline()}")
        self.seed = Peer(self, "seed")
        for command in ["create_user nik pw-of-nik", "login nik pw-of-nik", "create_group lab"]:
            self.seed.run(command)
        leech = Peer(self, "leech")
        for command in ["create_user uma pw-of-uma", "login uma pw-of-uma", "join_group lab"]:
            leech.run(command)
        leech.end()
        self.seed.run("accept_request lab uma")
        self.seed.run(f"upload_file lab {file}")
        self.seed.run(f"send {file} {self.folder}/torrent")

    def fetch(self, group):
        """Fetches the file; returns the processor time of both sides and the rate in bytes a second."""
        copy, before = f"{self.folder}/copy", used(self.seed.process.pid)
        leech = Peer(self, "leech" if group else "open")
        leech.run(f"download_file lab file {copy}" if group else f"download {self.folder}/torrent {copy}")
        leech.run("wait")
        rate = leech.run("show_downloads")["downloads"][-1]["rate"]
        leech.run("stop_share lab file" if group else "stop_share - file")
        time = leech.end() + used(self.seed.process.pid) - before
        os.remove(copy)
        return time, rate

    def announces(self, bench):
        """Returns for each way the processor time of the tracker for one announce, in microseconds, and the rate."""
        output = subprocess.run(
            [bench, "1"], env={**os.environ, "PIECEFUL": self.binary}, check=True, stdout=subprocess.PIPE, text=True,
        )
        found = (ANNOUNCE.match(line) for line in output.stdout.splitlines())
        return {match[1]: (float(match[3]), int(match[2])) for match in found if match}

    def end(self):
        self.seed.end()
        self.tracker.terminate()
        self.tracker.wait()


def announces_bench():
    """Builds benches/announces.rs; returns the path of the program."""
    output = subprocess.run(
        ["cargo", "bench", "--quiet", "--bench", "announces", "--no-run", "--message-format", "json"],
        cwd=HERE, check=True, stdout=subprocess.PIPE, text=True,
    )
    built = (json.loads(line) for line in output.stdout.splitlines())
    return next(it["executable"] for it in built if it.get("executable") and it["target"]["name"] == "announces")


def print_ratios(what, unit, old, new):
    ratios = sorted(b / a for a, b in zip(old, new))
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"{what}: {statistics.median(old):.3f} and {statistics.median(new):.3f} {unit}, ratio {middle:.3f}"
        f" ({low:.3f} to {high:.3f}, from {ratios[0]:.3f} to {ratios[-1]:.3f})",
        flush=True,
    )


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    pairs = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    mib = int(sys.argv[4]) if len(sys.argv) > 4 else 512
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    bench = announces_bench()
    work = tempfile.mkdtemp(dir="/dev/shm")
    sides = []
    try:
        file = f"{work}/file"
        with open(file, "wb") as out:
            for _ in range(mib):
                out.write(os.urandom(1 << 20))
        for name, binary in zip(["old", "new"], sys.argv[1:3]):
            sides.append(Side(binary, work, name, file))
        for what, group in [("open swarm", False), ("group", True)]:
            runs = [[side.fetch(group) for side in sides] for _ in range(pairs)]
            times = [[run[side][0] * 1024 / mib for run in runs] for side in (0, 1)]
            rates = [[run[side][1] * 1e-6 for run in runs] for side in (0, 1)]
            print_ratios(f"{what}, processor time", "s for a GiB", *times)
            print_ratios(f"{what}, rate", "MB/s", *rates)
        runs = [[side.announces(bench) for side in sides] for _ in range(pairs)]
        for way in runs[0][0]:
            print_ratios(f"announces over {way}, processor time", "us each", *([run[side][way][0] for run in runs] for side in (0, 1)))
            print_ratios(f"announces over {way}, rate", "a second", *([run[side][way][1] for run in runs] for side in (0, 1)))
    finally:
        for side in sides:
            side.end()
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
