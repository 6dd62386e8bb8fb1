# SPDX-License-Identifier: MIT
"""The published models as PyTorch modules: written from the papers, with the published names of every parameter.

A row of a tensor is a token here; the C++ library has tokens as columns of the same bytes.
"""

import torch
from torch import nn
from torch.nn import functional as F


class PreNorm(nn.Module):
    def __init__(self, dim, fn, eps=1e-5):
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=eps)
        self.fn = fn

    def forward(self, x):
        return self.fn(self.norm(x))


class Attention(nn.Module):
    """MSSA with a free output: queries, keys and values are one projection."""

    def __init__(self, dim, heads, dim_head, bias=True):
        super().__init__()
        self.heads, self.dim_head = heads, dim_head
        self.qkv = nn.Linear(dim, heads * dim_head, bias=False)
        no_output = heads == 1 and dim_head == dim
        self.to_out = nn.Identity() if no_output else nn.Sequential(nn.Linear(heads * dim_head, dim, bias=bias))

    def forward(self, x):
        batch, tokens, _ = x.shape
        w = self.qkv(x).reshape(batch, tokens, self.heads, self.dim_head).transpose(1, 2)
        attention = torch.softmax(w @ w.transpose(-1, -2) * self.dim_head**-0.5, dim=-1)
        return self.to_out((attention @ w).transpose(1, 2).reshape(batch, tokens, -1))


class Ista(nn.Module):
    def __init__(self, dim, step, lambd):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, dim))
        nn.init.kaiming_uniform_(self.weight)
        self.step, self.lambd = step, lambd

    def forward(self, x):
        dx = x @ self.weight.T  # D x
        return F.relu(x + self.step * (x @ self.weight - dx @ self.weight) - self.step * self.lambd)


class OvercompleteIsta(nn.Module):
    def __init__(self, dim, step, lambd):
        super().__init__()
        self.D = nn.Parameter(torch.empty(dim, 4 * dim))
        self.D1 = nn.Parameter(torch.empty(dim, 4 * dim))
        nn.init.kaiming_uniform_(self.D)
        nn.init.kaiming_uniform_(self.D1)
        self.step, self.lambd = step, lambd

    def forward(self, x):
        codes = F.relu(self.step * (x @ self.D) - self.step * self.lambd)
        codes = F.relu(codes + self.step * ((x - codes @ self.D.T) @ self.D) - self.step * self.lambd)
        return codes @ self.D1.T


class Decode(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, dim))
        nn.init.kaiming_uniform_(self.weight)

    def forward(self, x):
        return x @ self.weight.T


class Layers(nn.Module):
    """Pairs of halves under `layers`; `combine` tells what a pair does."""

    def __init__(self, pairs, combine):
        super().__init__()
        self.layers = nn.ModuleList([nn.ModuleList(pair) for pair in pairs])
        self.combine = combine

    def forward(self, x, seen=None):
        for first, second in self.layers:
            x = self.combine(first, second, x, seen)
        return x


def note(seen, half, out):
    if seen is not None:
        seen.append((half, out))
    return out


def crate_layer(attention, ista, x, seen):
    half = x + attention(x)
    return note(seen, half, ista(half))


def alpha_layer(attention, odl, x, seen):
    half = x + attention(x)
    return note(seen, half, half + odl(half))


def decoder_layer(dictionary, attention, x, seen):
    half = dictionary(x)
    return note(seen, half, half - attention(half))


def cut(images, height, width):
    """[B, C, H, W] as [B, patches, rows, columns, channels] values of each patch."""
    b, c, h, w = images.shape
    x = images.reshape(b, c, h // height, height, w // width, width)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(b, (h // height) * (w // width), -1)


class Cut(nn.Module):
    def __init__(self, patch):
        super().__init__()
        self.patch = patch

    def forward(self, images):
        return cut(images, *self.patch)


class Crate(nn.Module):
    def __init__(self, image, patch, channels, classes, dim, depth, heads, dim_head, pool="cls", step=0.1, lambd=0.1):
        super().__init__()
        patches = (image[0] // patch[0]) * (image[1] // patch[1])
        pixels = channels * patch[0] * patch[1]
        self.to_patch_embedding = nn.Sequential(Cut(patch), nn.LayerNorm(pixels), nn.Linear(pixels, dim), nn.LayerNorm(dim))
        self.pos_embedding = nn.Parameter(torch.randn(1, patches + 1, dim))
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.transformer = Layers(
            [(PreNorm(dim, Attention(dim, heads, dim_head)), PreNorm(dim, Ista(dim, step, lambd))) for _ in range(depth)],
            crate_layer)
        self.pool = pool
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, classes))

    def forward(self, images, seen=None):
        x = self.to_patch_embedding(images)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embedding
        x = self.transformer(x, seen)
        return self.mlp_head(x.mean(dim=1) if self.pool == "mean" else x[:, 0])


