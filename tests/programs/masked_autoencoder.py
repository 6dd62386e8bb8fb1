#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Masked autoencoders train, go on to the bit, are shown, and are begun with: masked_autoencoder.py FOLDER_OF_PROGRAMS."""

import filecmp
import json
import os
import random
import re
import struct
import sys
import tempfile

import train_and_use
from checks import check, end, is_refusal, run
from train_and_use import MODEL, SIDE, write_data

RECIPE = MODEL + ("--decoder-depth", 1, "--mask-ratio", 0.5, "--schedule", "constant")
SMALLEST = ("--dim", 8, "--depth", 1, "--decoder-depth", 1, "--heads", 2, "--batch", 24)


def train(*arguments):
    return run("train_autoencoder", "--data", "idx", *RECIPE, *arguments)


def ratios(text):
    return [float(row) for row in re.findall(r"^ +\d+ +[\d.]+ +[\d.]+ +[\d.]+ +([\d.]+) +[\d.]+$", text, re.M)]


def size_of_png(path):
    with open(path, "rb") as file:
        start = file.read(24)
    return struct.unpack(">II", start[16:]) if start.startswith(b"\x89PNG\r\n\x1a\n") else None


def write_images(path, count):
    values = [random.gauss(0, 1) for _ in range(count * SIDE * SIDE)]
    header = json.dumps({"images": {"dtype": "F32", "shape": [count, 1, SIDE, SIDE], "data_offsets": [0, 4 * len(values)]}}).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + struct.pack(f"<{len(values)}f", *values))


def train_and_show(family):
    code, text = train("--family", family, "--epochs", 4, "--threads", 1, "--output", f"{family}.st", "--history", f"{family}.jsonl")
    check(f"training of {family}", code == 0 and len(ratios(text)) == 4, text)
    check("the loss falls below that of the mean visible pixel", ratios(text)[-1] < 1, text)
    scale, gap = 112 // SIDE, 6
    check("a picture of three rows stands beside the weights",
          size_of_png(f"{family}.png") == (10 * (scale * SIDE + gap) + gap, 3 * (scale * SIDE + gap) + gap), text)
    with open(f"{family}.jsonl") as file:
        last = json.loads(file.readlines()[-1])
    check("the history tells the ratio", abs(last["test_loss_over_mean_pixel"] - ratios(text)[-1]) < 6e-4, last)


def go_on(family):
    train("--family", family, "--epochs", 2, "--threads", 2, "--checkpoint", f"{family}.run")
    code, text = run("train_autoencoder", "--checkpoint", f"{family}.run", "--resume", "--epochs", 4, "--output", f"{family}.again.st")
    check("a training goes on for more epochs, without its options", code == 0 and "resuming after step" in text, text)
    check(f"{family}: the weights are those of one training, to the bit", filecmp.cmp(f"{family}.st", f"{family}.again.st", False))


def use(family, classifier):
    shown = run("convert_weights", f"{family}.st")[1]
    check("convert_weights shows the family", f"model      {family}" in shown, shown)
    for weights in (f"{family}.st", f"{family}.run"):
        code, text = run("run_model", "--weights", weights, "--input", "images.st", "--output", "result.st")
        check(f"run_model on {weights}", code == 0, text)
    code, text = run("train_classifier", "--data", "idx", "--from", f"{family}.st", "--pool", "mean", "--epochs", 2, "--batch", 24,
                     "--output", "tuned.st", "--checkpoint", f"{family}.tuned.run")
    check(f"fine-tuning of {family}", code == 0, text)
    trained = train_and_use.accuracy_of_training(text)
    shown = run("convert_weights", "tuned.st")[1]
    check("it makes a classifier", f"model      {classifier}" in shown, shown)
    found = train_and_use.accuracy_of_use("--weights", "tuned.st", "--data", "idx")
    check("which classifies as it did in training", found == trained, found)
    code, text = run("train_classifier", "--checkpoint", f"{family}.tuned.run", "--resume", "--epochs", 3)
    check("and goes on", code == 0 and "resuming after step" in text, text)


def lend():
    text = train("--epochs", 1, "--normalise-patches", "--output", "normalised.st")[1]
    check("what is lent to normalised patches is said", "true mean and deviation of each patch" in text, text)
    text = train("--epochs", 1, "--discard", "--grid", "plain.png")[1]
    check("nothing is lent to pixels", "true mean and deviation" not in text and size_of_png("plain.png"), text)


def refuse():
    def check_refused(reason, *arguments):
        code, text = run("train_autoencoder", "--data", "idx", *SMALLEST, "--discard", "--epochs", 1, *arguments)
        check(f"{arguments} is refused", is_refusal(code, text) and reason in text, text)

    check_refused("--mask-ratio: expected a number in [0, 1)", "--mask-ratio", 1)
    check_refused("a mask ratio that hides a patch", "--mask-ratio", 0)
    check_refused("--lambda would have no effect", "--family", "transformer-mae", "--lambda", 1)
    check_refused("--image would have no effect", "--image", "8x8")
    check_refused("--grid would replace this file, and replaces only pictures", "--grid", "images.st")
    check_refused("--patch: expected patches that fill images of 8 x 8: 1, 2, 4 or 8 high and wide; found 3 x 4", "--patch", "3x4")
    check_refused("; found 5 x 5", "--patch", 5)
    check_refused("expected HEIGHTxWIDTH, such as 224x224, or one number for both, found '4x'", "--patch", "4x")
    check_refused("1, 2, 4 or 8 high and wide; found 16 x 16", "--preset", "crate-mae-tiny", "--warm-up", 1)
    check("a training is not replaced", train("--checkpoint", "crate-mae.run")[0] == 1)


def main():
    random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        sys.argv[1] = os.path.abspath(sys.argv[1])
        os.chdir(folder)
        write_data(".")
        write_images("images.st", 2)
        for family, classifier in (("crate-mae", "crate-mae-classifier"), ("transformer-mae", "vit")):
            train_and_show(family)
            go_on(family)
            use(family, classifier)
        lend()
        refuse()
    return end()


if __name__ == "__main__":
    sys.exit(main())
