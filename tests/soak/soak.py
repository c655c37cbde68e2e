"""Two trackers, ten peers, random work, and a fault every 15 seconds.

usage: soak.py BINARY MINUTES [SEED]

Each acknowledged write must be there at the end, each complete download must be right, and no
process may grow. Exit code 1 if there is a finding. `.ci/soak` calls this program.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from growth import Growth
from processes import Peer, Trackers
from worker import Oracle, Worker

PEERS = 10
FAULT_EVERY = 15
PASSWORD = "correct horse"
HERE = pathlib.Path(__file__).parent


def mount(folder, size):
    """Mounts a file system in memory. Returns whether this is allowed here."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


class Soak:
    def __init__(self, binary, folder, seed):
        self.binary, self.folder = binary, folder
        self.random = random.Random(seed)
        self.clock = folder / "clock"
        self.clock.write_text("0\n")
        library = folder / "clock.so"
        source = str(HERE / "clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True)
        # The state of tracker 2 and the downloads of the last peer are on small disks.
        self.small = [(folder / "data2", "600m"), (folder / f"peer{PEERS}.down", "48m")]
        self.may_mount = all([mount(path, size) for path, size in self.small])
        self.trackers = Trackers(binary, folder, {
            "arguments": ["--interval", "5"],
            "environment": {"LD_PRELOAD": str(library), "SOAK_CLOCK": str(self.clock)},
        })
        self.oracle = Oracle()
        self.peers = [
            Peer(binary, number, folder, self.trackers.info, folder / f"peer{number}.down")
            for number in range(1, PEERS + 1)
        ]
        self.workers = [Worker(peer, self.oracle, f"{seed}-{peer.label}") for peer in self.peers]
        self.growth = Growth()
        self.faults = []
        self.rows = 0

    def programs(self):
        return self.trackers.programs + self.peers

    def set_up(self):
        """Each user has an account, and all are members of the group `lab`."""
        owner = self.workers[0]
        for worker in self.workers:
            user = worker.peer.user
            worker.until_done(f"create_user {user} '{PASSWORD}'", ("name-taken",))
            worker.until_done(f"login {user} '{PASSWORD}'", ())
        owner.until_done("create_group lab", ("name-taken",))
        for worker in self.workers[1:]:
            worker.until_done("join_group lab", ("already-requested", "already-a-member"))
            owner.until_done(f"accept_request lab {worker.peer.user}", ("already-a-member",))

    def run(self, minutes):
        end = time.monotonic() + minutes * 60
        for worker in self.workers:
            worker.start()
        # A third and two thirds into the soak.
        special = [(end - minutes * 40, self.fill_disks), (end - minutes * 20, self.move_clock)]
        next_fault = time.monotonic() + FAULT_EVERY
        while time.monotonic() < end:
            time.sleep(1)
            self.growth.sample(self.programs())
            if special and time.monotonic() >= special[0][0]:
                threading.Thread(target=special.pop(0)[1], daemon=True).start()
            if time.monotonic() >= next_fault:
                self.fault()
                next_fault += FAULT_EVERY

    def fault(self):
        """Kills a process, or stops it for some seconds."""
        program = self.random.choice(self.programs())
        if self.random.random() < 0.5:
            self.note(f"{program.label} is killed")
            program.signal(signal.SIGKILL)
            return
        seconds = self.random.uniform(1, 12)
        self.note(f"{program.label} is stopped for {seconds:.0f} s")
        process = program.process
        program.signal(signal.SIGSTOP)
        timer = threading.Timer(seconds, lambda: process.poll() is None
                                and process.send_signal(signal.SIGCONT))
        timer.daemon = True
        timer.start()

    def note(self, text):
        self.faults.append(text)
        print(f"{time.strftime('%H:%M:%S')} {text}; {self.oracle.verified} downloads verified",
              flush=True)

    def fill_disks(self):
        """Fills the small disks for 40 s."""
        if not self.may_mount:
            self.note("no file system can be mounted here, so no disk becomes full")
            return
        self.note("the disks of tracker 2 and of the last peer become full")
        ballast = [path / "ballast" for path, _ in self.small]
        for path in ballast:
            with open(path, "wb", buffering=0) as file:
                try:
                    while file.write(bytes(1 << 20)):
                        pass
                except OSError:
                    pass
        time.sleep(40)
        for path in ballast:
            path.unlink()
        self.note("the disks have room again")

    def move_clock(self):
        """Moves the clock of tracker 1 by two hours, for a minute."""
        self.note("the clock of tracker 1 jumps forward by two hours")
        self.clock.write_text("7200\n")
        time.sleep(60)
        self.clock.write_text("0\n")
        self.note("the clock of tracker 1 is right again")

    def settle(self):
        """Lets all downloads complete, without faults."""
        for worker in self.workers:
            worker.stop.set()
        for program in self.programs():
            program.signal(signal.SIGCONT)
        for worker in self.workers:
            worker.settle.set()
        for worker in self.workers:
            if not worker.settled.wait(600):
                self.oracle.finding(f"{worker.peer.label} does not end its work")

    def close(self):
        for peer in self.peers:
            if peer.close() is None:
                self.oracle.finding(f"{peer.label} did not stop within 60 s")
        if None in self.trackers.close():
            self.oracle.finding("a tracker did not stop within 60 s")

    def check_registry(self):
        """Compares both registries with what was acknowledged."""
        for number in (1, 2):
            dump = [self.binary, "tracker", "--data", str(self.trackers.data(number)), "--dump"]
            dump = json.loads(subprocess.run(dump, capture_output=True, check=True).stdout)
            self.rows = sum(len(rows) for rows in dump.values() if isinstance(rows, list))
            lab = next(group["id"] for group in dump["groups"] if group["label"] == "lab")
            shares = {row["name"] for row in dump["shares"]
                      if row["group"] == lab and row["withdrawn"] is None}
            groups = {row["label"] for row in dump["groups"] if row["owner"] is not None}
            self.compare(f"tracker {number}", self.oracle.shares, "published", "withdrawn", shares)
            self.compare(f"tracker {number}", self.oracle.groups, "made", "ended", groups)

    def compare(self, where, table, there, gone, found):
        for name, state in table.items():
            if state == there and name not in found:
                self.oracle.finding(f"{where}: {name} was acknowledged and is lost")
            if state == gone and name in found:
                self.oracle.finding(f"{where}: {name} was removed and is there")

    def report(self):
        table, grown = self.growth.report(self.rows)
        for text in grown:
            self.oracle.finding(f"growth: {text}")
        shares, groups = self.oracle.shares.values(), self.oracle.groups.values()
        print(f"\n{len(self.faults)} faults; {len(shares)} shares offered, "
              f"{len(groups)} groups, {self.oracle.verified} downloads verified; the last "
              f"downloads ended {max(worker.slowest for worker in self.workers):.0f} s after the "
              f"last fault; the registry has {self.rows} rows\n")
        print(table)
        print("\nerrors of commands:")
        for key, (count, message) in sorted(self.oracle.errors.items()):
            print(f"  {count:6} {key}: {message}")
        print(f"\n{len(self.oracle.findings)} findings")
        for text in self.oracle.findings:
            print(f"  {text}")
        return 1 if self.oracle.findings else 0


def main():
    binary, minutes = os.path.abspath(sys.argv[1]), float(sys.argv[2])
    seed = sys.argv[3] if len(sys.argv) > 3 else str(random.randrange(1 << 32))
    print(f"seed {seed}, {minutes:g} minutes, {PEERS} peers", flush=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pieceful-soak-"))
    soak = Soak(binary, folder, seed)
    try:
        soak.set_up()
        soak.run(minutes)
        soak.settle()
        soak.close()
        soak.check_registry()
        code = soak.report()
    except BaseException:
        soak.close()
        print(f"logs are in {folder}", flush=True)
        raise
    if code == 0:
        for path, _ in soak.small:
            subprocess.run(["umount", str(path)], stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"logs are in {folder}")
    sys.exit(code)


main()
