# SPDX-License-Identifier: MIT
"""Self-distillation in PyTorch on part of Fashion-MNIST, with numbers drawn by PyTorch and Python. Prints a JSON object
a line: first the untrained encoder's accuracy, then what every epoch brought.

Usage: pytorch_self_distillation.py coding-rate|dino FOLDER IMAGES EPOCHS SEED
"""

import copy
import gzip
import json
import pathlib
import random
import sys
import time

import numpy
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "pytorch"))
from counted_random import shuffled, stream_of_name  # noqa: E402
from self_distillation_recipe import (CodingRate, Dino, OwnDraws, Training, Views,  # noqa: E402
                                      nearest_neighbour_accuracy, small_student)

BATCH, JUDGED, GAUGED, SIDE = 64, 5000, 512, 28
ORDER = stream_of_name("order")  # of epoch 0, with seed 0


def read(folder, name, header):
    for path in folder / name, folder / f"{name}.gz":
        if path.exists():
            with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
                return numpy.frombuffer(file.read()[header:], numpy.uint8)
    sys.exit(f"{folder / name}: neither it nor {name}.gz is there")


def read_split(folder, split):
    images = read(folder, f"{split}-images-idx3-ubyte", 16).reshape(-1, SIDE, SIDE) / 255.0
    return images, torch.from_numpy(read(folder, f"{split}-labels-idx1-ubyte", 8).astype(numpy.int64))


def part_of(images, labels, count):
    """Those that train_dino chooses."""
    if count >= len(images):
        return images, labels
    chosen = sorted(shuffled(len(images), 0, ORDER)[:count])
    return images[chosen], labels[chosen]


class Judge:
    """Nearest neighbours of the features of images that were trained on and of test images, and the spread of some of
    these."""

    def __init__(self, known, asked, normalised):
        self.known, self.asked = (normalised(images) for images, _ in (known, asked))
        self.known_labels, self.asked_labels = known[1], asked[1]
        self.some = normalised(part_of(*asked, GAUGED)[0])

    @torch.no_grad()
    def accuracy(self, model):
        known, asked = (torch.cat([model.pooled(some) for some in images.split(500)])
                        for images in (self.known, self.asked))
        return nearest_neighbour_accuracy(known, self.known_labels, asked, self.asked_labels)

    @torch.no_grad()
    def spread(self, model, objective):
        return objective.spread(model(self.some))


def train_epoch(training, images, views, draws, normalised, generator):
    """The mean loss, and the processor's milliseconds a step."""
    order, steps = generator.permutation(len(images)), len(images) // BATCH
    losses, drawing, stepping = [], 0.0, 0.0
    for step in range(steps):
        start = time.process_time()
        batch = images[order[step * BATCH:(step + 1) * BATCH]]
        seen = [normalised(numpy.stack([views.draw(image, v, draws) for image in batch]))
                for v in range(len(views.kinds))]
        drawn = time.process_time()
        losses.append(training.step(seen))
        drawing, stepping = drawing + drawn - start, stepping + time.process_time() - drawn
    return {"training_loss": sum(losses) / steps, "milliseconds_drawing": 1e3 * drawing / steps,
            "milliseconds": 1e3 * stepping / steps}


def main():
    name, folder, count, epochs, seed = sys.argv[1:]
    folder, count, epochs, seed = pathlib.Path(folder), int(count), int(epochs), int(seed)
    torch.manual_seed(seed)
    draws = OwnDraws(random.Random(seed))
    training_set, test_set = read_split(folder, "train"), read_split(folder, "t10k")
    mean, deviation = training_set[0].mean(), training_set[0].std()

    def normalised(images):
        return torch.from_numpy((images - mean) / deviation).float().unsqueeze(1)

    images, labels = part_of(*training_set, count)
    judge = Judge(part_of(images, labels, JUDGED), part_of(*test_set, JUDGED), normalised)
    objective = Dino() if name == "dino" else CodingRate()
    student, views = small_student(objective.outputs), Views()
    steps_per_epoch = len(images) // BATCH
    training = Training(student, copy.deepcopy(student), objective, epochs * steps_per_epoch, steps_per_epoch)
    print(json.dumps({"untrained": judge.accuracy(student)}), flush=True)
    for epoch in range(epochs):
        brought = train_epoch(training, images, views, draws, normalised, numpy.random.default_rng([seed, epoch]))
        teacher = training.teacher
        print(json.dumps(brought | {"test_spread": judge.spread(teacher, objective),
                                    "test_knn_accuracy": judge.accuracy(teacher)}), flush=True)


if __name__ == "__main__":
    main()
