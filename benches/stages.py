#!/usr/bin/env python3
"""Processor time for each stage of a transfer, of two binaries in turns, in an open swarm and in a group.

    benches/stages.py OLD NEW [ROUNDS [MIB]]     default: 5 rounds and 1,024 MiB

Each binary has one seed and one leech on loopback, with all files in memory. Each round fetches the
same file with OLD and NEW, through an open swarm and through a group. `perf` samples both processes
2,000 times in each second of processor time. A sample counts for the stage of its system call or
function. The processor time of a process, from /proc, is divided among its samples. The table has
medians over the rounds in milliseconds for one GiB, and the rates, which sampling lowers a little.

Needs `perf`, the right to sample the kernel and processes (as root, or with
kernel.perf_event_paranoid at -1), and binaries with symbols, as `cargo build --release` makes them.
"""
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections import Counter

from pairs import Peer, Side, used

# Stages by the name of the innermost function. The first that fits counts.
FUNCTIONS = [
    ("hash", ["sha1::", "sha1_smol::"]),
    ("encrypt, decrypt", ["ring_core_", "ring::", "gcm", "ghash"]),
    ("copy, clear", ["memmove", "memcpy", "memset"]),
    ("other work of TLS", ["rustls::", "::net::tls::"]),
    ("allocate", ["malloc", "free", "realloc", "calloc", "malloc_consolidate", "unlink_chunk"]),
]
# Stages by system call. The frame of a call is `__x64_sys_NAME`, or, where that is inlined, the
# function that it calls.
CALLS = {
    "receive": ["recvfrom", "readv", "recvmsg", "read"],
    "send": ["sendto", "sendmsg", "sendfile64", "writev", "write"],
    "read file": ["pread64", "preadv", "newfstat", "fstat", "statx"],
    "write file": ["pwrite64", "pwritev", "pwritev2", "fallocate", "ftruncate", "fsync", "fdatasync", "rename", "renameat2"],
    "wait, wake": ["futex", "sched_yield"],
    "set time-outs": ["setsockopt", "poll", "ppoll"],
}
CALL_STAGE = {f"{way}_{name}": stage for stage, names in CALLS.items() for name in names for way in ["__x64_sys", "ksys", "do"]}
REST, KERNEL = "rest", "rest of the system"
# A thread of this name works after the last piece, when nothing else has work.
LAST, AT_THE_END = "finish", "after the last piece (part of all)"
STAGES = ["read file", "receive", "encrypt, decrypt", "copy, clear", "other work of TLS", "hash", "write file",
          "send", "wait, wake", "set time-outs", "allocate", REST, KERNEL]
ROWS = [*STAGES, "all", AT_THE_END]


def stage_of(frames):
    """Returns the stage of one sample. `frames` are pairs of symbol and object, the innermost first."""
    for symbol, _ in frames:
        if symbol in CALL_STAGE:
            return CALL_STAGE[symbol]
    symbol, where = frames[0]
    if "kernel" in where or where.startswith("[k"):
        return KERNEL
    for stage, names in FUNCTIONS:
        if any(name in symbol for name in names):
            return stage
    return REST


