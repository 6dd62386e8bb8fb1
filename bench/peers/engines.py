# SPDX-License-Identifier: MIT
"""Engines as processes that answer every line with a time, so that they can be timed in turns on the same cores."""

import array
import statistics
import subprocess
import time

PAUSE = 0.03  # seconds until the idle threads of the engine before have stopped spinning
TURN = 0.25  # seconds that a turn lasts at least


class EngineFailure(Exception):
    """An engine that ended, with what it said last."""


class Engine:
    """A running process. It computes once, writes its output, says "ready", and computes again for every line."""

    def __init__(self, label, command, environment=None, output=None):
        self.label, self.output = label, output
        self.times, self.answers = [], []
        self.process = subprocess.Popen([str(word) for word in command], env=environment, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            said = self.process.stderr.read().strip().splitlines()
            raise EngineFailure(said[-1] if said else f"ended with status {self.process.wait()}")
        return line.split()

    def wait_until_ready(self):
        self._read()

    def compute(self):
        """One pass or step: milliseconds, and whatever else the engine answers."""
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # _read tells why
        return [float(word) for word in self._read()]

    def result(self):
        """What it computed first."""
        with open(self.output, "rb") as file:
            return array.array("f", file.read())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    @property
    def median(self):
        return statistics.median(self.times)


def start(engines):
    """Waits until all are ready. Returns those that are; says what became of the others."""
    ready = []
    for engine in engines:
        try:
            engine.wait_until_ready()
            ready.append(engine)
        except EngineFailure as failure:
            print(f"  {engine.label} left out: {failure}")
            engine.close()
    return ready


def take_turns(engines, rounds):
    """Every round each engine has a turn: one pass that does not count, then passes until the turn is over."""
    for turn in range(rounds):
        for engine in engines if turn % 2 == 0 else reversed(engines):
            time.sleep(PAUSE)
            engine.compute()
            end = time.monotonic() + TURN
            while True:
                engine.times.append(engine.compute()[0])
                if time.monotonic() >= end:
                    break


def relative_difference(found, expected):
    """The largest difference, in standard deviations of what is expected."""
    if len(found) != len(expected):
        return float("inf")
    difference = max(abs(a - b) for a, b in zip(found, expected))
    return difference / statistics.pstdev(expected) if difference == difference else float("inf")
