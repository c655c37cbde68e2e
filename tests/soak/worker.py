"""One user with one peer: random uploads, downloads and removals, and what was acknowledged."""

import hashlib
import os
import random
import threading
import time

from processes import Gone

# Errors that a fault can cause. Any other error of a command is a finding.
EXPECTED = {
    "unreachable", "not-serving", "starting", "busy", "slow-down", "full", "disk-full",
    "unknown-outcome", "interrupted", "stopping",
}
# How many shares of its own a user keeps, so that the cluster does not grow without end.
OWN_SHARES = 6
# How many complete downloads a user keeps, so that the disk does not become full.
KEPT_DOWNLOADS = 30
# The longest pause between two actions of a user, in seconds.
PAUSE = 1.0
# How long downloads may take to complete once there are no faults any more, in seconds.
SETTLE_LIMIT = 240
# Sizes of files in bytes: less than a piece, a few pieces, many.
SIZES = [10_000, 700_000, 6_000_000]


class Oracle:
    """What the users know for sure. A write without an answer is neither done nor undone."""

    def __init__(self):
        self.lock = threading.Lock()
        # The SHA-1 of each file that was offered, by name.
        self.digests = {}
        # "published", "withdrawn", or "unknown" if an answer was lost.
        self.shares = {}
        # "made", "ended" or "unknown".
        self.groups = {}
        self.verified = 0
        self.errors = {}
        self.findings = []

    def finding(self, text):
        with self.lock:
            self.findings.append(text)
        print(f"FINDING: {text}", flush=True)

    def count(self, command, kind, message=""):
        """Counts an error of a command, and keeps the last message of each kind."""
        with self.lock:
            key = f"{command.split()[0]}: {kind}"
            self.errors[key] = (self.errors.get(key, (0, ""))[0] + 1, message)

    def published(self):
        with self.lock:
            return [name for name, state in self.shares.items() if state == "published"]


