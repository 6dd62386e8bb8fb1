#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What was trained can be used: train_and_use.py FOLDER_OF_PROGRAMS. What training prints as its test accuracy is what `classify` gets on
the same images, to the picture, however they are stored; a stopped training goes on, and its checkpoint is a file of weights."""

import os
import random
import re
import struct
import sys
import tempfile
import zlib

from checks import check, end, run

SIDE, CLASSES = 8, 3
FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")


def draw_image(label):
    """A bright band, higher or lower by class, in much noise."""
    first = 1 + 2 * label
    rows = [[random.randrange(150) + (90 if first <= y < first + 2 else 0) for _ in range(SIDE)] for y in range(SIDE)]
    return bytes(min(255, value) for row in rows for value in row)


def write_idx(folder, split, images, labels):
    with open(f"{folder}/{split}-images-idx3-ubyte", "wb") as file:
        file.write(struct.pack(">IIII", 2051, len(images), SIDE, SIDE) + b"".join(images))
    with open(f"{folder}/{split}-labels-idx1-ubyte", "wb") as file:
        file.write(struct.pack(">II", 2049, len(labels)) + bytes(labels))


def write_png(path, image, side=SIDE):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + image[y * side : (y + 1) * side] for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_data(folder):
    """The same images as an IDX data set in `idx`, and as pictures in `pictures`, whose folders are named after the classes."""
    os.makedirs(f"{folder}/idx")
    for split, idx_split, count in (("train", "train", 240), ("test", "t10k", 90)):
        labels = [i % CLASSES for i in range(count)]
        images = [draw_image(label) for label in labels]
        write_idx(f"{folder}/idx", idx_split, images, labels)
        for i, (image, label) in enumerate(zip(images, labels)):
            os.makedirs(f"{folder}/pictures/{split}/{label}", exist_ok=True)
            write_png(f"{folder}/pictures/{split}/{label}/{i:03}.png", image)


MODEL = ("--patch", "4x4", "--dim", 16, "--depth", 1, "--heads", 2, "--batch", 24, "--rate", 0.004, "--seed", 1)


def accuracy_of_training(text):
    """The test accuracy in the table's last line."""
    rows = re.findall(r"^ +\d+ +[\d.]+ +[\d.]+ % +[\d.]+ +([\d.]+) % +[\d.]+$", text, re.M)
    return rows[-1] if rows else text


def accuracy_of_use(*arguments):
    text = run("classify", "--threads", 2, *arguments)[1]
    found = re.search(r"^accuracy ([\d.]+) % ", text, re.M)
    return found[1] if found else text


def check_use(weights, trained):
    for stored in (("--data", "idx"), ("--data", "pictures"), ("pictures/test",)):
        found = accuracy_of_use("--weights", weights, *stored)
        check(f"{weights} on {' '.join(stored)}: expected {trained} %", found == trained, found)


def train_and_use(data, family):
    name = f"{data}.{family}"
    code, text = run("train_classifier", "--data", data, "--family", family, *pictures_of(data), *MODEL, "--epochs", 8, "--output",
                     f"{name}.st", "--checkpoint", f"{name}.run")
    check(f"training of {name}", code == 0, text)
    trained = accuracy_of_training(text)
    check("the accuracy is one between guessing and knowing", 33.4 < float(trained) < 100, text)
    check_use(f"{name}.st", trained)
    check_use(f"{name}.run", trained)
    shown = run("convert_weights", f"{name}.st")[1]
    check("convert_weights shows the family", f"model      {family}, heads: 2" in shown, shown)
    check("convert_weights checks that a file with its heads is a model", "\nchecked: the tensors form a model of " in shown, shown)
    written = run("convert_weights", f"{name}.st", "--output", f"{name}.copy.st")
    check("convert_weights says what it wrote", written[0] == 0 and f"tensors written to {name}.copy.st\n" in written[1], written)
    refused = run("convert_weights", f"{name}.st", "--output", f"{name}.pth")
    check("safetensors are not written as .pth", refused[0] == 2 and "expected a name that does not end in .pth" in refused[1]
          and not os.path.exists(f"{name}.pth"), refused)
    check("convert_weights shows what is expected of pictures", "become images of 8 x 8" in shown and "0, 1, 2" in shown, shown)

    code, text = run("train_classifier", "--checkpoint", f"{name}.run", "--resume", "--epochs", 10)
    check("a training goes on for more epochs, without its options", code == 0 and "resuming after step" in text, text)
    check_use(f"{name}.st", accuracy_of_training(text))

    code, text = run("train_classifier", "--data", "pictures", "--from", f"{name}.st", "--epochs", 1, "--batch", 24, "--output",
                     f"{name}.tuned.st")
    check(f"fine-tuning of {name}.st on pictures", code == 0, text)
    check_use(f"{name}.tuned.st", accuracy_of_training(text))


