# SPDX-License-Identifier: MIT
"""Compares run_model with PyTorch on models of odd shapes, in every file format, and loads back what convert_weights wrote.

Usage: compare.py FOLDER_OF_THE_PROGRAMS
"""

import collections
import math
import os
import subprocess
import sys
import tempfile

from comparison import PROGRAMS, check, fail, heads_of, options_of, randomise, run, status
import torch

import safetensors_file
import synthetic_weights
from published_models import Crate, CrateAlpha, CrateMae


def coding_rates(model, x_before, eps=0.01):
    """Mean and deviation over the batch of the coding rate of U^T LN(Z), tokens of unit length."""
    attention = model
    w = attention.fn.qkv(attention.norm(x_before))
    batch, tokens, _ = w.shape
    w = w.reshape(batch, tokens, attention.fn.heads, attention.fn.dim_head).transpose(1, 2).double()
    w = w / w.norm(dim=-1, keepdim=True)
    identity = torch.eye(tokens, dtype=torch.float64)
    gram = identity + attention.fn.dim_head / (tokens * eps) * w @ w.transpose(-1, -2)
    rate = 0.5 * torch.logdet(gram).sum(-1)
    return rate.mean(), rate.std() if batch > 1 else torch.zeros((), dtype=torch.float64)


def check_layers(what, found, layers, seen, tolerance):
    check(f"{what} tokens", found.get("tokens"), seen.tokens[0], tolerance)
    for i, (half, out) in enumerate(seen.decoder_layers):
        check(f"{what} decoder_layers.{i}.half", found.get(f"decoder_layers.{i}.half"), half, tolerance)
        check(f"{what} decoder_layers.{i}.out", found.get(f"decoder_layers.{i}.out"), out, tolerance)
    mean, deviation, zeros, before = [], [], [], seen.tokens[0]
    for i, (half, out) in enumerate(seen.layers):
        check(f"{what} layers.{i}.half", found.get(f"layers.{i}.half"), half, tolerance)
        check(f"{what} layers.{i}.out", found.get(f"layers.{i}.out"), out, tolerance)
        rate = coding_rates(layers[i], before)
        mean.append(rate[0])
        deviation.append(rate[1])
        zeros.append((out == 0).double().mean())
        before = out
    check(f"{what} coding_rate_mean", found.get("coding_rate_mean"), torch.stack(mean), max(tolerance, 1e-12))
    check(f"{what} coding_rate_std", found.get("coding_rate_std"), torch.stack(deviation), 1e3 * tolerance)
    check(f"{what} zero_fraction", found.get("zero_fraction"), torch.stack(zeros), 1e-3)


def save_in_formats(state, folder, dtype):
    """The same weights in every file format, with how exactly each keeps them."""
    wrapped = collections.OrderedDict(("module." + name, tensor) for name, tensor in state.items())
    def path(name):
        return os.path.join(folder, name)
    torch.save(state, path("zip.pth"))
    torch.save(state, path("legacy.pth"), _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "arch": "crate", "state_dict": wrapped, "optimizer": {"state": {}, "param_groups": []}},
               path("checkpoint.pth.tar"))
    torch.save({"model": collections.OrderedDict(("_orig_mod." + n, t) for n, t in state.items())}, path("compiled.pth"))
    safetensors_file.save(path("plain.safetensors"), state)
    files = {name: 1.0 for name in ("zip.pth", "legacy.pth", "checkpoint.pth.tar", "compiled.pth", "plain.safetensors")}
    if dtype == torch.float32:
        for name, half in (("half", torch.float16), ("bfloat16", torch.bfloat16)):
            rounded = collections.OrderedDict((key, tensor.to(half)) for key, tensor in state.items())
            torch.save(rounded, path(name + ".pth"))
            safetensors_file.save(path(name + ".safetensors"), rounded)
            files[name + ".pth"] = files[name + ".safetensors"] = None
    return files


def arguments_of(settings):
    patch = settings["patch"]
    result = heads_of(settings)
    if patch[0] != patch[1]:
        result += ["--patch", f"{patch[0]}x{patch[1]}"]
    return result + options_of(settings)


