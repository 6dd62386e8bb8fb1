#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Self-distillation from a shell: self_distillation.py FOLDER_OF_PROGRAMS. A training that goes on is the one that was never stopped, on any
number of threads; a classifier begins with its encoder; a collapse that is provoked is named; options without effect are refused."""

import json
import os
import random
import struct
import subprocess
import sys
import tempfile

import checks
from checks import check, end
from train_and_use import write_png

SIDE, CLASSES = 12, 3


def train(*arguments):
    return checks.run("train_dino", *arguments)


def draw_image(label):
    """A bright band, higher or lower by class, in much noise."""
    first = 1 + 3 * label
    rows = [[random.randrange(100) + (150 if first <= y < first + 3 else 0) for _ in range(SIDE)] for y in range(SIDE)]
    return bytes(value for row in rows for value in row)


def write_data(folder, classes=CLASSES):
    for split, count in (("train", 96), ("t10k", 48)):
        labels = [i % classes for i in range(count)]
        with open(f"{folder}/{split}-images-idx3-ubyte", "wb") as file:
            file.write(struct.pack(">IIII", 2051, count, SIDE, SIDE) + b"".join(map(draw_image, labels)))
        with open(f"{folder}/{split}-labels-idx1-ubyte", "wb") as file:
            file.write(struct.pack(">II", 2049, count) + bytes(labels))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def fine_tune(folder, name):
    """Classifiers of other classes than the encoder was trained on begin with teacher and student, also from the checkpoint."""
    os.makedirs(f"{folder}/two", exist_ok=True)
    write_data(f"{folder}/two", classes=2)

    def tune(output, *arguments):
        status, out = checks.run("train_classifier", "--data", f"{folder}/two", "--batch", 32, "--output", f"{name}-{output}", *arguments)
        check(f"{output}: a classifier is trained", status == 0, out)
        return read(f"{name}-{output}")

    begun = ["--threads", 1, "--schedule", "constant", "--epochs"]
    status, out = checks.run("classify", "--weights", f"{name}-resumed", "--data", folder)
    check("a head that knows no classes does not classify", status == 1 and "train a head with train_classifier --from" in out, out)
    status, out = checks.run("classify", "--weights", f"{name}-checkpoint", "--data", folder)
    check("nor does that of the checkpoint", status == 1 and "train a head with train_classifier --from" in out, out)
    of_weights = tune("of-weights", "--from", f"{name}-resumed", *begun, 2)
    check("a checkpoint stands for its teacher", of_weights == tune("of-checkpoint", "--from", f"{name}-checkpoint", *begun, 2))
    student = ["--from", f"{name}-checkpoint", "--weights-at", "model", "--pool", "mean"]
    status, out = checks.run("classify", "--weights", f"{name}-of-weights", "--data", f"{folder}/two")
    check("a head that was trained does", status == 0 and "accuracy" in out and "top 5" not in out, out)
    whole = tune("of-student", *student, *begun, 2)
    check("and holds the student too", whole != of_weights)
    tune("first-half", *student, *begun, 1, "--checkpoint", f"{name}-tuned")
    check("what was begun so goes on", whole == tune("second-half", "--checkpoint", f"{name}-tuned", "--resume", "--epochs", 2))


def take_preset(folder, small):
    path = f"{folder}/published"
    status, out = train("--data", folder, *small, "--preset", "published", "--epochs", 1, "--warm-up", 1, "--checkpoint", path)
    check("a preset gives what is not given", status == 0 and b'"note: --teacher-momentum":"0.996"' in read(path), out)
    check("its rate goes with the batch", b'"note: --rate":"3.125e-05"' in read(path))
    check("and leaves what is given", b'"note: --locals":"2"' in read(path))
    status, out = train("--checkpoint", path, "--resume", "--preset", "small-images")
    check("a training goes on with its own", status == 2 and "uses 'published', and cannot be resumed with 'small-images'" in out, out)


def take_rate_of_objective(folder, small):
    for given, expected in (([], "0.001"), (["--rate", 0.002], "0.002")):
        path = f"{folder}/dino-{expected}"
        status, out = train("--data", folder, *small, "--objective", "dino", "--outputs", 24, *given, "--epochs", 0, "--checkpoint", path)
        check(f"DINO takes the rate {expected}", status == 0 and f'"note: --rate":"{expected}"'.encode() in read(path), out)


def begin_without_a_step(folder, small):
    """A training of no epochs writes what it would begin with, and goes on as if it had not stopped."""
    begun, whole = f"{folder}/begun", f"{folder}/at-once"
    status, out = train("--data", folder, *small, "--epochs", 0, "--checkpoint", begun)
    again = train("--checkpoint", begun, "--resume", "--epochs", 1, "--output", f"{begun}-on")
    check("a training of no epochs goes on", status == 0 and again[0] == 0 and "resuming after step 0 of 6" in again[1], (out, again))
    train("--data", folder, *small, "--epochs", 1, "--output", whole)
    check("to the same bits as one at once", read(f"{begun}-on") == read(whole))


def check_without_test(folder, small):
    """Pictures in folders need no test pictures: a tenth of them is held out."""
    labels = [i % CLASSES for i in range(40)]
    for i, label in enumerate(labels):
        os.makedirs(f"{folder}/pictures/train/{label}", exist_ok=True)
        write_png(f"{folder}/pictures/train/{label}/{i:03}.png", draw_image(label), SIDE)
    options = ["--data", f"{folder}/pictures", "--image", f"{SIDE}x{SIDE}", *small, "--epochs", 1, "--output"]
    status, out = train(*options, f"{folder}/held-out")
    check("a tenth of the pictures is held out", status == 0 and "; 36 images to train on" in out and
          "no folder 'test' or 'val' in --data: of the training images a tenth, 4 chosen at random" in out, out)
    status, out = train(*options, f"{folder}/held-out-again", "--decode-when-drawn", "--images", 20)
    check("and another part is left out", status == 0 and "; 20 images to train on" in out, out)


def main():
    random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        write_data(folder)
        small = ["--patch", "4x4", "--dim", 16, "--depth", 2, "--heads", 2, "--hidden", 32, "--bottleneck", 16, "--batch", 16]
        small += ["--locals", 2, "--local-side", 8, "--micro-batch", 4, "--drop-path", 0.1]
        for objective in (["coding-rate"], ["dino", "--outputs", 24, "--temperature-epochs", 1, "--first-teacher-temperature", 0.07]):
            name = f"{folder}/{objective[0]}"
            options = ["--data", folder, *small, "--objective", *objective]
            status, out = train(*options, "--epochs", 2, "--threads", 1, "--output", f"{name}-whole", "--history", f"{name}-history")
            check(f"{objective[0]} trains", status == 0 and "k-NN accuracy of pixels" in out, out)
            with open(f"{name}-history") as history:
                epochs = [json.loads(line) for line in history]
            check("the history holds the gauges of every epoch", len(epochs) == 2 and
                  all(0 <= epoch["test_knn_accuracy"] <= 1 and epoch["test_spread"] < 1.1 for epoch in epochs), epochs)

            first = [*options, "--epochs", 2, "--threads", 2, "--checkpoint", f"{name}-checkpoint", "--checkpoint-every", 1]
            process = subprocess.Popen([os.path.join(sys.argv[1], "train_dino"), *map(str, first)], stdout=subprocess.PIPE, text=True)
            for line in process.stdout:
                if line.startswith("      1 "):
                    break
            process.terminate()
            process.communicate(timeout=300)
            check("an interrupted training says so", process.returncode in (0, 130), process.returncode)
            status, out = train("--checkpoint", f"{name}-checkpoint", "--resume", "--output", f"{name}-resumed")
            check("it goes on with its own options", status == 0 and "resuming after step" in out, out)
            check("to the same bits", read(f"{name}-whole") == read(f"{name}-resumed"))
            if objective[0] == "coding-rate":
                fine_tune(folder, name)
        take_preset(folder, small)
        take_rate_of_objective(folder, small)
        begin_without_a_step(folder, small)
        check_without_test(folder, small)

        collapse = ["--data", folder, *small, "--objective", "dino", "--outputs", 24, "--teacher-momentum", 0, "--centre-momentum", 1]
        status, out = train(*collapse, "--rate", 0.01, "--warm-up", 0, "--epochs", 3, "--discard")
        check("a collapse is named", status == 0 and "COLLAPSED: all images get nearly the same features" in out, out)

        status, out = train("--data", folder, *small, "--outputs", 24, "--discard")
        check("options without effect are refused", status == 2 and "option --outputs would have no effect" in out, out)
        for arguments, expected in (
            (["--local-side", 6], "option --local-side: expected a multiple of 4"),
            (["--objective", "dino", "--outputs", 0], "--outputs: expected a number >= 1, found 0"),
            (["--objective", "dino", "--teacher-temperature", 0], "--teacher-temperature: expected a number > 0, found 0"),
            (["--squared-epsilon", 0], "--squared-epsilon: expected a number > 0, found 0"),
            (["--weight-decay", 0], "--final-weight-decay: expected 0 where --weight-decay is 0"),
            (["--rate", 1e-4, "--final-rate", 1e-3], "--final-rate: expected a number from 0 to --rate, found 0.001"),
            (["--warm-up", 2], "--warm-up: expected at most --epochs, 1, found 2"),
            (["--image", "24x24"], "option --image would have no effect"),
        ):
            options = [option for option in small if arguments[0] != "--local-side" or option not in ("--local-side", 8)]
            path = f"{folder}/refused"
            status, out = train("--data", folder, *options, *arguments, "--epochs", 1, "--checkpoint", path)
            check(f"{arguments} is refused, and nothing is written", status == 2 and expected in out and not os.path.exists(path), out)

        os.makedirs(f"{folder}/unlabelled")
        write_data(f"{folder}/unlabelled", classes=1)
        status, out = train("--data", f"{folder}/unlabelled", *small, "--epochs", 1, "--discard")
        check("images of one class are trained on, and not judged", status == 0 and
              "k-NN accuracy of pixels -, of the untrained encoder -" in out and "COLLAPSED" not in out, out)
        status, out = train("--data", folder, *small, "--teacher-momentum", 1, "--discard")
        check("a teacher that never moves is refused", status == 2 and "expected a number in [0, 1), found 1" in out, out)
    return end()


sys.exit(main())