def check_converted():
    """What has no effect on a conversion is refused."""
    without_heads = os.path.join(FIXTURES, "classifier_weights.safetensors")
    for arguments, complaint in (((without_heads, "--patch", "8x8"), "option --patch would have no effect: neither --heads nor the file"),
                                 ((without_heads, "--gelu", "tanh", "--output", "copy.st"), "option --gelu would have no effect"),
                                 (("idx.crate.st", "--all", "--channels", 1), "option --channels would have no effect: --all takes"),
                                 (("idx.crate.st", "--mean", 0.5, "--deviation", 0.5), "would have no effect: --output is not given")):
        code, text = run("convert_weights", *arguments)
        check(f"refused: {arguments}", code == 2 and complaint in text and not os.path.exists("copy.st"), (code, text))
    code, text = run("convert_weights", without_heads, "--output", "plain.st")
    check("tensors of a model without heads are copied", code == 0 and os.path.exists("plain.st"), text)


def check_options():
    """What the command lines of trainings on images share."""
    for program in ("train_classifier", "train_autoencoder"):
        train = (program, "--data", "idx", *MODEL, "--discard")
        for pixels, complaint in ((("--mean", 0.5), "found --mean alone"), (("--deviation", 0.5), "found --deviation alone"),
                                  (("--mean", 2, "--deviation", 0.5), "option --mean: expected numbers from 0 to 1, found 2")):
            code, text = run(*train, *pixels)
            check(f"{program}: refused: {pixels}", code == 2 and complaint in text, (code, text))
        code, text = run(*train, "--epochs", 1, "--images", 50)
        check(f"{program} trains on a part of the images", code == 0 and re.search(r"; 50 (training|images)", text), text)
        code, text = run(*train, "--eopchs", 1)
        check("a mistyped option is told its name", code == 2 and "--eopchs 1; did you mean --epochs?" in text, text)
        code, text = run(*train, "--epochs", 1, "--warm-up", 2)
        check("a warm-up longer than the training", code == 2 and "--warm-up: expected at most --epochs, 1, found 2" in text, text)
    begun = run("train_classifier", "--data", "idx", *MODEL, "--epochs", 0, "--checkpoint", "begun.run")
    code, text = run("train_classifier", "--checkpoint", "begun.run", "--resume", "--epochs", 1)
    check("a training of no epochs goes on", begun[0] == 0 and code == 0 and "resuming after step 0 of 10" in text, (begun, text))
    matrices = run("train_classifier", "--data", "idx", *MODEL, "--epochs", 1, "--weight-decay-of", "matrices", "--discard")
    check("weight decay can be of the matrices alone", matrices[0] == 0, matrices)


def pictures_of(data):
    return ("--image", f"{SIDE}x{SIDE}") if data == "pictures" else ()


def main():
    random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        sys.argv[1] = os.path.abspath(sys.argv[1])
        os.chdir(folder)
        write_data(".")
        train_and_use("idx", "crate")
        train_and_use("pictures", "crate")
        train_and_use("idx", "vit")
        check_converted()
        check_options()
        check("a training is not replaced", run("train_classifier", "--data", "idx", *MODEL, "--checkpoint", "idx.crate.run")[0] == 1)
        for option in ("--lambda", "--step-size", "--head-dim"):
            text = run("train_classifier", "--data", "idx", "--family", "vit", *MODEL, "--discard", option, 1)[1]
            check(f"{option} of a vision transformer is refused", f"{option} would have no effect" in text, text)
    return end()


if __name__ == "__main__":
    sys.exit(main())
