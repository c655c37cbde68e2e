"""One publisher and six mirrors, then seven, keep a share current through faults.

usage: fleet.py BINARY [--small]

Real processes on loopback: two trackers, a publisher and machines that mirror its group. Checks
what each version costs, and that each machine has the right bytes after each fault. `--small` uses
a tenth of the data. Prints a table of figures. Exit code 1 if something is wrong.
"""

import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "soak"))

from processes import Peer, Trackers  # noqa: E402

MIB = 1 << 20
# The piece length of a share of this size.
PIECE = 512 << 10
PASSWORD = "correct horse"
# A step that takes longer has failed.
LIMIT = 200


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def until(condition, text, limit=LIMIT):
    """Waits until `condition` returns something, and returns it."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {limit} s: {text}")


def digest(folder):
    """The SHA-1 of all files below a folder, by their paths."""
    table = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with open(path, "rb") as file:
                table[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha1").hexdigest()
    return table


def disk_used(folder):
    """The used bytes of a file system. Reflinks and hard links count once."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def from_others(download):
    """The verified bytes of a download that came from other machines."""
    return sum(count for source, count in download["from"].items() if source != "disk")


class Machine(Peer):
    """A peer that mirrors the group into a folder."""

    def run(self, command):
        answer = self.ask(command)
        check(answer["ok"], f"{self.label}: {command}: {answer.get('error')}")
        return answer

    def log_in(self):
        self.run(f"create_user {self.user} '{PASSWORD}'")
        self.run(f"login {self.user} '{PASSWORD}'")

    def join(self, owner):
        self.log_in()
        self.run("join_group lab")
        owner.run(f"accept_request lab {self.user}")

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def version(self, name, number):
        """The download of one version of a share, if this machine has it."""
        for download in self.run("show_downloads")["downloads"]:
            if download["name"] == name and download["version"] == number:
                return download
        return None

    def fetched(self, name, number):
        """The bytes of a version that came from other machines."""
        return from_others(self.version(name, number))


class DiskGauge:
    """The most that the disk of a folder is fuller while something happens."""

    def __init__(self, folder):
        self.folder, self.most = folder, 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.measure, daemon=True)

    def measure(self):
        while not self.stop.is_set():
            self.most = max(self.most, disk_used(self.folder))
            self.stop.wait(0.2)

    def __enter__(self):
        self.before = disk_used(self.folder)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.more = max(self.most - self.before, 0)