class Seen:
    """What a forward pass shows: the tokens that enter the first layer, and the halves of every layer."""

    def __init__(self):
        self.tokens, self.layers, self.decoder_layers = [], [], []


def outputs_of(model, images, noise, seen=None):
    seen = seen or Seen()
    first = model.blocks[0] if isinstance(model, CrateMae) else model.transformer
    hook = first.register_forward_pre_hook(lambda _, inputs: seen.tokens.append(inputs[0]))
    try:
        with torch.no_grad():
            if isinstance(model, CrateMae):
                latent, pred, mask, loss = model(images, noise, seen.layers, seen.decoder_layers)
                result = {"latent": latent, "pred": pred, "mask": mask}
                return {**result, "loss": loss.reshape(1)} if loss is not None else result
            return {"logits": model(images, seen.layers)}
    finally:
        hook.remove()


def attention_layers(model):
    if isinstance(model, CrateMae):
        return [block.layers[0][0] for block in model.blocks]
    return [pair[0] for pair in model.transformer.layers]


def compare(kind, settings, batch, dtype, masked=True):
    what = f"{kind.__name__} {settings} {dtype}"
    model = kind(**settings)
    randomise(model)
    model = model.to(dtype)
    channels = settings["channels"]
    images = torch.randn(batch, channels, *settings["image"]).to(dtype)
    patches = math.prod(i // p for i, p in zip(settings["image"], settings["patch"]))
    inputs = {"images": images}
    noise = None
    if kind is CrateMae and masked:
        noise = inputs["noise"] = torch.rand(batch, patches).to(dtype)
    tolerance = 1e-10 if dtype == torch.float64 else 2e-5
    with tempfile.TemporaryDirectory() as folder:
        weights_in = save_in_formats(model.state_dict(), folder, dtype)
        input_path, output_path = os.path.join(folder, "input.safetensors"), os.path.join(folder, "output.safetensors")
        safetensors_file.save(input_path, inputs)
        for name, exact in weights_in.items():
            reference = model
            if exact is None:
                reference = kind(**settings)
                half = torch.float16 if name.startswith("half") else torch.bfloat16
                reference.load_state_dict({key: tensor.to(half).float() for key, tensor in model.state_dict().items()})
            seen = Seen()
            expected = outputs_of(reference, images, noise, seen)
            run("run_model", "--weights", os.path.join(folder, name), "--input", input_path, "--output", output_path,
                "--layers", "--threads", 2, *arguments_of(settings))
            found = safetensors_file.load(output_path)
            for key, value in expected.items():
                check(f"{what} {name} {key}", found.get(key), value, tolerance)
            with torch.no_grad():
                check_layers(f"{what} {name}", found, attention_layers(reference), seen, tolerance)
        check_written(what, kind, settings, model, folder, input_path, output_path, expected_of=(images, noise), dtype=dtype)


def check_written(what, kind, settings, model, folder, input_path, output_path, expected_of, dtype):
    """What we write loads strictly in PyTorch, and here without any option."""
    written = os.path.join(folder, "written.safetensors")
    options = heads_of(settings)
    image, patch = settings["image"], settings["patch"]
    options += ["--image", f"{image[0]}x{image[1]}", "--patch", f"{patch[0]}x{patch[1]}"]
    run("convert_weights", os.path.join(folder, "zip.pth"), "--output", written, *options)
    back = kind(**settings).to(dtype)
    back.load_state_dict(safetensors_file.load(written), strict=True)
    expected = outputs_of(back, *expected_of)
    for key, value in outputs_of(model, *expected_of).items():
        check(f"{what} written {key}", expected[key], value, 0)
    run("run_model", "--weights", written, "--input", input_path, "--output", output_path, *options_of(settings))
    found = safetensors_file.load(output_path)
    for key, value in expected.items():
        check(f"{what} written, run {key}", found.get(key), value, 1e-10 if dtype == torch.float64 else 2e-5)


def check_refused(what, arguments, *parts):
    """The program ends with status 1 or 2, and a message that has all the parts."""
    result = subprocess.run([os.path.join(PROGRAMS, "run_model"), *map(str, arguments)], capture_output=True, text=True)
    missing = [part for part in parts if part not in result.stderr]
    if result.returncode not in (1, 2) or missing:
        fail(what, f"status {result.returncode}, {result.stderr.strip()!r} without {missing}")


def refusals():
    """Options that contradict the weights, and those that are needed and missing, are errors that name them."""
    square = dict(image=(16, 16), patch=(4, 4), channels=3, classes=5, dim=12, depth=1, heads=3, dim_head=4)
    oblong = {**square, "image": (8, 12), "patch": (2, 6)}
    with tempfile.TemporaryDirectory() as folder:
        def path(name):
            return os.path.join(folder, name)
        def arguments(weights, images="images", *options):
            return ["--weights", path(weights), "--input", path(images), "--output", path("output"), *options]
        for name, kind, settings in (("square", Crate, square), ("oblong", Crate, oblong), ("alpha", CrateAlpha, square)):
            torch.save(kind(**settings).state_dict(), path(name))
        mae = {key: value for key, value in square.items() if key != "classes"}
        torch.save(CrateMae(**mae, decoder_depth=1).state_dict(), path("mae"))
        run("convert_weights", path("square"), "--output", path("written"), "--heads", 3)
        images = {"images": torch.randn(2, 3, 16, 16)}
        safetensors_file.save(path("images"), images)
        safetensors_file.save(path("oblong images"), {"images": torch.randn(2, 3, 8, 12)})
        safetensors_file.save(path("grey images"), {"images": torch.randn(2, 1, 16, 16)})
        safetensors_file.save(path("large images"), {"images": torch.randn(2, 3, 20, 20)})
        safetensors_file.save(path("no images"), {"pictures": torch.randn(2, 3, 16, 16)})
        safetensors_file.save(path("empty images"), {"images": torch.empty(0, 3, 16, 16)})
        safetensors_file.save(path("flat images"), {"images": torch.randn(2, 16, 16)})
        safetensors_file.save(path("whole images"), {"images": torch.ones(2, 3, 16, 16, dtype=torch.int64)})
        safetensors_file.save(path("short noise"), {**images, "noise": torch.rand(2, 15)})
        safetensors_file.save(path("no number"), {**images, "noise": torch.full((2, 16), math.nan)})
        for name in ("square", "alpha", "mae"):
            check_refused("without heads", arguments(name), "heads: expected to be given")
        check_refused("heads", arguments("square", "images", "--heads", 5), "heads that divide the 12", "found 5")
        check_refused("heads of the file", arguments("written", "images", "--heads", 4), "heads: expected 3", "found 4")
        check_refused("patch that is not a square", arguments("oblong", "oblong images", "--heads", 3, "--channels", 3, "--image", "8x12"),
                      "pixels of a patch", "not a square")
        check_refused("patch", arguments("square", "images", "--heads", 3, "--patch", "4x5"), "pixels of a patch", "4 x 5")
        check_refused("patch of a kernel", arguments("alpha", "images", "--heads", 3, "--patch", "8x8"),
                      "patch height: expected 4", "found 8")
        check_refused("image", arguments("square", "images", "--heads", 3, "--image", "16x20"), "image width: expected 20", "found 16")
        check_refused("size of the input", arguments("square", "large images", "--heads", 3), "number of patches", "16")
        check_refused("channels", arguments("alpha", "grey images", "--heads", 3), "channels: expected 3", "found 1")
        check_refused("no images", arguments("square", "no images", "--heads", 3), "expected a tensor 'images'")
        for name in ("empty images", "flat images"):
            check_refused(name, arguments("square", name, "--heads", 3), "expected shape [images, channels, height, width]")
        check_refused("whole images", arguments("square", "whole images", "--heads", 3), "expected F64, F32, F16 or BF16", "I64")
        check_refused("short noise", arguments("mae", "short noise", "--heads", 3), "expected shape [2, 16], found [2, 15]")
        check_refused("noise that is no number", arguments("mae", "no number", "--heads", 3), "tensor 'noise'", "nan")
        for options in (("--step-size", -1), ("--lambda", "nan"), ("--heads", 0), ("--heads", -3)):
            check_refused(f"{options}", arguments("square", "images", *(() if options[0] == "--heads" else ("--heads", 3)), *options),
                          "expected")
        for ratio in (1, -0.1, "nan"):
            check_refused(f"mask ratio {ratio}", arguments("mae", "images", "--heads", 3, "--mask-ratio", ratio), "mask ratio in [0, 1)")
        check_refused("mask ratio of a classifier", arguments("square", "images", "--heads", 3, "--mask-ratio", 0.5), "mask ratio")
        check_refused("pixels of a classifier", arguments("square", "images", "--heads", 3, "--normalise-patches"), "pixels")
        check_refused("decoder heads of a classifier", arguments("square", "images", "--heads", 3, "--decoder-heads", 2),
                      "decoder heads: expected the weights of a masked autoencoder, found those of a classifier")
        for heads in (0, 5):
            check_refused(f"{heads} decoder heads", arguments("mae", "images", "--heads", 3, "--decoder-heads", heads), "decoder heads")
        check_refused("pooling of an autoencoder", arguments("mae", "images", "--heads", 3, "--pool", "mean"), "pooling")


def full_size():
    """CRATE-Large on synthetic weights, whose logits have unit deviation. In float, the order of the sums of each library
    on each processor decides which of the two comes nearer to double: their errors differ by a factor of 2 either way."""
    model = Crate(image=(224, 224), patch=(16, 16), channels=3, classes=1000, dim=1024, depth=24, heads=16, dim_head=64)
    synthetic_weights.fill(model)
    images = synthetic_weights.image()
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("weights.pth", "images", "output")]
        torch.save(model.state_dict(), paths[0])
        safetensors_file.save(paths[1], {"images": images})
        run("run_model", "--weights", paths[0], "--heads", 16, "--input", paths[1], "--output", paths[2], "--threads", 2)
        found = safetensors_file.load(paths[2])["logits"].double()
        own = outputs_of(model, images, None)["logits"].double()
        exact = outputs_of(model.double(), images.double(), None)["logits"]
    error, own_error = ((logits - exact).square().mean().sqrt().item() for logits in (found, own))
    print(f"CRATE-Large: logits within {error:.2g} of PyTorch's in double, its own in float within {own_error:.2g}")
    if not max(error, own_error) < 2e-4:
        raise RuntimeError("CRATE-Large differs from PyTorch")