def samples(data):
    """Yields the samples of a recording: process id, thread name, frames."""
    fields = ["-F", "comm,pid,ip,sym,dso"]
    script = subprocess.run(["perf", "script", "-i", data, *fields], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for block in script.stdout.split("\n\n"):
        head, *lines = block.strip("\n").split("\n")
        frames = []
        for line in lines:
            _, rest = line.split(maxsplit=1)
            symbol, where = rest.rsplit(" (", 1)
            frames.append((symbol.strip(), where.rstrip(")")))
        if frames:
            thread, process = head.rsplit(maxsplit=1)
            yield int(process), thread.strip(), frames


class Recording:
    """A running `perf record` of some processes."""

    def __init__(self, processes, folder):
        self.data = f"{folder}/perf.data"
        control, answers = f"{folder}/control", f"{folder}/answers"
        os.mkfifo(control)
        os.mkfifo(answers)
        self.paths = [control, answers, self.data]
        self.process = subprocess.Popen(
            ["perf", "record", "--quiet", "--event", "cpu-clock", "--freq", "2000", "--call-graph", "fp", "--output", self.data,
             "--pid", ",".join(map(str, processes)), "--delay", "-1", "--control", f"fifo:{control},{answers}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        self.control = open(control, "w")
        self.answers = open(answers)
        self.say("enable")

    def say(self, word):
        self.control.write(f"{word}\n")
        self.control.flush()
        assert self.answers.readline().strip("\0\n") == "ack"

    def end(self):
        """Ends the recording; returns the samples of each process by stage."""
        self.say("disable")
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        found = {}
        for process, thread, frames in samples(self.data):
            stages = found.setdefault(process, Counter())
            stages[stage_of(frames)] += 1
            stages["all"] += 1
            stages[AT_THE_END] += thread == LAST
        self.control.close()
        self.answers.close()
        for path in self.paths:
            os.remove(path)
        return found


class Staged(Side):
    """A side whose downloads are recorded."""

    def fetch_stages(self, group):
        """Fetches the file; returns seconds by stage for seed and leech, and the rate in bytes a second."""
        copy = f"{self.folder}/copy"
        leech = Peer(self, "leech" if group else "open")
        processes = [self.seed.process.pid, leech.process.pid]
        recording = Recording(processes, self.folder)
        before = [used(process) for process in processes]
        leech.run(f"download_file lab file {copy}" if group else f"download {self.folder}/torrent {copy}")
        leech.run("wait")
        times = [used(process) - then for process, then in zip(processes, before)]
        found = recording.end()
        rate = leech.run("show_downloads")["downloads"][-1]["rate"]
        leech.run("stop_share lab file" if group else "stop_share - file")
        leech.end()
        os.remove(copy)
        parts = []
        for process, time in zip(processes, times):
            counts = found.get(process, Counter())
            by = time / max(counts["all"], 1)
            parts.append({stage: count * by for stage, count in counts.items()})
        return parts, rate


def print_table(ways, runs, mib):
    """Prints medians of `runs`: for each way the seed's and leech's times by stage and the rate."""
    print("| " + " | ".join(["", *(f"{what}, {name}" for what, name in ways)]) + " |")
    print("|---" * (len(ways) + 1) + "|")
    for side, who in enumerate(["seed", "leech"]):
        for stage in ROWS:
            row = [statistics.median(parts[side].get(stage, 0) for parts, _ in runs[way]) * 1000 * 1024 / mib for way in ways]
            if max(row) >= 5:
                print("| " + " | ".join([f"{who}: {stage}", *(f"{value:,.0f}" for value in row)]) + " |")
    both = [statistics.median(sum(part.get("all", 0) for part in parts) for parts, _ in runs[way]) * 1000 * 1024 / mib for way in ways]
    print("| " + " | ".join(["both", *(f"{value:,.0f}" for value in both)]) + " |")
    rates = [statistics.median(rate for _, rate in runs[way]) / 1e6 for way in ways]
    print("| " + " | ".join(["MB/s while sampled", *(f"{rate:,.0f}" for rate in rates)]) + " |")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    mib = int(sys.argv[4]) if len(sys.argv) > 4 else 1024
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    work = tempfile.mkdtemp(dir="/dev/shm")
    sides = {}
    try:
        file = f"{work}/file"
        with open(file, "wb") as out:
            for _ in range(mib):
                out.write(os.urandom(1 << 20))
        for name, binary in zip(["OLD", "NEW"], sys.argv[1:3]):
            sides[name] = Staged(binary, work, name, file)
        ways = [(what, name) for what in ["open", "group"] for name in sides]
        runs = {way: [] for way in ways}
        for _ in range(rounds):
            for what, name in ways:
                runs[what, name].append(sides[name].fetch_stages(what == "group"))
        print_table(ways, runs, mib)
    finally:
        for side in sides.values():
            side.end()
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
