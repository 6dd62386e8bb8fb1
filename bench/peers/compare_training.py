#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training steps (forward, backward, AdamW) of this library and of PyTorch, in turns on the same cores.

    python3 bench/peers/compare_training.py build/bench --fashion-mnist FOLDER --text tinyshakespeare.txt
    python3 bench/peers/compare_training.py build/bench --tasks fashion --rounds 3    (half a minute)

fashion: the small classifier of train_classifier (28 x 28, patch 4, width 96, depth 4, 4 heads) on batches of 128, from
Fashion-MNIST if the folder of its files is given and otherwise from random images. base: CRATE-Base on batches of 8 random
images. crate-gpt2 and gpt2: the models of train_language_model (context 64, width 128, depth 4, 4 heads) on batches of 12
pieces of the text, or of random characters. Both engines start from the same weights and see the same batches, and their
losses must agree before they are timed. Reading data is left out for both.
"""

import argparse
import array
import gzip
import os
import pathlib
import random
import sys
import time

from compare_inference import processor
from engines import Engine, start, take_turns
from find_peers import find_pytorch

HERE = pathlib.Path(__file__).resolve().parent
CONTEXT, VOCABULARY = 64, 65
TEXTS = {"crate-gpt2": ("CRATE-GPT2 of characters", 12, CONTEXT, VOCABULARY, 200),
         "gpt2": ("GPT-2 of characters", 12, CONTEXT, VOCABULARY, 200)}
TASKS = {"fashion": ("CRATE on 28 x 28", 128, 784, 10, 64), "base": ("CRATE-Base", 8, 3 * 224 * 224, 1000, 4), **TEXTS}
STEPS = {"fashion": ("an epoch", 468), "crate-gpt2": ("2,000 steps", 2000), "gpt2": ("2,000 steps", 2000)}
COMPARED_STEPS, LARGEST_DIFFERENCE = 10, 1e-4


def fashion_mnist(folder, count):
    """The first examples of the training set: pixels normalised as in the recipe, labels."""
    def content(name, header):
        for path in folder / name, folder / f"{name}.gz":
            if path.exists():
                with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
                    return file.read()[header:]
        sys.exit(f"{folder / name}: neither it nor {name}.gz is there")
    pixels = content("train-images-idx3-ubyte", 16)[:784 * count]
    labels = content("train-labels-idx1-ubyte", 8)[:count]
    return array.array("f", ((pixel / 255 - 0.2860) / 0.3530 for pixel in pixels)), array.array("i", list(labels))


def random_examples(values, classes, count):
    generator = random.Random(1)
    return (array.array("f", (generator.gauss(0, 1) for _ in range(values * count))),
            array.array("i", (generator.randrange(classes) for _ in range(count))))


def pieces_of_text(text, count):
    """Ids of characters, and of those that follow them, from all over the text; of none, random ones."""
    generator = random.Random(1)
    if text:
        characters = text.read_text()
        id_of = {character: number for number, character in enumerate(sorted(set(characters)))}
        if len(id_of) > VOCABULARY:
            sys.exit(f"{text}: expected at most {VOCABULARY} different characters, found {len(id_of)}")
        ids = [id_of[character] for character in characters]
    else:
        ids = [generator.randrange(VOCABULARY) for _ in range(CONTEXT * count + 1)]
    begins = [generator.randrange(len(ids) - CONTEXT) for _ in range(count)]
    return tuple(array.array("i", (ids[begin + shift + i] for begin in begins for i in range(CONTEXT))) for shift in (0, 1))


def write_examples(task, folder, data):
    """So many batches, which both engines go through again and again."""
    _, batch, values, classes, batches = TASKS[task]
    if task in TEXTS:
        examples, labels = pieces_of_text(data.text, batch * batches)
    elif task == "fashion" and data.fashion_mnist:
        examples, labels = fashion_mnist(data.fashion_mnist, batch * batches)
    else:
        examples, labels = random_examples(values, classes, batch * batches)
    paths = folder / f"{task}_examples.{examples.typecode}32", folder / f"{task}_labels.i32"
    for path, numbers in zip(paths, (examples, labels)):
        with open(path, "wb") as file:
            numbers.tofile(file)
    return paths


def losses_agree(engines):
    """Takes the first steps of each and compares their losses."""
    for engine in engines:
        engine.losses = [engine.compute()[1] for _ in range(COMPARED_STEPS)]
    pairs = zip(engines[0].losses, engines[-1].losses)
    difference = max(abs(a - b) / abs(b) for a, b in pairs)
    print(f"  losses of {COMPARED_STEPS} steps from {engines[0].losses[0]:.4f} to {engines[0].losses[-1]:.4f}"
          + (f", relative difference {difference:.1e}" if len(engines) > 1 else ""))
    return difference <= LARGEST_DIFFERENCE


def compare(task, threads, rounds, folder, program, pytorch, data):
    name, batch = TASKS[task][:2]
    print(f"\n{name}, batch {batch}, {threads} thread{'s' if threads > 1 else ''}", flush=True)
    examples, labels = write_examples(task, folder, data)
    weights, engines = "-", []
    if pytorch:
        weights = folder / f"{task}_training.safetensors"
        engines = start([Engine("PyTorch", [pytorch.python, HERE / "pytorch_training_steps.py", task, weights, examples,
                                            labels, batch], pytorch.environment_with(threads))])
    ours = [program, task, weights if engines else "-", examples, labels, batch, threads]
    engines = start([Engine("crate", ours)]) + engines
    if not engines:
        sys.exit("no engine is left")
    if not losses_agree(engines):
        sys.exit("losses differ: not timed")
    take_turns(engines, rounds)
    for engine in engines:
        ratio = f"{engine.median / engines[0].median:.2f}"
        what, steps = STEPS.get(task, ("", 0))
        whole = f"{steps * engine.median / 1e3:8.1f} s {what}" if steps else ""
        print(f"  {engine.label:<9}{ratio:>6}{engine.median:10.1f} ms a step{min(engine.times):10.1f} best{whole}",
              flush=True)
        engine.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="of the build, with bench/crate_training_steps; files go to peers/ there")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=15, help="turns of each engine (default 15)")
    parser.add_argument("--fashion-mnist", type=pathlib.Path, help="folder of its IDX files, gzip or plain")
    parser.add_argument("--text", type=pathlib.Path, help=f"file of at most {VOCABULARY} different characters, as tinyshakespeare has")
    options = parser.parse_args()
    program = options.folder.resolve() / "bench" / "crate_training_steps"
    if not os.access(program, os.X_OK):
        sys.exit(f"{program} is missing: build the target crate_training_steps")
    folder = options.folder.resolve() / "peers"
    folder.mkdir(exist_ok=True)
    pytorch = find_pytorch()
    print(f"{time.strftime('%d %B %Y')}, {processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(pytorch or "PyTorch is missing: this library is timed alone")
    for task in options.tasks:
        for threads in options.threads:
            compare(task, threads, options.rounds, folder, program, pytorch, options)


if __name__ == "__main__":
    main()
