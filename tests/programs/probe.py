#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Frozen features tell what was trained: probe.py FOLDER_OF_PROGRAMS. A trained classifier's features beat those of an untrained encoder,
features that are written are probed again to the same numbers, and what cannot be probed is refused."""

import json
import os
import random
import re
import struct
import sys
import tempfile

from checks import check, end, is_refusal, run

SIDE, CLASSES = 8, 3


def draw_image(label):
    """A bright band across, anywhere: three rows in class 0, three columns in class 1, both in class 2; in noise."""
    top, left = random.randrange(SIDE - 2), random.randrange(SIDE - 2)

    def is_bright(y, x):
        row, column = top <= y < top + 3, left <= x < left + 3
        return row if label == 0 else column if label == 1 else row or column

    return bytes(random.randrange(90) + (120 if is_bright(y, x) else 0) for y in range(SIDE) for x in range(SIDE))


def write_data(folder, training, test):
    os.makedirs(folder)
    for split, count in (("train", training), ("t10k", test)):
        labels = [i % CLASSES for i in range(count)]
        with open(f"{folder}/{split}-images-idx3-ubyte", "wb") as file:
            file.write(struct.pack(">IIII", 2051, count, SIDE, SIDE) + b"".join(map(draw_image, labels)))
        with open(f"{folder}/{split}-labels-idx1-ubyte", "wb") as file:
            file.write(struct.pack(">II", 2049, count) + bytes(labels))


def scores(text, name):
    """The three accuracies of a line of the table."""
    found = re.search(rf"^  {name} +\d+ +([\d.]+) % +([\d.]+) % +([\d.]+) % +[\d.]+$", text, re.M)
    return [float(number) for number in found.groups()] if found else [0, 0, 0]


def tensors_of(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return {name: (entry["dtype"], entry["shape"]) for name, entry in header.items() if name != "__metadata__"}


def check_refusals():
    for what, arguments, expected in (
        ("nothing", (), "--weights and --data, or --from-features"),
        ("weights beside features", ("--from-features", "features.st", "--weights", "model.st"), "--weights would have no effect"),
        ("a norm behind a layer", ("--weights", "model.st", "--data", "idx", "--layer", 1, "--no-norm"), "--no-norm would have no effect"),
        ("a layer too many", ("--weights", "model.st", "--data", "idx", "--layer", 3), "--layer at most 2"),
        ("more neighbours than images", ("--weights", "model.st", "--data", "idx", "--neighbours", 301), "301, found 300"),
        ("features in place of the weights", ("--weights", "model.st", "--data", "idx", "--features", "model.st"), "--features names a file that the program reads"),
        ("weights for features", ("--from-features", "model.st"), "training_features"),
        ("no data", ("--weights", "model.st", "--data", "nowhere"), "nowhere"),
    ):
        code, text = run("probe", *arguments)
        check(f"{what} is refused", is_refusal(code, text) and expected in text, text)
    check("a wrong choice is an error of usage", run("probe", "--pool", "all")[0] == 2)
    check("the version is told", "probe (crate)" in run("probe", "--version")[1])


def main():
    random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        sys.argv[1] = os.path.abspath(sys.argv[1])
        os.chdir(folder)
        write_data("idx", 300, 120)
        write_data("few", 12, 6)
        code, text = run("train_classifier", "--data", "idx", "--patch", "2x2", "--dim", 16, "--depth", 2, "--heads", 2, "--batch", 20,
                         "--rate", 0.004, "--epochs", 10, "--output", "model.st")
        check("training", code == 0, text)
        code, probed = run("probe", "--weights", "model.st", "--data", "idx", "--features", "features.st", "--threads", 1, "--confusion")
        check("probing", code == 0 and "features written to features.st" in probed, probed)
        trained, untrained = scores(probed, "this model"), scores(probed, "untrained encoder")
        check("training shows in every probe", all(t > u + 5 for t, u in zip(trained, untrained)), probed)
        check("pixels are probed too", min(scores(probed, "pixels")) > 20, probed)
        rows = re.findall(r"^ +\d +(\d+) +(\d+) +(\d+)  \d$", probed, re.M)
        check("the confusion counts every test image", sum(int(n) for row in rows for n in row) == 120, probed)
        check("features are written with their labels", tensors_of("features.st") == {
            "training_features": ("F32", [300, 16]), "training_labels": ("I64", [300]),
            "test_features": ("F32", [120, 16]), "test_labels": ("I64", [120])}, tensors_of("features.st"))
        code, again = run("probe", "--from-features", "features.st", "--threads", 3)
        check("features that were written give the same numbers", code == 0 and scores(again, "these features") == trained, again)
        for options in (("--layer", 1), ("--pool", "mean"), ("--no-norm",)):
            code, text = run("probe", "--weights", "model.st", "--data", "idx", "--alone", *options)
            check(f"{' '.join(map(str, options))} probes other features", code == 0 and scores(text, "this model") != trained
                  and "untrained" not in text and min(scores(text, "this model")) > 34, text)
        code, text = run("probe", "--weights", "model.st", "--data", "few", "--alone")
        check("of few images all are neighbours", code == 0 and " 12-NN " in text, text)
        check_refusals()
    return end()


if __name__ == "__main__":
    sys.exit(main())
