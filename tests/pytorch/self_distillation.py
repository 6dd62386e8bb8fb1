# SPDX-License-Identifier: MIT
"""Steps of train_dino beside PyTorch's, from the same weights and the same numbers drawn, with both objectives: loss
and gradient of the first step, the losses of ten steps, and the teacher behind them.

Usage: self_distillation.py FOLDER_OF_THE_PROGRAMS
"""

import json
import math
import os
import random
import re
import struct
import sys
import tempfile

from comparison import check, fail, run, status

import numpy
import torch

import safetensors_file
from counted_random import CountedDraws, shuffled, stream_of_name
from self_distillation_recipe import CodingRate, Dino, Training, Views, small_student

SIDE, PATCH, LOCAL_SIDE, LOCALS, IMAGES, SEED, OUTPUTS = 12, 4, 8, 2, 16, 3, 24
SIZES = dict(side=SIDE, patch=PATCH, dim=16, depth=2, heads=2, hidden=32, bottleneck=16, classes=2)
OPTIONS = ["--patch", f"{PATCH}x{PATCH}", "--dim", 16, "--depth", 2, "--heads", 2, "--hidden", 32, "--bottleneck", 16,
           "--batch", IMAGES, "--locals", LOCALS, "--local-side", LOCAL_SIDE, "--micro-batch", 5, "--seed", SEED,
           "--threads", 1]
OBJECTIVES = {"coding-rate": (CodingRate, []), "dino": (lambda: Dino(OUTPUTS), ["--outputs", OUTPUTS])}