class Worker(threading.Thread):
    """Drives a peer until `stop`, and then until its downloads are complete."""

    def __init__(self, peer, oracle, seed):
        super().__init__(name=peer.label, daemon=True)
        self.peer, self.oracle = peer, oracle
        self.random = random.Random(seed)
        self.stop, self.settle, self.settled = (threading.Event() for _ in range(3))
        self.serial, self.slowest = 0, 0.0
        # Names of downloads that are under way, and those that were verified.
        self.wanted, self.here = set(), set()

    def ask(self, command):
        """Runs a command. Returns its object, or None if the peer ended before it answered."""
        try:
            answer = self.peer.ask(command)
        except Gone:
            self.peer.restart()
            self.oracle.count(command, "peer ended")
            return None
        if not answer["ok"]:
            self.oracle.count(command, answer["error"]["kind"], answer["error"]["message"])
        return answer

    def until_done(self, command, done=()):
        """Repeats a command until it succeeds, or fails with a kind that means the same."""
        while True:
            answer = self.ask(command)
            if answer and (answer["ok"] or answer["error"]["kind"] in done):
                return answer
            time.sleep(0.5)

    def write(self, table, name, states, command):
        """Runs a command that changes the registry. `states`: while it runs, and once it is done."""
        with self.oracle.lock:
            table[name] = "unknown"
        answer = self.ask(command)
        if answer and answer["ok"]:
            with self.oracle.lock:
                table[name] = states
        elif answer and answer["error"]["kind"] not in EXPECTED:
            self.oracle.finding(f"{self.peer.label}: {command}: {answer['error']}")
        return answer

    def run(self):
        try:
            while not self.stop.is_set():
                actions = [self.upload, self.download, self.download, self.withdraw, self.group]
                self.random.choice(actions)()
                self.check_downloads()
                self.stop.wait(self.random.uniform(0, PAUSE))
            self.settle.wait()
            begun = time.monotonic()
            while self.check_downloads() and time.monotonic() < begun + SETTLE_LIMIT:
                time.sleep(1)
            self.slowest = time.monotonic() - begun
            for name in self.check_downloads():
                self.oracle.finding(f"{self.peer.label}: the download of {name} did not end")
        except Exception as error:
            self.oracle.finding(f"{self.peer.label}: {type(error).__name__}: {error}")
        self.settled.set()

    def upload(self):
        self.serial += 1
        name = f"{self.peer.user}-{self.serial}"
        content = os.urandom(self.random.choice(SIZES))
        (self.peer.files / name).write_bytes(content)
        with self.oracle.lock:
            self.oracle.digests[name] = hashlib.sha1(content).hexdigest()
        command = f"upload_file lab {self.peer.files / name}"
        self.write(self.oracle.shares, name, "published", command)

    def withdraw(self):
        own = [name for name in self.oracle.published() if name.startswith(self.peer.user + "-")]
        if len(own) > OWN_SHARES:
            name = self.random.choice(own)
            self.write(self.oracle.shares, name, "withdrawn", f"stop_share lab {name}")
            if self.oracle.shares[name] == "withdrawn":
                (self.peer.files / name).unlink()

    def group(self):
        """Makes a group, or ends one."""
        with self.oracle.lock:
            own = [name for name, state in self.oracle.groups.items()
                   if state == "made" and name.startswith(self.peer.user + "-")]
        if len(own) > 2:
            self.write(self.oracle.groups, own[0], "ended", f"leave_group {own[0]} --yes")
        else:
            self.serial += 1
            name = f"{self.peer.user}-g{self.serial}"
            self.write(self.oracle.groups, name, "made", f"create_group {name}")

    def download(self):
        others = [name for name in self.oracle.published()
                  if not name.startswith(self.peer.user + "-")]
        new = [name for name in others if name not in self.wanted | self.here]
        if len(self.wanted) < 4 and len(self.here) < KEPT_DOWNLOADS and new:
            name = self.random.choice(new)
            answer = self.ask(f"download_file lab {name} {self.peer.downloads}")
            if answer is None or answer["ok"]:
                self.wanted.add(name)
            elif answer["error"]["kind"] not in EXPECTED | {"unknown-share", "storage", "record"}:
                self.oracle.finding(f"{self.peer.label}: download of {name}: {answer['error']}")
        elif self.here:
            self.forget(self.random.choice(sorted(self.here)))

    def forget(self, name):
        """Stops sharing a complete download, and removes it."""
        answer = self.ask(f"stop_share lab {name} --here")
        if answer and (answer["ok"] or answer["error"]["kind"] in ("unknown-share", "no-such-share")):
            self.here.discard(name)
            path = self.peer.downloads / name
            path.unlink(True)

    def check_downloads(self):
        """Verifies complete downloads. Returns the names of those that should still complete."""
        answer = self.ask("show_downloads")
        if answer is None or not answer["ok"]:
            return set(self.wanted)
        known = {download["name"]: download for download in answer["downloads"]}
        for name in sorted(self.wanted):
            state = known.get(name, {}).get("state")
            with self.oracle.lock:
                is_published = self.oracle.shares[name] == "published"
            if state == "complete":
                self.verify(name, known[name]["path"])
            elif not is_published:
                # Nobody has to serve it any more.
                self.ask(f"cancel {name}")
                self.wanted.discard(name)
            elif state == "failed":
                self.oracle.finding(f"{self.peer.label}: {name} failed: {known[name].get('reason')}")
                self.wanted.discard(name)
            elif state is None:
                # The answer to the command was lost, and the download has not begun.
                self.wanted.discard(name)
        return set(self.wanted)

    def verify(self, name, path):
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha1").hexdigest()
        if digest != self.oracle.digests[name]:
            self.oracle.finding(f"{self.peer.label}: {name} is complete and has other content")
        with self.oracle.lock:
            self.oracle.verified += 1
        self.wanted.discard(name)
        self.here.add(name)