class Fleet:
    def __init__(self, binary, folder, scale):
        self.binary, self.folder, self.scale = binary, folder, scale
        self.trackers = Trackers(binary, folder, {"arguments": ["--interval", "5"],
                                                  "environment": None})
        # So slow that a version can be caught in the middle of its download.
        self.publisher = self.machine(1, ["--up", f"{40 // scale}M"])
        self.mirrors = []
        self.data = folder / "set"
        self.large = self.data / "large.bin"
        self.published = 0
        self.table = []
        self.mounted = None

    def machine(self, number, options=()):
        return Machine(self.binary, number, self.folder, self.trackers.info,
                       self.folder / f"peer{number}.down", options)

    # Data.

    def make_data(self):
        """3,000 files of 100 KB and one of 300 MB."""
        for number in range(3000 // self.scale):
            path = self.data / f"part{number % 30:02}" / f"{number:04}.dat"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(100_000))
        with open(self.large, "wb") as file:
            for _ in range(300 // self.scale):
                file.write(os.urandom(1_000_000))

    def change_files(self, count):
        for number in range(count):
            path = self.data / f"part{number % 30:02}" / f"{number:04}.dat"
            path.write_bytes(os.urandom(100_000))

    def rewrite_large(self, offset, length):
        with open(self.large, "r+b") as file:
            file.seek(offset)
            file.write(os.urandom(length))

    # Steps.

    def begin(self):
        self.make_data()
        self.publisher.log_in()
        self.publisher.run("create_group lab")
        for number in range(2, 8):
            self.add_mirror(number)
        self.publish()
        self.wait_for_all()
        self.check_all()

    def add_mirror(self, number):
        mirror = self.machine(number)
        mirror.join(self.publisher)
        mirror.run(f"mirror lab '{mirror.downloads}' --prune --prune-after 0 --min-free 0")
        self.mirrors.append(mirror)
        return mirror

    def publish(self):
        update = "--update" if self.published else ""
        self.publisher.run(f"upload_file lab '{self.data}' {update}")
        self.published += 1
        return time.monotonic()

    def wait_for_all(self, asked=None):
        asked = asked or self.publisher
        answer = asked.run(f"wait_for lab set --on all {LIMIT} --strict")
        return answer

    def check_all(self):
        expected = digest(self.data)
        for mirror in self.mirrors:
            found = digest(mirror.downloads / "set")
            wrong = [path for path in expected.keys() | found.keys()
                     if expected.get(path) != found.get(path)]
            check(not wrong, f"{mirror.label} has other bytes: {wrong[:5]}")

    def total(self):
        return sum(path.stat().st_size for path in self.data.rglob("*") if path.is_file())

    def update(self, what, most):
        """Publishes a version. Each machine may fetch at most this number of bytes."""
        begun = self.publish()
        with DiskGauge(self.mirrors[0].downloads) as disk:
            self.wait_for_all()
        seconds = time.monotonic() - begun
        self.check_all()
        fetched = [mirror.fetched("set", self.published) for mirror in self.mirrors]
        self.table.append((what, max(fetched), self.total(), seconds, disk.more))
        check(max(fetched) <= most, f"{what}: fetched {fetched}, at most {most} are allowed")

    def small_change(self):
        self.change_files(30 // self.scale)
        self.rewrite_large(100_000_000 // self.scale, 1_000_000)
        self.update("30 files and 1 MB changed", self.total() * 3 // 100)

    def append(self):
        with open(self.large, "ab") as file:
            file.write(os.urandom(1_000_000))
        self.update("1 MB appended", 1_000_000 + 2 * PIECE)

    def seventh(self):
        """A machine joins, and catches up while the publisher is off."""
        mirror = self.machine(8)
        mirror.join(self.publisher)
        self.publisher.signal(signal.SIGTERM)
        self.publisher.process.wait(60)
        mirror.run(f"mirror lab '{mirror.downloads}' --min-free 0")
        self.mirrors.append(mirror)
        self.wait_for_all(self.mirrors[0])
        self.check_all()
        self.publisher.start()

    def under_way(self, mirror, number):
        """Whether a mirror has fetched a part of a version, but not all of it."""
        download = mirror.version("set", number)
        return download and download["state"] == "downloading" and \
            from_others(download) > 0

    def kills(self):
        """Two mirrors and a tracker are killed while a large version is on its way."""
        self.rewrite_large(0, 100_000_000 // self.scale)
        begun = self.publish()
        killed = self.mirrors[1:3]
        for mirror in killed:
            until(lambda: self.under_way(mirror, self.published), f"{mirror.label} fetches")
            mirror.kill()
        self.trackers.programs[0].signal(signal.SIGKILL)
        for mirror in killed:
            mirror.start()
        self.wait_for_all()
        self.table.append(("100 MB changed; two mirrors and a tracker killed", None, self.total(),
                           time.monotonic() - begun, None))
        self.check_all()

    def full_disk(self):
        """The disk of a mirror fills while a version is on its way, and is freed."""
        small = self.folder / "small"
        small.mkdir()
        size = self.total() * 5 // 2
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)]
        if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
            print("no file system can be mounted here, so no disk becomes full", flush=True)
            return
        self.mounted = small
        mirror = self.mirrors[-1]
        mirror.run("unmirror lab")
        mirror.run("stop_share lab set --here")
        mirror.downloads = small / "down"
        mirror.run(f"mirror lab '{mirror.downloads}' --min-free 5")
        self.wait_for_all()
        ballast = small / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            try:
                while file.write(bytes(MIB)):
                    pass
            except OSError:
                pass
        self.rewrite_large(50_000_000 // self.scale, 60_000_000 // self.scale)
        self.publish()
        until(lambda: self.says(mirror, "--min-free"), f"{mirror.label} says that its disk is full")
        ballast.unlink()
        self.wait_for_all()
        self.check_all()

    @staticmethod
    def says(mirror, word):
        return word in str(mirror.run("status")["mirrors"])

    def withdrawn(self):
        """A share is withdrawn while it is downloaded."""
        gone = self.folder / "gone"
        gone.mkdir()
        for number in range(100 // self.scale):
            (gone / f"{number}.dat").write_bytes(os.urandom(1_000_000))
        self.publisher.run(f"upload_file lab '{gone}'")
        mirror = self.mirrors[0]
        until(lambda: mirror.version("gone", 1), f"{mirror.label} begins the download")
        self.publisher.run("stop_share lab gone")
        for mirror in self.mirrors[:6]:
            until(lambda: not mirror.version("gone", 1), f"{mirror.label} ends the download", 60)
            until(lambda: not list(mirror.downloads.glob("gone*")), f"{mirror.label} prunes it", 60)
        self.check_all()

    def superseded(self):
        """A version is superseded while it is downloaded."""
        self.rewrite_large(0, 100_000_000 // self.scale)
        self.publish()
        mirror = self.mirrors[0]
        until(lambda: self.under_way(mirror, self.published), f"{mirror.label} fetches")
        self.change_files(10)
        begun = self.publish()
        self.wait_for_all()
        self.table.append(("superseded in the middle", None, self.total(),
                           time.monotonic() - begun, None))
        self.check_all()

    def close(self):
        for machine in [self.publisher, *self.mirrors]:
            check(machine.close() is not None, f"{machine.label} does not stop")
        check(None not in self.trackers.close(), "a tracker does not stop")

    def clean_up(self):
        for program in [self.publisher, *self.mirrors]:
            if program.process.poll() is None:
                program.process.kill()
        self.trackers.close()
        if self.mounted:
            subprocess.run(["umount", str(self.mounted)], stderr=subprocess.DEVNULL)

    def report(self):
        print(f"\n{'version':50} {'fetched':>9} {'share':>9} {'seconds':>8} {'more disk, all':>15}")
        for what, fetched, total, seconds, disk in self.table:
            in_mb = [f"{'' if value is None else f'{value / 1e6:.1f} MB':>9}"
                     for value in (fetched, total)]
            more = "" if disk is None else f"{disk / 1e6:.1f} MB"
            print(f"{what:50} {in_mb[0]} {in_mb[1]} {seconds:8.1f} {more:>15}")


def main():
    binary = os.path.abspath(sys.argv[1])
    scale = 10 if "--small" in sys.argv else 1
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pieceful-fleet-"))
    fleet = Fleet(binary, folder, scale)
    steps = [fleet.begin, fleet.small_change, fleet.append, fleet.seventh, fleet.kills,
             fleet.full_disk, fleet.withdrawn, fleet.superseded, fleet.close]
    try:
        for step in steps:
            begun = time.monotonic()
            step()
            print(f"{step.__name__.replace('_', ' ')}: {time.monotonic() - begun:.0f} s",
                  flush=True)
        fleet.report()
    except BaseException:
        print(f"logs are in {folder}", flush=True)
        fleet.clean_up()
        raise
    fleet.clean_up()
    shutil.rmtree(folder, ignore_errors=True)


main()
