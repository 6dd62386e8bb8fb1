# SPDX-License-Identifier: MIT
"""Training steps in PyTorch, one for every line on the input, answered with the milliseconds that it took and the loss
before it.

Usage: pytorch_training_steps.py fashion|base WEIGHTS IMAGES LABELS BATCH    (writes the weights it starts from)
"""

import math
import sys
import time

import numpy
import torch
from torch.nn import functional as F

from pytorch_models import Crate, SIZES
import safetensors_file

WARM_UP, STEPS, RATE = 468, 2340, 1e-3


def model_of(task):
    torch.manual_seed(0)
    if task == "fashion":
        return Crate((28, 28), (4, 4), 1, 10, 96, 4, 4, 24), (1, 28, 28)
    dim, depth, heads = SIZES[task]
    return Crate((224, 224), (16, 16), 3, 1000, dim, depth, heads, dim // heads), (3, 224, 224)


def rate_factor(step):
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * min(1, (step - WARM_UP) / (STEPS - WARM_UP))))


def main():
    task, weights, images_path, labels_path, batch = sys.argv[1:]
    batch = int(batch)
    model, shape = model_of(task)
    safetensors_file.save(weights, model.state_dict())
    images = torch.from_numpy(numpy.fromfile(images_path, numpy.float32)).reshape(-1, *shape)
    labels = torch.from_numpy(numpy.fromfile(labels_path, numpy.int32)).long()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)

    def step(number):
        chosen = torch.arange(number * batch, (number + 1) * batch) % len(images)
        optimiser.param_groups[0]["lr"] = RATE * rate_factor(number)
        optimiser.zero_grad()
        loss = F.cross_entropy(model(images[chosen]), labels[chosen], label_smoothing=0.1)
        loss.backward()
        optimiser.step()
        return loss.item()

    print("ready", flush=True)
    for number, _ in enumerate(sys.stdin):
        start = time.perf_counter()
        loss = step(number)
        print(1e3 * (time.perf_counter() - start), loss, flush=True)


if __name__ == "__main__":
    main()
