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

try:
    import torch
except ImportError:
    print("PyTorch (python3-torch) is not installed: nothing was compared")
    sys.exit(77)

import safetensors_file
from published_models import Crate, CrateAlpha, CrateMae

PROGRAMS = sys.argv[1]
failures = 0


def run(program, *arguments):
    result = subprocess.run([os.path.join(PROGRAMS, program), *map(str, arguments)], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{program} {arguments}: {result.stderr.strip()}")
    return result.stdout


def check(what, found, expected, tolerance):
    """Largest difference against the largest entry."""
    global failures
    if found is None or tuple(found.shape) != tuple(expected.shape):
        print(f"FAILED {what}: shape {None if found is None else tuple(found.shape)}, expected {tuple(expected.shape)}")
        failures += 1
        return
    expected = expected.double()
    error = ((found.double() - expected).abs().max() / expected.abs().max().clamp_min(1e-300)).item()
    if not error <= tolerance:
        failures += 1
        print(f"FAILED {what}: error {error:.3g}, at most {tolerance:.3g} expected")


def randomise(model):
    """Other values than the initial ones everywhere, so that no norm is the identity and no bias zero."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.copy_((1 if name.endswith("weight") else 0) + 0.2 * torch.randn_like(parameter))


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


def check_layers(what, found, layers, start, seen, tolerance):
    mean, deviation, zeros, before = [], [], [], start
    for i, (half, out) in enumerate(seen):
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


def arguments_of(settings, dtype):
    patch = settings["patch"]
    result = ["--heads", settings["heads"]]
    if patch[0] != patch[1]:
        result += ["--patch", f"{patch[0]}x{patch[1]}"]
    for option, key in (("--pool", "pool"), ("--step-size", "step"), ("--lambda", "lambd"), ("--mask-ratio", "mask_ratio")):
        if key in settings:
            result += [option, settings[key]]
    if settings.get("normalise_pixels"):
        result += ["--normalize-pixels"]
    return result


def outputs_of(model, images, noise, seen):
    with torch.no_grad():
        if isinstance(model, CrateMae):
            latent, pred, mask, loss = model(images, noise, seen)
            result = {"latent": latent, "pred": pred, "mask": mask}
            return {**result, "loss": loss.reshape(1)} if loss is not None else result
        return {"logits": model(images, seen)}


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
            seen = []
            expected = outputs_of(reference, images, noise, seen)
            run("run_model", "--weights", os.path.join(folder, name), "--input", input_path, "--output", output_path,
                "--layers", "--threads", 2, *arguments_of(settings, dtype))
            found = safetensors_file.load(output_path)
            for key, value in expected.items():
                check(f"{what} {name} {key}", found.get(key), value, tolerance)
            with torch.no_grad():
                check_layers(f"{what} {name}", found, attention_layers(reference), found["tokens"], seen, tolerance)
        check_written(what, kind, settings, model, folder, input_path, output_path, expected_of=(images, noise), dtype=dtype)


def check_written(what, kind, settings, model, folder, input_path, output_path, expected_of, dtype):
    """What we write loads strictly in PyTorch, and here without any option."""
    written = os.path.join(folder, "written.safetensors")
    options = ["--heads", settings["heads"]]
    image, patch = settings["image"], settings["patch"]
    options += ["--image", f"{image[0]}x{image[1]}", "--patch", f"{patch[0]}x{patch[1]}"]
    run("convert_weights", os.path.join(folder, "zip.pth"), "--output", written, *options)
    back = kind(**settings).to(dtype)
    back.load_state_dict(safetensors_file.load(written), strict=True)
    expected = outputs_of(back, *expected_of, None)
    for key, value in outputs_of(model, *expected_of, None).items():
        check(f"{what} written {key}", expected[key], value, 0)
    settings_only = [str(a) for a in arguments_of(settings, dtype)]
    for structural in ("--heads", "--patch"):
        if structural in settings_only:
            at = settings_only.index(structural)
            del settings_only[at:at + 2]
    run("run_model", "--weights", written, "--input", input_path, "--output", output_path, *settings_only)
    found = safetensors_file.load(output_path)
    for key, value in expected.items():
        check(f"{what} written, run {key}", found.get(key), value, 1e-10 if dtype == torch.float64 else 2e-5)


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
    print("all agree" if failures == 0 else f"{failures} comparisons failed")
    return 0 if failures == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
