#!/usr/bin/env python3
"""Long fat links: one seed to one leech through a proxy that adds a delay, in turns with libtorrent.

    benches/far.py DELAY NEW [OLD] [--python PYTHON] [--rounds N] [--ms MS,...] [--mib MIB,...]
                   [--rate BYTES]

DELAY is a TCP proxy with the arguments LISTEN TARGET ONE_WAY_MS BYTES_PER_SECOND. If the first
argument is `-`, `$DELAY` names it. NEW and OLD are binaries of pieceful. PYTHON is a Python with
libtorrent (default: `$PIECEFUL_INTEROP_PYTHON`); without it libtorrent is not measured. Defaults:
3 rounds, round trips of 100 and 200 ms, files of 256 and 1,024 MiB, 125 MB/s in each direction.

In each round every program fetches the same file from a seed of its own kind, one program after the
other, with all files in memory. The rate is the length of the file divided by the time from the
command to the complete file, which includes connecting and the start. Seed and leech of libtorrent
use its settings for high performance, because with its default settings it requests at most 8 MiB
ahead. Memory is the largest memory of the leech without mapped files, read every 20 ms. The table
has medians, and the smallest and largest rate. "near" is without the proxy (0 ms).
"""
import argparse
import http.server
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
SESSION = f"{HERE}/../tests/interop/session.py"
ANON = re.compile(r"^RssAnon:\s+(\d+) kB", re.MULTILINE)
# The limits of libtorrent's high_performance_seed() that matter here.
FAST = {
    "max_out_request_queue": 1500, "max_allowed_in_request_queue": 2000, "send_buffer_watermark": 3 << 20,
    "send_buffer_low_watermark": 1 << 20, "send_buffer_watermark_factor": 150, "max_queued_disk_bytes": 7 << 20,
    "unchoke_slots_limit": 500, "aio_threads": 4,
    # Otherwise the seed would call the leech directly, past the proxy: all have one address.
    "allow_multiple_connections_per_ip": False, "connection_speed": 0,
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A program that reads commands and answers each with one line of JSON."""

    def __init__(self, arguments):
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def read_answer(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read_answer()

    def end(self):
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.wait()


class Peak:
    """The largest memory of a process without mapped files, in MiB, while this object watches it."""

    def __init__(self, process):
        self.status, self.most, self.ended = f"/proc/{process}/status", 0, threading.Event()
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()

    def sample(self):
        while not self.ended.wait(0.02):
            with open(self.status) as status:
                found = ANON.search(status.read())
            self.most = max(self.most, int(found[1]) / 1024 if found else 0)

    def end(self):
        self.ended.set()
        self.thread.join()
        return self.most


class Tracker:
    """A tracker that sends one address to every peer that does not have the whole file."""

    def __init__(self):
        tracker = self
        self.peer_port = None

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                peers = b""
                if query.get("left") != ["0"] and query.get("event") != ["stopped"] and tracker.peer_port:
                    peers = socket.inet_aton("127.0.0.1") + tracker.peer_port.to_bytes(2, "big")
                body = b"d8:intervali600e5:peers%d:%se" % (len(peers), peers)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/announce"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Pieceful:
    def __init__(self, binary, name, work, tracker):
        self.binary, self.name, self.work, self.tracker = os.path.abspath(binary), name, f"{work}/{name}", tracker
        self.seeding = None
        os.mkdir(self.work)

    def peer(self, name, port=0):
        peer = Process([self.binary, "peer", f"127.0.0.1:{port}", f"{self.work}/none", "--dir", f"{self.work}/{name}", "--json"])
        # The line with its address.
        peer.process.stdout.readline()
        return peer

    def run(self, peer, command):
        answer = peer.ask(command)
        assert answer["ok"], answer

    def seed(self, torrent, file):
        self.port = free_port()
        self.seeding = self.peer("seed", self.port)
        self.run(self.seeding, f"download {torrent} {file}")
        self.run(self.seeding, "wait")

    def fetch(self, torrent, folder, port):
        self.tracker.peer_port = port
        leech = self.peer("leech")
        peak, begun = Peak(leech.process.pid), time.monotonic()
        self.run(leech, f"download {torrent} {folder}/copy")
        self.run(leech, "wait")
        took = time.monotonic() - begun
        most = peak.end()
        leech.end()
        shutil.rmtree(f"{self.work}/leech")
        return took, most

    def end(self):
        if self.seeding:
            self.seeding.end()
            shutil.rmtree(f"{self.work}/seed")


class Libtorrent:
    def __init__(self, python):
        self.python, self.name, self.seeding = python, "libtorrent", None

    def session(self):
        return Process([self.python, SESSION, json.dumps(FAST)])

    def run(self, session, **command):
        return session.ask(json.dumps(command))

    def seed(self, torrent, file):
        self.seeding = self.session()
        self.port = self.run(self.seeding, do="listen")["port"]
        self.run(self.seeding, do="add", torrent=torrent, folder=os.path.dirname(file), believed=True)

    def fetch(self, torrent, folder, port):
        leech = self.session()
        self.run(leech, do="listen")
        peak, begun = Peak(leech.process.pid), time.monotonic()
        self.run(leech, do="add", torrent=torrent, folder=folder)
        self.run(leech, do="connect", ip="127.0.0.1", port=port)
        answer = self.run(leech, do="wait", seconds=600)
        took = time.monotonic() - begun
        assert answer["complete"], answer
        most = peak.end()
        leech.end()
        return took, most

    def end(self):
        if self.seeding:
            self.seeding.end()


def measure(programs, options, work, tracker, mib):
    """Returns rates in MB/s and peaks in MiB by program and round trip, for a file of `mib` MiB."""
    file, torrent = f"{work}/file", f"{work}/torrent"
    with open(file, "wb") as out:
        for _ in range(mib):
            out.write(random.randbytes(1 << 20))
    subprocess.run(
        [os.path.abspath(options.new), "torrent", "create", file, "-o", torrent, "-t", tracker.url, "--private", "--force"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    found = {}
    proxies = []
    try:
        ports = {}
        for program in programs:
            program.seed(torrent, file)
            for ms in options.ms:
                ports[program.name, ms] = program.port
                if ms:
                    ports[program.name, ms] = free_port()
                    to, through = f"127.0.0.1:{program.port}", f"127.0.0.1:{ports[program.name, ms]}"
                    proxies.append(subprocess.Popen([options.delay, through, to, str(ms / 2), str(options.rate)]))
        time.sleep(0.5)
        for number in range(options.rounds):
            for ms in options.ms:
                for program in programs:
                    folder = tempfile.mkdtemp(dir=work)
                    took, most = program.fetch(torrent, folder, ports[program.name, ms])
                    shutil.rmtree(folder)
                    rate = mib * (1 << 20) / took / 1e6
                    found.setdefault((ms, program.name), []).append((rate, most))
                    load = os.getloadavg()[0]
                    print(f"# {mib} MiB, {ms} ms, {program.name}: {rate:.1f} MB/s, {most:.1f} MiB, load {load:.1f}", file=sys.stderr, flush=True)
    finally:
        for proxy in proxies:
            proxy.terminate()
            proxy.wait()
        for program in programs:
            program.end()
    os.remove(file)
    return found


def print_table(found, programs, mib, options):
    for ms in options.ms:
        cells = []
        for program in programs:
            rates, peaks = zip(*found[ms, program.name])
            middle, low, high = statistics.median(rates), min(rates), max(rates)
            cells.append(f"{middle:.1f} ({low:.1f} to {high:.1f}); {statistics.median(peaks):.1f} MiB")
        print(f"| {mib:,} MiB | {f'{ms} ms' if ms else 'near'} | {' | '.join(cells)} |", flush=True)


def arguments():
    def numbers(text):
        return [int(number) for number in text.split(",")]

    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("delay")
    parser.add_argument("new")
    parser.add_argument("old", nargs="?")
    parser.add_argument("--python", default=os.environ.get("PIECEFUL_INTEROP_PYTHON"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ms", type=numbers, default=[100, 200])
    parser.add_argument("--mib", type=numbers, default=[256, 1024])
    parser.add_argument("--rate", type=int, default=125_000_000)
    options = parser.parse_args()
    options.delay = os.environ["DELAY"] if options.delay == "-" else options.delay
    return options


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    work = tempfile.mkdtemp(dir="/dev/shm")
    try:
        tracker = Tracker()
        programs = [Pieceful(options.old, "old", work, tracker)] if options.old else []
        programs.append(Pieceful(options.new, "new", work, tracker))
        if options.python:
            programs.append(Libtorrent(options.python))
        print(f"| file | round trip | {' | '.join(f'{program.name}, MB/s; leech' for program in programs)} |")
        print(f"|---|---|{'---|' * len(programs)}", flush=True)
        for mib in options.mib:
            print_table(measure(programs, options, work, tracker, mib), programs, mib, options)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