def write_data(folder):
    """Images that fill [0, 1] around the means of their classes; returns those of training, in [0, 1]."""
    generator = random.Random(1)
    for split in ("t10k", "train"):
        labels = [i % 2 for i in range(IMAGES)]
        pixels = bytes(generator.randrange(60 + 90 * (label == i // SIDE % 2), 166 + 90 * (label == i // SIDE % 2))
                       for label in labels for i in range(SIDE * SIDE))
        with open(f"{folder}/{split}-images-idx3-ubyte", "wb") as file:
            file.write(struct.pack(">IIII", 2051, IMAGES, SIDE, SIDE) + pixels)
        with open(f"{folder}/{split}-labels-idx1-ubyte", "wb") as file:
            file.write(struct.pack(">II", 2049, IMAGES) + bytes(labels))
    return numpy.frombuffer(pixels, numpy.uint8).reshape(IMAGES, SIDE, SIDE) / 255.0


def views_of(images, epoch):
    views = Views(SIDE, LOCAL_SIDE, LOCALS)
    stream, count = stream_of_name("augmentation") + epoch, 2 + LOCALS
    order = shuffled(IMAGES, SEED, stream_of_name("order") + epoch)
    mean, deviation = images.mean(), images.std()
    draws = lambda i, v: CountedDraws(SEED, stream, 64 * (i * count + v))
    seen = (numpy.stack([views.draw(images[i], v, draws(i, v)) for i in order]) for v in range(count))
    return [torch.from_numpy((view - mean) / deviation).float().unsqueeze(1) for view in seen]


# The names of a checkpoint and those of the PyTorch modules: the same bytes.
NAMES = [(r"embedding\.pixel_norm", "to_patch_embedding.1"), (r"embedding\.projection", "to_patch_embedding.2"),
         (r"embedding\.token_norm", "to_patch_embedding.3"), (r"class_token", "cls_token"),
         (r"positions", "pos_embedding"),
         (r"layers\.(\d+)\.compress\.norm", r"transformer.layers.\1.0.norm"),
         (r"layers\.(\d+)\.compress\.subspaces", r"transformer.layers.\1.0.fn.qkv.weight"),
         (r"layers\.(\d+)\.compress\.output", r"transformer.layers.\1.0.fn.to_out.0"),
         (r"layers\.(\d+)\.sparsify\.norm", r"transformer.layers.\1.1.norm"),
         (r"layers\.(\d+)\.sparsify\.dictionary", r"transformer.layers.\1.1.fn.weight"),
         (r"head\.norm", "mlp_head.0"), (r"head\.linear", "mlp_head.1")]


def part_of(file, prefix, model):
    """A model, a gradient or moments in a checkpoint, by the names of the modules."""
    shapes, part = {name: tensor.shape for name, tensor in model.state_dict().items()}, {}
    for name, tensor in file.items():
        if not name.startswith(prefix + "."):
            continue
        name = name[len(prefix) + 1:]
        for ours, theirs in NAMES if name.startswith("encoder.") else ():
            name = re.sub(rf"encoder\.{ours}(?=\.|$)", f"encoder.{theirs}", name)
        part[name] = tensor.reshape(shapes[name])
    return part


def train(folder, options, epochs, *more):
    """An epoch is one step. Returns the checkpoint at the end and the loss of every step."""
    checkpoint, history = f"{folder}/checkpoint", f"{folder}/history"
    for path in checkpoint, history:
        if os.path.exists(path):
            os.remove(path)
    run("train_dino", "--data", folder, *OPTIONS, *options, "--epochs", epochs, "--warm-up", 0,
        "--checkpoint", checkpoint, "--history", history, *more)
    with open(history) as file:
        return safetensors_file.load(checkpoint), [json.loads(line)["training_loss"] for line in file]


def training_from(start, objective, steps, **options):
    student, teacher = (small_student(objective.outputs, **SIZES) for _ in range(2))
    for model in student, teacher:
        model.load_state_dict(part_of(start, "model", model))
    return Training(student, teacher, objective, steps, steps_per_epoch=1, warm_up=0, frozen_epochs=0, **options)


def check_loss(what, found, expected, tolerance):
    check(what, torch.tensor([found]), torch.tensor([expected]), tolerance)


def check_first_step(name, objective, options, folder, images):
    """Without clipping the first moment of AdamW is a tenth of the gradient."""
    start, _ = train(folder, options, 0)
    behind, losses = train(folder, options, 1, "--clip-each", 0)
    training = training_from(start, objective, steps=1, clip=math.inf)
    loss, targets = training.gradient(views_of(images, 0))
    check_loss(f"{name}: loss", losses[0], loss, 1e-5)
    gradient = part_of(behind, "optimiser.first_moment", training.student)
    pairs = []
    for part, parameter in training.student.named_parameters():
        if parameter.grad is None:
            check(f"{name}: no gradient by {part}", gradient[part], torch.zeros_like(parameter), 0)
        else:
            check(f"{name}: gradient by {part}", 10 * gradient[part], parameter.grad, 1e-4)
            pairs.append((10 * gradient[part], parameter.grad))
    norm = lambda tensors: math.sqrt(sum(tensor.double().square().sum().item() for tensor in tensors))
    error = norm(a - b for a, b in pairs) / norm(b for _, b in pairs)
    if not error <= 1e-5:
        fail(f"{name}: gradient", f"relative error {error:.2g}")
    print(f"{name}: loss {losses[0]:.6f} and {loss:.6f} in PyTorch, gradients differ by {error:.2g} of their norm")
    if objective.outputs:
        objective.after_step(targets)
        check(f"{name}: centre", behind["objective.centre"], objective.centre, 1e-5)


def check_training(name, objective, options, folder, images, steps=10):
    """Schedules, clipping and the moving average, in the losses and in the teacher."""
    start, _ = train(folder, options, 0)
    behind, losses = train(folder, options, steps)
    training = training_from(start, objective, steps)
    expected = [training.step(views_of(images, step)) for step in range(steps)]
    check(f"{name}: {steps} losses", torch.tensor(losses), torch.tensor(expected), 1e-4)
    teacher = part_of(behind, "average", training.teacher)
    expected_teacher = training.teacher.state_dict()
    for part in ("projection.first.weight", "encoder.transformer.layers.1.1.fn.weight", "encoder.pos_embedding"):
        check(f"{name}: teacher's {part}", teacher[part], expected_teacher[part], 1e-3)
    print(f"{name}: loss from {losses[0]:.5f} to {losses[-1]:.5f} in {steps} steps, in PyTorch to {expected[-1]:.5f}")


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        images = write_data(folder)
        for name, (make_objective, options) in OBJECTIVES.items():
            options = ["--objective", name, *options]
            if name == "dino":
                options += ["--frozen-epochs", 0]
            check_first_step(name, make_objective(), options, folder, images)
            check_training(name, make_objective(), options, folder, images)
    return status()


if __name__ == "__main__":
    sys.exit(main())
