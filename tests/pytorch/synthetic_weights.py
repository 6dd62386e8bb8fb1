# SPDX-License-Identifier: MIT
"""Weights of any size from the published names alone, equal to those of tests/models/synthetic_weights.hpp."""

import math

import torch


def signed(number):
    """The 64 bits of a number as torch has them."""
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >= 1 << 63 else number


def shifted(z, places):
    return (z >> places) & ((1 << (64 - places)) - 1)


def stream(name, count):
    """The first numbers of the stream of a name, in [-1, 1): splitmix64 of the name's FNV-1a hash."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
    z = torch.arange(1, count + 1) * signed(0x9E3779B97F4A7C15) + signed(h)
    z = (z ^ shifted(z, 30)) * signed(0xBF58476D1CE4E5B9)
    z = (z ^ shifted(z, 27)) * signed(0x94D049BB133111EB)
    z = z ^ shifted(z, 31)
    return shifted(z, 40).double() / 8388608 - 1


def fill(model):
    """Near 1 for one-dimensional weights, near 0 for other vectors, of unit gain otherwise."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            u = stream(name, parameter.numel()).reshape(parameter.shape)
            if parameter.dim() == 1:
                parameter.copy_(1 + 0.1 * u if name.endswith("weight") else 0.02 * u)
            else:
                parameter.copy_(u * math.sqrt(3 / parameter[0].numel() if parameter.dim() == 4 else 3 / parameter.shape[-1]))


def image():
    return (stream("image", 3 * 224 * 224) * 1.7320508).float().reshape(1, 3, 224, 224)
