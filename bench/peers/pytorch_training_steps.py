# SPDX-License-Identifier: MIT
"""Training steps in PyTorch, one for every line on the input, answered with the milliseconds that it took and the loss
before it.

Usage: pytorch_training_steps.py TASK WEIGHTS EXAMPLES LABELS BATCH    (writes the weights it starts from)
TASK is fashion, base, crate-gpt2 or gpt2.
"""

import math
import sys
import time

import numpy
import torch
from torch.nn import functional as F

from pytorch_language_models import crate_gpt2, gpt2
from pytorch_models import Crate, SIZES
import safetensors_file

TEXT_MODELS = {"crate-gpt2": crate_gpt2, "gpt2": gpt2}
VOCABULARY, CONTEXT = 65, 64


def model_of(task):
    torch.manual_seed(0)
    if task in TEXT_MODELS:
        return TEXT_MODELS[task](VOCABULARY, CONTEXT, dim=128, depth=4, heads=4)
    if task == "fashion":
        return Crate((28, 28), (4, 4), 1, 10, 96, 4, 4, 24)
    dim, depth, heads = SIZES[task]
    return Crate((224, 224), (16, 16), 3, 1000, dim, depth, heads, dim // heads)


def read_examples(task, examples_path, labels_path):
    labels = torch.from_numpy(numpy.fromfile(labels_path, numpy.int32)).long()
    if task in TEXT_MODELS:
        ids = torch.from_numpy(numpy.fromfile(examples_path, numpy.int32)).long()
        return ids.view(-1, CONTEXT), labels.view(-1, CONTEXT)
    shape = (1, 28, 28) if task == "fashion" else (3, 224, 224)
    return torch.from_numpy(numpy.fromfile(examples_path, numpy.float32)).view(-1, *shape), labels


class ImageRecipe:
    rate, warm_up, steps, final_factor, label_smoothing, largest_norm = 1e-3, 468, 2340, 0, 0.1, 0

    def optimiser(self, model):
        return torch.optim.AdamW(model.parameters(), lr=self.rate, weight_decay=0.05)


class TextRecipe:
    rate, warm_up, steps, final_factor, label_smoothing, largest_norm = 1e-3, 100, 2000, 0.1, 0, 1

    def optimiser(self, model):
        matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
        vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
        return torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0}],
                                 lr=self.rate, betas=(0.9, 0.99))


def rate_factor(recipe, step):
    if step < recipe.warm_up:
        return (step + 1) / recipe.warm_up
    cosine = 0.5 * (1 + math.cos(math.pi * min(1, (step - recipe.warm_up) / (recipe.steps - recipe.warm_up))))
    return recipe.final_factor + (1 - recipe.final_factor) * cosine


def main():
    task, weights, examples_path, labels_path, batch = sys.argv[1:]
    batch = int(batch)
    model = model_of(task)
    safetensors_file.save(weights, model.state_dict())
    examples, labels = read_examples(task, examples_path, labels_path)
    recipe = TextRecipe() if task in TEXT_MODELS else ImageRecipe()
    optimiser = recipe.optimiser(model)

    def step(number):
        chosen = torch.arange(number * batch, (number + 1) * batch) % len(examples)
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * rate_factor(recipe, number)
        optimiser.zero_grad(set_to_none=True)
        logits = model(examples[chosen])
        loss = F.cross_entropy(logits.flatten(0, -2), labels[chosen].flatten(), label_smoothing=recipe.label_smoothing)
        loss.backward()
        if recipe.largest_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.largest_norm)
        optimiser.step()
        return loss.item()

    print("ready", flush=True)
    for number, _ in enumerate(sys.stdin):
        start = time.perf_counter()
        loss = step(number)
        print(1e3 * (time.perf_counter() - start), loss, flush=True)


if __name__ == "__main__":
    main()
