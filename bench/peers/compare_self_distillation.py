#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Self-distillation by train_dino and by the same recipe in PyTorch, each with random numbers of its own, on part of
Fashion-MNIST: loss, spread and nearest neighbours of the teacher after every epoch, and the processor's milliseconds a
step, on one thread.

    python3 bench/peers/compare_self_distillation.py build/run/examples/train_dino FOLDER_OF_FASHION_MNIST
    python3 bench/peers/compare_self_distillation.py build/run/examples/train_dino FOLDER --images 1280 --seeds 1

The first takes ten minutes, the second one. tests/pytorch/self_distillation.py holds single steps against each other,
from the same weights and the same numbers drawn.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

from compare_inference import processor
from find_peers import find_pytorch

HERE = pathlib.Path(__file__).resolve().parent
BATCH = 64


def processor_seconds(command, environment=None):
    """What the program prints, and the processor's seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(result.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return result.stdout, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def milliseconds_of_ours(command, images):
    """Of an epoch without what goes before, and with next to no evaluation; views are drawn meanwhile."""
    short = [*command, "--discard", "--knn-images", 64, "--seed", 1, "--epochs"]
    begun, trained = (processor_seconds([*short, epochs])[1] for epochs in (0, 1))
    return 1e3 * (trained - begun) / (images // BATCH)


def run_ours(command, seed, epochs):
    with tempfile.TemporaryDirectory() as folder:
        history = pathlib.Path(folder) / "history"
        printed, _ = processor_seconds([*command, "--discard", "--seed", seed, "--epochs", epochs,
                                        "--history", history])
        untrained = float(re.search(r"untrained encoder ([\d.]+) %", printed)[1]) / 100
        return untrained, [json.loads(line) for line in history.read_text().splitlines()]


def run_pytorch(pytorch, objective, options, seed):
    command = [pytorch.python, HERE / "pytorch_self_distillation.py", objective, options.fashion_mnist, options.images,
               options.epochs, seed]
    first, *rest = map(json.loads, processor_seconds(command, pytorch.environment_with(1))[0].splitlines())
    return first["untrained"], rest


def show(engine, seed, untrained, epochs):
    loss, spread, accuracy = (" then ".join(f"{epoch[name]:{form}}" for epoch in epochs) for name, form in
                              (("training_loss", ".3f"), ("test_spread", ".3f"), ("test_knn_accuracy", ".2%")))
    print(f"  {engine:<9}seed {seed}   loss {loss}   spread {spread}   k-NN {untrained:.2%} untrained, {accuracy}",
          flush=True)


def compare(objective, options, pytorch):
    steps = options.images // BATCH
    print(f"\n{objective}: {options.images} images, {options.epochs} epochs of {steps} steps", flush=True)
    ours = [options.program, "--data", options.fashion_mnist, "--objective", objective, "--images", options.images,
            "--threads", 1]
    theirs = []
    for seed in options.seeds:
        show("crate", seed, *run_ours(ours, seed, options.epochs))
        if pytorch:
            untrained, epochs = run_pytorch(pytorch, objective, options, seed)
            show("PyTorch", seed, untrained, epochs)
            theirs += epochs
    print(f"  crate    {milliseconds_of_ours(ours, options.images):.0f} ms of the processor a step, views included")
    if theirs:
        best = min(theirs, key=lambda epoch: epoch["milliseconds"])
        drawing = best["milliseconds_drawing"]
        print(f"  PyTorch  {best['milliseconds']:.0f} ms, and {drawing:.0f} ms for the views in NumPy")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path, help="train_dino")
    parser.add_argument("fashion_mnist", type=pathlib.Path, help="folder of its IDX files, gzip or plain")
    parser.add_argument("--objectives", nargs="+", choices=["coding-rate", "dino"], default=["coding-rate", "dino"])
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    pytorch = find_pytorch()
    print(f"{time.strftime('%d %B %Y')}, {processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(pytorch or "PyTorch is missing: this library is run alone")
    for objective in options.objectives:
        compare(objective, options, pytorch)


if __name__ == "__main__":
    main()
