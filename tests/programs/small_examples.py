#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The small examples print the comment at their end, and examples/README.md shows them as they are:
ladder.py FOLDER_OF_PROGRAMS EXAMPLES.

Numbers may differ by one in their last place, as processors round differently; those of the training by half."""

import os
import re
import subprocess
import sys

from checks import check, end

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples")
README = os.path.join(EXAMPLES, "README.md")
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]\d+)?")


def source_of(example):
    with open(os.path.join(EXAMPLES, f"{example}.cpp")) as file:
        return file.read()


def expected_output(source):
    """The comment after `// Output:`, at the end."""
    parts = source.split("\n// Output:\n//\n")
    return [line[len("//   "):] for line in parts[1].splitlines()] if len(parts) == 2 else None


def last_place(number):
    digits = re.match(r"\d+(?:\.(\d+))?", number)[1] or ""
    exponent = int(number.split("e")[1]) if "e" in number else 0
    return 10.0 ** (exponent - len(digits))


def agree(expected, found, relative):
    if NUMBER.sub("#", " ".join(expected.split())) != NUMBER.sub("#", " ".join(found.split())):
        return False
    return all(
        abs(float(a) - float(b)) <= 1.01 * last_place(a) + relative * float(a)
        for a, b in zip(NUMBER.findall(expected), NUMBER.findall(found)))


def check_output(example):
    expected = expected_output(source_of(example))
    check(f"{example}.cpp ends with its output", expected)
    done = subprocess.run([os.path.join(sys.argv[1], example)], capture_output=True, text=True, timeout=300)
    check(f"{example} exits with 0", done.returncode == 0, done.stderr)
    found = done.stdout.splitlines()
    relative = 0.5 if example == "training_loop" else 0
    same = len(expected or []) == len(found) and all(agree(a, b, relative) for a, b in zip(expected, found))
    check(f"{example} prints the comment at its end", same, done.stdout)


def pieces(block):
    """The parts of a block of the README between lines of `...`, without indentation."""
    lines = [line.strip() for line in block.splitlines()]
    return [piece.strip() for piece in re.split(r"^\.\.\.$", "\n".join(lines), flags=re.M)]


def check_readme(example, text):
    """The section of the README about an example shows only code and output that the example contains."""
    source = source_of(example)
    code = "\n".join(line.strip() for line in source.splitlines())
    output = "\n".join(line.strip() for line in expected_output(source) or [])
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.M | re.S):
        for piece in pieces(block):
            if kind in ("cpp", ""):
                check(f"README, {example}: is as in the example", piece in (code if kind == "cpp" else output), piece)


def main():
    with open(README) as file:
        steps = re.search(r"^## Seven steps$(.*?)^## ", file.read(), flags=re.M | re.S)
    check("examples/README.md has its seven steps", steps)
    shown = []
    for text in re.split(r"^### ", steps[1] if steps else "", flags=re.M)[1:]:
        example = re.search(r"\((\w+)\.cpp\)", text.split("\n", 1)[0])
        if example and expected_output(source_of(example[1])):
            shown.append(example[1])
            check_readme(example[1], text)
    done = subprocess.run([os.path.join(sys.argv[1], "load_and_classify"), "cat.jpg"], capture_output=True, text=True, timeout=300)
    check("a command line that cannot be read is refused", done.returncode == 2 and done.stderr.startswith("usage: load_and_classify ")
          and done.stdout == "", done)
    for example in sys.argv[2:]:
        check(f"the README shows {example}", example in shown)
        check_output(example)
    sys.exit(end())


if __name__ == "__main__":
    main()
