"""The trackers and peers of a soak: real processes, which a fault may end at any moment."""

import json
import os
import pathlib
import queue
import random
import signal
import subprocess
import threading
import time

# A command that takes longer has hung.
COMMAND_LIMIT = 240


class Gone(Exception):
    """The process ended before it answered."""


class Program:
    """A process that is started again whenever it ends, until `close`."""

    def __init__(self, label):
        self.label = label
        self.process = None
        self.since = 0.0

    def spawn(self, arguments, folder, environment=None):
        """Starts the process. What it writes to standard error goes to a file beside its state."""
        errors = open(folder / f"{self.label}.err", "ab")
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            cwd=folder, env={**os.environ, **(environment or {})}, text=True, bufsize=1,
        )
        errors.close()
        self.since = time.monotonic()

    def signal(self, number):
        """Sends a signal if the process still runs."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    def close(self):
        """Ends the process gracefully. Returns its exit code, or None if it had to be killed."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


class Trackers:
    """Two trackers of one cluster. Each start has a new port, which goes into TRACKER_INFO."""

    def __init__(self, binary, folder, options):
        self.binary, self.folder, self.options = binary, folder, options
        self.info = folder / "tracker_info.txt"
        self.lock = threading.Lock()
        self.addresses = ["127.0.0.1:0"] * 2
        self.write_info()
        self.programs = [Program("tracker1"), Program("tracker2")]
        self.stopping = threading.Event()
        self.threads = []
        for number in (1, 2):
            self.start(number)
            thread = threading.Thread(target=self.keep_running, args=(number,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def write_info(self):
        new = self.info.with_suffix(".new")
        new.write_text("".join(f"{address}\n" for address in self.addresses))
        new.rename(self.info)

    def data(self, number):
        return self.folder / f"data{number}"

    def start(self, number):
        program = self.programs[number - 1]
        arguments = [self.binary, "tracker", self.info, str(number), "--listen", "127.0.0.1:0",
                     "--data", self.data(number)]
        arguments += self.options["arguments"]
        environment = self.options["environment"] if number == 1 else None
        program.spawn([str(word) for word in arguments], self.folder, environment)
        first = program.process.stdout.readline()
        if " listening on " in first:
            with self.lock:
                self.addresses[number - 1] = first.split()[-1]
                self.write_info()

    def keep_running(self, number):
        program = self.programs[number - 1]
        while True:
            program.process.wait()
            if self.stopping.wait(random.uniform(0, 5)):
                return
            self.start(number)

    def close(self):
        self.stopping.set()
        codes = [program.close() for program in self.programs]
        for thread in self.threads:
            thread.join(60)
        return codes


class Peer(Program):
    """A peer that reads commands from a pipe and answers in JSON."""

    def __init__(self, binary, number, folder, info, downloads, options=()):
        super().__init__(f"peer{number}")
        self.user = f"user{number}"
        self.files = folder / f"{self.label}.files"
        self.downloads = pathlib.Path(downloads)
        self.files.mkdir()
        self.downloads.mkdir(exist_ok=True)
        self.folder = folder
        self.arguments = [str(binary), "peer", "127.0.0.1:0", str(info), "--json",
                          "--dir", str(folder / f"{self.label}.state"), *options]
        self.start()

    def start(self):
        self.spawn(self.arguments, self.folder)
        self.answers = queue.Queue()
        threading.Thread(target=self.read, args=(self.process, self.answers), daemon=True).start()

    @staticmethod
    def read(process, answers):
        for line in process.stdout:
            # A process that is killed may leave the beginning of a line.
            if line.startswith("{") and line.endswith("\n"):
                answers.put(json.loads(line))
        answers.put(None)

    def ask(self, command):
        """Runs a command. Returns its object. Fails with `Gone` if the peer ends meanwhile."""
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise Gone from None
        try:
            answer = self.answers.get(timeout=COMMAND_LIMIT)
        except queue.Empty:
            raise AssertionError(f"{self.label} has not answered {command!r}") from None
        if answer is None:
            raise Gone
        return answer

    def restart(self):
        """Starts the peer again after a fault has ended it."""
        self.process.wait()
        time.sleep(random.uniform(0, 5))
        self.start()
