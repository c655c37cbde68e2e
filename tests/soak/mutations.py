"""Takes out each defence, and expects that the test that guards it fails.

usage: mutations.py [NAME...]

A patch `tests/mutations/NAME.patch` begins with two lines: `# defence: SENTENCE` says what it takes
out, and `# test: cargo test ...` runs the test that must fail. Works in a copy of the last commit.
Exit code 1 if a patch does not apply or does not compile, or if its test passes or hangs.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATCHES = ROOT / "tests" / "mutations"
# A test that takes longer hangs. Building is not part of this time.
LIMIT = 300


class Patch:
    def __init__(self, path):
        self.name, self.path = path.stem, path
        head = path.read_text().splitlines()[:2]
        self.defence = head[0].removeprefix("# defence: ")
        self.test = head[1].removeprefix("# test: ").split()
        if self.defence == head[0] or self.test[:2] != ["cargo", "test"]:
            raise SystemExit(f"error: {path}: the first two lines name no defence and no test")


def run(command, folder, environment, limit=None):
    """Runs a command. Returns its exit code and its output; the code is None after the limit."""
    try:
        done = subprocess.run(command, cwd=folder, env=environment, text=True, timeout=limit,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout


def build_of(test):
    """The same command, but it only builds."""
    end = test.index("--") if "--" in test else len(test)
    return test[:end] + ["--no-run"]


def judge(patch, copy, environment):
    """Returns what is wrong with a patch, or None."""
    code, output = run(["git", "apply", str(patch.path)], copy, environment)
    if code:
        return f"does not apply: {output.strip()}"
    code, output = run(build_of(patch.test), copy, environment)
    if code:
        return f"does not compile:\n{output[-2000:]}"
    code, output = run(patch.test, copy, environment, LIMIT)
    if code is None:
        return f"its test hangs: {' '.join(patch.test)}"
    if code == 0:
        ran = re.search(r"[1-9]\d* passed", output)
        why = "passes" if ran else "does not exist"
        return f"its test {why}: {' '.join(patch.test)}"
    if "test result: FAILED" not in output:
        return f"its test did not run:\n{output[-2000:]}"
    return None


def main():
    names = sys.argv[1:] or sorted(path.stem for path in PATCHES.glob("*.patch"))
    patches = [Patch(PATCHES / f"{name}.patch") for name in names]
    environment = dict(os.environ)
    target = environment.get("CARGO_TARGET_DIR", ROOT / "target")
    environment["CARGO_TARGET_DIR"] = str(pathlib.Path(target).resolve() / "mutations")
    environment["RUST_BACKTRACE"] = "0"
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="pieceful-mutations-") as folder:
        copy = pathlib.Path(folder) / "copy"
        add = ["git", "worktree", "add", "--quiet", "--detach", str(copy), "HEAD"]
        subprocess.run(add, cwd=ROOT, check=True)
        try:
            for patch in patches:
                fault = judge(patch, copy, environment)
                subprocess.run(["git", "checkout", "--quiet", "."], cwd=copy, check=True)
                print(f"{'WRONG' if fault else 'ok':5}  {patch.name}: {fault or patch.defence}", flush=True)
                wrong += fault is not None
        finally:
            remove = ["git", "worktree", "remove", "--force", str(copy)]
            subprocess.run(remove, cwd=ROOT, check=False)
    print(f"{len(patches)} patches, {wrong} wrong")
    sys.exit(1 if wrong else 0)


main()
