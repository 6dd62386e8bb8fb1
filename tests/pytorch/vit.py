# SPDX-License-Identifier: MIT
"""Writes tests/fixtures/vit.safetensors: what a ViT in plain PyTorch computes, with the names that timm gives its parameters.

Usage: vit.py OUTPUT
"""

import sys

import torch
from torch.nn import functional as F

import safetensors_file

CHANNELS, HEIGHT, WIDTH, PATCH_HEIGHT, PATCH_WIDTH = 2, 8, 9, 4, 3
DIM, HEADS, HIDDEN, DEPTH, CLASSES = 12, 3, 20, 2, 5
TOKENS = 1 + HEIGHT // PATCH_HEIGHT * (WIDTH // PATCH_WIDTH)


def draw_parameters():
    shapes = {"cls_token": (1, 1, DIM), "pos_embed": (1, TOKENS, DIM),
              "patch_embed.proj.weight": (DIM, CHANNELS, PATCH_HEIGHT, PATCH_WIDTH), "patch_embed.proj.bias": (DIM,),
              "norm.weight": (DIM,), "norm.bias": (DIM,), "head.weight": (CLASSES, DIM), "head.bias": (CLASSES,)}
    for i in range(DEPTH):
        for name, shape in {"norm1.weight": (DIM,), "norm1.bias": (DIM,), "attn.qkv.weight": (3 * DIM, DIM),
                            "attn.qkv.bias": (3 * DIM,), "attn.proj.weight": (DIM, DIM), "attn.proj.bias": (DIM,),
                            "norm2.weight": (DIM,), "norm2.bias": (DIM,), "mlp.fc1.weight": (HIDDEN, DIM),
                            "mlp.fc1.bias": (HIDDEN,), "mlp.fc2.weight": (DIM, HIDDEN), "mlp.fc2.bias": (DIM,)}.items():
            shapes[f"blocks.{i}.{name}"] = shape
    return {name: (torch.randn(shape, dtype=torch.float64) / 2).requires_grad_() for name, shape in shapes.items()}


def vit(p, images, causal=False, gelu="none", steps=None):
    def norm(name, z):
        return F.layer_norm(z, (DIM,), p[name + ".weight"], p[name + ".bias"], 1e-6)

    def linear(name, z):
        return F.linear(z, p[name + ".weight"], p[name + ".bias"])

    z = F.conv2d(images, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=(PATCH_HEIGHT, PATCH_WIDTH))
    z = torch.cat([p["cls_token"].expand(len(images), -1, -1), z.flatten(2).transpose(1, 2)], 1) + p["pos_embed"]
    for i in range(DEPTH):
        block = f"blocks.{i}."
        qkv = linear(block + "attn.qkv", norm(block + "norm1", z))
        q, k, v = qkv.reshape(len(images), TOKENS, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-2, -1) / (DIM // HEADS) ** 0.5
        if causal:
            logits = logits.masked_fill(torch.ones(TOKENS, TOKENS).triu(1).bool(), -torch.inf)
        attended = (logits.softmax(-1) @ v).transpose(1, 2).reshape(z.shape)
        z = z + linear(block + "attn.proj", attended)
        half = z
        z = z + linear(block + "mlp.fc2", F.gelu(linear(block + "mlp.fc1", norm(block + "norm2", z)), approximate=gelu))
        if steps is not None:
            steps[f"activation/{block}half"], steps[f"activation/{block}out"] = half, z
    return linear("head", norm("norm", z[:, 0]))


def main():
    torch.manual_seed(1)
    p = draw_parameters()
    file = {"param/" + name: value for name, value in p.items()}
    images = file["input/images"] = torch.randn(3, CHANNELS, HEIGHT, WIDTH, dtype=torch.float64)
    labels = file["input/labels"] = torch.tensor([4, 0, 2])
    logits = file["output/logits"] = vit(p, images, steps=file)
    file["output/logits_causal"] = vit(p, images, causal=True)
    file["output/logits_tanh"] = vit(p, images, gelu="tanh")
    loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
    loss.backward()
    file["output/loss"] = loss.reshape(1)
    file.update({"grad/" + name: value.grad for name, value in p.items()})
    safetensors_file.save(sys.argv[1], file)


if __name__ == "__main__":
    main()