def main():
    torch.manual_seed(1)
    base = dict(image=(32, 32), patch=(8, 8), channels=3, classes=10, dim=48, depth=3, heads=3, dim_head=16)
    oblong = dict(image=(12, 35), patch=(4, 5), channels=2, classes=7, dim=30, depth=2, heads=5, dim_head=7,
                  pool="mean", step=0.3, lambd=0.02)
    single = dict(image=(9, 9), patch=(3, 3), channels=1, classes=4, dim=20, depth=2, heads=1, dim_head=20)
    narrow = dict(image=(10, 6), patch=(5, 3), channels=1, classes=3, dim=17, depth=1, heads=1, dim_head=5, lambd=1.5)
    for dtype in (torch.float32, torch.float64):
        for settings in (base, oblong, single, narrow):
            compare(Crate, settings, 3, dtype)
            compare(CrateAlpha, settings, 1 if settings is single else 2, dtype)
            mae = {key: value for key, value in settings.items() if key not in ("classes", "pool")}
            mae.update(dim=4 * (settings["dim"] // 4), decoder_depth=settings["depth"] + 1)
            if settings is single:
                mae["dim_head"] = mae["dim"]
            compare(CrateMae, mae, 2, dtype)
            compare(CrateMae, {**mae, "mask_ratio": 0.4, "normalise_pixels": True}, 3, dtype)
            compare(CrateMae, mae, 1, dtype, masked=False)
            for decoder_heads, decoder_dim_head in ((1, mae["dim"]), (2, 3)):
                compare(CrateMae, {**mae, "decoder_heads": decoder_heads, "decoder_dim_head": decoder_dim_head}, 2, dtype)
    refusals()
    full_size()
    return status()


if __name__ == "__main__":
    sys.exit(main())
