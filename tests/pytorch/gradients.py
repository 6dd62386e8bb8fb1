# SPDX-License-Identifier: MIT
"""Compares the loss and the gradients that run_model writes with PyTorch's autograd, on models of odd shapes.

Usage: gradients.py FOLDER_OF_THE_PROGRAMS
"""

import math
import os
import sys
import tempfile

from comparison import check, heads_of, options_of, randomise, run, status
import torch

import safetensors_file
from published_models import Crate, CrateAlpha, CrateMae


def compare(kind, settings, batch, dtype):
    model = kind(**settings)
    randomise(model)
    model = model.to(dtype)
    inputs = {"images": torch.randn(batch, settings["channels"], *settings["image"]).to(dtype)}
    options = [*heads_of(settings), "--patch", "x".join(map(str, settings["patch"])), *options_of(settings)]
    if kind is CrateMae:
        patches = math.prod(i // p for i, p in zip(settings["image"], settings["patch"]))
        inputs["noise"] = torch.rand(batch, patches).to(dtype)
        loss = model(inputs["images"], inputs["noise"], None)[3]
    else:
        inputs["labels"] = torch.randint(0, settings["classes"], (batch,))
        inputs["labels"][0] = -1
        options += ["--label-smoothing", 0.2]
        loss = torch.nn.functional.cross_entropy(model(inputs["images"], None), inputs["labels"], ignore_index=-1,
                                                 label_smoothing=0.2)
    loss.backward()
    with tempfile.TemporaryDirectory() as folder:
        weights, given, written = (os.path.join(folder, name) for name in ("weights.pth", "in.safetensors", "out.safetensors"))
        torch.save(model.state_dict(), weights)
        safetensors_file.save(given, inputs)
        run("run_model", "--weights", weights, "--input", given, "--output", written, "--gradients", "--threads", 2, *options)
        found = safetensors_file.load(written)
    what, tolerance = f"{kind.__name__} {settings} {dtype}", 1e-10 if dtype == torch.float64 else 5e-5
    check(f"{what} loss", found["loss"], loss.detach().reshape(1), tolerance)
    expected = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    names = {name[5:] for name in found if name.startswith("grad/")}
    if names != set(expected):
        raise RuntimeError(f"{what}: gradients of {sorted(names ^ set(expected))} on one side alone")
    for name, gradient in expected.items():
        check(f"{what} grad/{name}", found["grad/" + name], gradient, tolerance)


def main():
    torch.manual_seed(1)
    oblong = dict(image=(12, 35), patch=(4, 5), channels=2, classes=7, dim=30, depth=2, heads=5, dim_head=7,
                  pool="mean", step=0.3, lambd=0.02)
    single = dict(image=(9, 9), patch=(3, 3), channels=1, classes=4, dim=20, depth=2, heads=1, dim_head=20)
    narrow = dict(image=(10, 6), patch=(5, 3), channels=1, classes=3, dim=17, depth=1, heads=1, dim_head=5, lambd=0.5)
    for dtype in (torch.float32, torch.float64):
        for settings in (oblong, single, narrow):
            compare(Crate, settings, 3, dtype)
            compare(CrateAlpha, settings, 2, dtype)
            mae = {key: value for key, value in settings.items() if key not in ("classes", "pool")}
            mae.update(dim=4 * (settings["dim"] // 4), decoder_depth=settings["depth"] + 1, mask_ratio=0.6)
            if settings is single:
                mae["dim_head"] = mae["dim"]
            compare(CrateMae, mae, 2, dtype)
            compare(CrateMae, {**mae, "normalise_pixels": True}, 3, dtype)
            compare(CrateMae, {**mae, "decoder_heads": 2, "decoder_dim_head": 3}, 2, dtype)
    return status()


if __name__ == "__main__":
    sys.exit(main())