class CrateAlpha(nn.Module):
    def __init__(self, image, patch, channels, classes, dim, depth, heads, dim_head, pool="cls", step=0.1, lambd=0.1):
        super().__init__()
        patches = (image[0] // patch[0]) * (image[1] // patch[1])
        self.conv1 = nn.Conv2d(channels, dim, patch, stride=patch)
        self.pos_embedding = nn.Parameter(torch.randn(1, patches + 1, dim))
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.transformer = Layers(
            [(PreNorm(dim, Attention(dim, heads, dim_head, bias=False), 1e-6),
              PreNorm(dim, OvercompleteIsta(dim, step, lambd), 1e-6)) for _ in range(depth)], alpha_layer)
        self.pool = pool
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, classes))

    def forward(self, images, seen=None):
        x = self.conv1(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embedding
        x = self.transformer(x, seen)
        return self.mlp_head(x.mean(dim=1) if self.pool == "mean" else x[:, 0])


class PatchEmbed(nn.Module):
    def __init__(self, patch, channels, dim):
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, patch, stride=patch)

    def forward(self, images):
        return self.proj(images).flatten(2).transpose(1, 2)


class CrateMae(nn.Module):
    def __init__(self, image, patch, channels, dim, depth, decoder_depth, heads, dim_head, mask_ratio=0.75,
                 normalise_pixels=False, step=0.1, lambd=0.5, decoder_heads=None, decoder_dim_head=None):
        super().__init__()
        self.patch, self.mask_ratio, self.normalise_pixels = patch, mask_ratio, normalise_pixels
        patches = (image[0] // patch[0]) * (image[1] // patch[1])
        self.patch_embed = PatchEmbed(patch, channels, dim)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.mask_token = nn.Parameter(torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.randn(1, patches + 1, dim), requires_grad=False)
        self.decoder_pos_embed = nn.Parameter(torch.randn(1, patches + 1, dim), requires_grad=False)
        self.blocks = nn.ModuleList([
            Layers([(PreNorm(dim, Attention(dim, heads, dim_head)), PreNorm(dim, Ista(dim, step, lambd)))], crate_layer)
            for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.decoder_embed = nn.Linear(dim, dim)
        self.decoder_blocks = nn.ModuleList([
            Layers([(PreNorm(dim, Decode(dim)),
                     PreNorm(dim, Attention(dim, decoder_heads or heads, decoder_dim_head or dim_head)))], decoder_layer)
            for _ in range(decoder_depth)])
        self.decoder_norm = nn.LayerNorm(dim, eps=1e-6)
        self.decoder_pred = nn.Linear(dim, channels * patch[0] * patch[1])

    def forward(self, images, noise=None, seen=None, seen_in_decoder=None):
        x = self.patch_embed(images)
        batch, patches, dim = x.shape
        mask = torch.zeros(batch, patches, dtype=x.dtype)
        if noise is not None:
            order = torch.argsort(noise, dim=1)
            kept = int(patches * (1 - self.mask_ratio))
            mask = torch.ones(batch, patches, dtype=x.dtype).scatter(1, order[:, :kept], 0.0)
        x = torch.where(mask[..., None] > 0, self.mask_token.expand(batch, patches, -1), x)
        x = torch.cat([self.cls_token.expand(batch, -1, -1), x], dim=1) + self.decoder_pos_embed
        for block in self.blocks:
            x = block(x, seen)
        latent = x = self.norm(x)
        for block in self.decoder_blocks:
            x = block(x, seen_in_decoder)
        pred = self.decoder_pred(self.decoder_norm(x))[:, 1:]
        target = cut(images, *self.patch)
        if self.normalise_pixels:
            target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6) ** 0.5
        error = ((pred - target) ** 2).mean(-1)
        loss = (error * mask).sum() / mask.sum() if noise is not None else None
        return latent, pred, mask, loss
