# SPDX-License-Identifier: MIT
"""What the comparisons with PyTorch share. Usage of each: PROGRAM.py FOLDER_OF_THE_PROGRAMS"""

import os
import subprocess
import sys

try:
    import torch
except ImportError:
    print("PyTorch (python3-torch) is not installed: nothing was compared")
    sys.exit(77)

PROGRAMS = sys.argv[1]
failures = []


def run(program, *arguments):
    result = subprocess.run([os.path.join(PROGRAMS, program), *map(str, arguments)], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{program} {arguments}: {result.stderr.strip()}")
    return result.stdout


def fail(what, text):
    failures.append(what)
    print(f"FAILED {what}: {text}")


def check(what, found, expected, tolerance):
    """Largest difference against the largest entry."""
    if found is None or tuple(found.shape) != tuple(expected.shape):
        fail(what, f"shape {None if found is None else tuple(found.shape)}, expected {tuple(expected.shape)}")
        return
    expected = expected.double()
    error = ((found.double() - expected).abs().max() / expected.abs().max().clamp_min(1e-300)).item()
    if not error <= tolerance:
        fail(what, f"error {error:.3g}, at most {tolerance:.3g} expected")


def randomise(model):
    """Other values than the initial ones everywhere, so that no norm is the identity and no bias zero."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.copy_((1 if name.endswith("weight") else 0) + 0.2 * torch.randn_like(parameter))


def heads_of(settings):
    """The options that tell the heads."""
    decoder = ["--decoder-heads", settings["decoder_heads"]] if "decoder_heads" in settings else []
    return ["--heads", settings["heads"], *decoder]


def options_of(settings):
    """The options of run_model for what the shapes of the weights do not tell, heads and patches apart."""
    options = []
    for option, key in (("--pool", "pool"), ("--step-size", "step"), ("--lambda", "lambd"), ("--mask-ratio", "mask_ratio")):
        if key in settings:
            options += [option, settings[key]]
    return options + ["--normalise-patches"] if settings.get("normalise_pixels") else options


def status():
    """Says how it went. The status to end with."""
    print(f"{len(failures)} comparisons failed" if failures else "all agree")
    return 1 if failures else 0
