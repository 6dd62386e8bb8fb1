# SPDX-License-Identifier: MIT
"""What the tests of programs share. The first argument of a test is the folder of the programs."""

import os
import subprocess
import sys

failures = 0


def check(what, holds, seen=""):
    global failures
    if not holds:
        failures += 1
        print(f"FAILED: {what}\n{seen}", flush=True)


def run(program, *arguments):
    """The exit status, and what was printed on either stream."""
    path = os.path.join(sys.argv[1], program)
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, errors="replace", timeout=300)
    return done.returncode, done.stdout + done.stderr


def is_refusal(status, text):
    """Whether a program ended with the exit code of its complaint: 1 where a file is at fault, 2 where options are."""
    return status == (1 if ": file '" in text else 2)


def end():
    """Says whether all checks held. Returns the exit status of the test."""
    print("all agree" if failures == 0 else f"{failures} failed")
    return 0 if failures == 0 else 1
