# SPDX-License-Identifier: MIT
"""CRATE-GPT2 and GPT-2 as PyTorch modules: written from the papers, with nanoGPT's names of every parameter."""

import math
import pathlib
import sys

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "pytorch"))
from published_models import Ista  # noqa: E402


class CausalAttention(nn.Module):
    """MSSA, whose queries, keys and values are one projection, or GPT-2's attention, whose are three."""

    def __init__(self, dim, heads, context, projections):
        super().__init__()
        self.heads, self.projections = heads, projections
        self.c_attn = nn.Linear(dim, projections * dim, bias=projections > 1)
        self.c_proj = nn.Linear(dim, dim)
        self.register_buffer("hidden", torch.ones(context, context, dtype=torch.bool).triu(1), persistent=False)

    def forward(self, x):
        batch, tokens, dim = x.shape
        parts = self.c_attn(x).view(batch, tokens, self.projections, self.heads, dim // self.heads).unbind(2)
        queries, keys, values = (part.transpose(1, 2) for part in (parts if self.projections > 1 else 3 * parts))
        scores = queries @ keys.transpose(-2, -1) / math.sqrt(dim // self.heads)
        scores = scores.masked_fill(self.hidden[:tokens, :tokens], -math.inf)
        return self.c_proj((scores.softmax(-1) @ values).transpose(1, 2).reshape(batch, tokens, dim))


class CrateBlock(nn.Module):
    def __init__(self, dim, heads, context):
        super().__init__()
        self.prenorm_1, self.attn = nn.LayerNorm(dim), CausalAttention(dim, heads, context, 1)
        self.prenorm_2, self.ista = nn.LayerNorm(dim), Ista(dim, 0.1, 0.1)

    def forward(self, x):
        return self.ista(self.prenorm_2(x + self.attn(self.prenorm_1(x))))


class Mlp(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x)))


class Gpt2Block(nn.Module):
    def __init__(self, dim, heads, context):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(dim), CausalAttention(dim, heads, context, 3)
        self.ln_2, self.mlp = nn.LayerNorm(dim), Mlp(dim)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class LanguageModel(nn.Module):
    """Ids, batch x tokens, to logits; the head is the embedding."""

    def __init__(self, block, norm, vocabulary, context, dim, depth, heads):
        super().__init__()
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(vocabulary, dim), "wpe": nn.Embedding(context, dim),
            "h": nn.ModuleList(block(dim, heads, context) for _ in range(depth)), "ln_f": norm})
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and "ista" not in name:
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * depth if "c_proj" in name else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, ids):
        parts = self.transformer
        x = parts.wte(ids) + parts.wpe.weight[: ids.shape[1]]
        for block in parts.h:
            x = block(x)
        return F.linear(parts.ln_f(x), parts.wte.weight)


def crate_gpt2(vocabulary, context, dim, depth, heads):
    return LanguageModel(CrateBlock, nn.Identity(), vocabulary, context, dim, depth, heads)


def gpt2(vocabulary, context, dim, depth, heads):
    return LanguageModel(Gpt2Block, nn.LayerNorm(dim), vocabulary, context, dim, depth, heads)
