# SPDX-License-Identifier: MIT
"""The published models in PyTorch with random weights, and the same functions folded, for any engine to run."""

import copy
import pathlib
import sys

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "pytorch"))
from published_models import Crate, CrateAlpha, CrateMae  # noqa: E402

SIZES = {"tiny": (384, 12, 6), "small": (576, 12, 12), "base": (768, 12, 12), "large": (1024, 24, 16)}


def published(name):
    """The same weights at every call; no norm is the identity and no bias zero."""
    torch.manual_seed(0)
    dim, depth, heads = SIZES.get(name, SIZES["base"])
    image, patch, head = (224, 224), (16, 16), dim // heads
    if name == "alpha":
        model = CrateAlpha(image, patch, 3, 1000, dim, depth, heads, head)
    elif name == "mae":
        model = CrateMae(image, patch, 3, dim, depth, depth, heads, head)
    else:
        model = Crate(image, patch, 3, 1000, dim, depth, heads, head)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.copy_(0.2 * torch.randn_like(parameter) + (1 if parameter_name.endswith("weight") else 0))
    return model.eval().requires_grad_(False)


def graph_of(model, graph, scale_last):
    """What an engine runs: logits of a classifier, predicted patches of a masked autoencoder."""
    if isinstance(model, CrateMae):
        return MaePrediction(model, graph == "folded", scale_last)
    if graph == "published":
        return model
    return FoldedAlpha(model, scale_last) if isinstance(model, CrateAlpha) else FoldedCrate(model, scale_last)


class MaePrediction(nn.Module):
    """The masked autoencoder with nothing hidden, without its loss."""

    def __init__(self, model, folded, scale_last):
        super().__init__()
        self.model = model
        if folded:
            self.model = copy.deepcopy(model)
            self.model.blocks = nn.ModuleList(FoldedBlock(*b.layers[0], scale_last) for b in model.blocks)
            self.model.decoder_blocks = nn.ModuleList(
                FoldedDecoderBlock(*b.layers[0], scale_last) for b in model.decoder_blocks)

    def forward(self, images):
        m = self.model
        x = m.patch_embed(images)
        x = torch.cat([m.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + m.decoder_pos_embed
        for block in m.blocks:
            x = block(x)
        x = m.norm(x)
        for block in m.decoder_blocks:
            x = block(x)
        return m.decoder_pred(m.decoder_norm(x))[:, 1:]


class NormedLinear(nn.Module):
    """W LN(x) + b with the norm's gain and shift inside W and b. Either the tokens are normalised first, or the mean is in
    W as well and the product is divided by the deviation: which is faster depends on the engine."""

    def __init__(self, norm, weight, bias, scale_last):
        super().__init__()
        gain, shift, w = norm.weight.double(), norm.bias.double(), weight.double()
        bias = w @ shift + (0 if bias is None else bias.double())
        w = w * gain
        if scale_last:
            w = w - w.mean(dim=1, keepdim=True)
        self.eps, self.scale_last = norm.eps, scale_last
        self.weight, self.bias = nn.Parameter(w.float(), False), nn.Parameter(bias.float(), False)
        self.register_buffer("ones", torch.ones_like(norm.weight))
        self.register_buffer("zeros", torch.zeros_like(norm.weight))

    def forward(self, x):
        if not self.scale_last:
            return F.linear(F.layer_norm(x, x.shape[-1:], self.ones, self.zeros, self.eps), self.weight, self.bias)
        scale = torch.rsqrt(torch.var(x, dim=-1, unbiased=False, keepdim=True) + self.eps)
        return F.linear(x, self.weight) * scale + self.bias


class FoldedAttention(nn.Module):
    """MSSA(LN(x)) of the first `queries` tokens; None for all."""

    def __init__(self, normed, scale_last, queries=None):
        super().__init__()
        attention = normed.fn
        self.heads, self.dim_head, self.queries = attention.heads, attention.dim_head, queries
        self.qkv = NormedLinear(normed.norm, attention.qkv.weight, None, scale_last)
        self.to_out = attention.to_out

    def forward(self, x):
        batch, tokens, _ = x.shape
        w = self.qkv(x).reshape(batch, tokens, self.heads, self.dim_head).transpose(1, 2)
        attention = torch.softmax(w[:, :, :self.queries] @ w.transpose(-1, -2) * self.dim_head**-0.5, dim=-1)
        return self.to_out((attention @ w).transpose(1, 2).reshape(batch, -1, self.heads * self.dim_head))


class FoldedBlock(nn.Module):
    """relu(A LN(y) + c), y = x + MSSA(LN(x)), with A = I + eta D^T (I - D): three products."""

    def __init__(self, attention, ista, scale_last, queries=None):
        super().__init__()
        dictionary, step = ista.fn.weight.double(), ista.fn.step
        identity = torch.eye(len(dictionary), dtype=torch.float64)
        self.queries = queries
        self.attention = FoldedAttention(attention, scale_last, queries)
        self.ista = NormedLinear(ista.norm, identity + step * dictionary.T @ (identity - dictionary),
                                 torch.full((len(dictionary),), -step * ista.fn.lambd), scale_last)

    def forward(self, x):
        return torch.relu(self.ista(x[:, :self.queries] + self.attention(x)))


class FoldedDecoderBlock(nn.Module):
    """y - MSSA(LN(y)), y = D LN(x)."""

    def __init__(self, dictionary, attention, scale_last):
        super().__init__()
        self.dictionary = NormedLinear(dictionary.norm, dictionary.fn.weight, None, scale_last)
        self.attention = FoldedAttention(attention, scale_last)

    def forward(self, x):
        y = self.dictionary(x)
        return y - self.attention(y)


class FoldedAlphaBlock(nn.Module):
    """y + D1 relu(c + g - eta D^T D c), c = relu(g), g = eta D^T LN(y) - eta lambda, y = x + MSSA(LN(x)): as many
    products as published."""

    def __init__(self, attention, coding, scale_last, queries=None):
        super().__init__()
        step, self.queries = coding.fn.step, queries
        self.attention = FoldedAttention(attention, scale_last, queries)
        threshold = torch.full((coding.fn.D.shape[1],), -step * coding.fn.lambd)
        self.first = NormedLinear(coding.norm, step * coding.fn.D.T, threshold, scale_last)
        self.decode, self.encode = nn.Parameter(coding.fn.D.clone(), False), nn.Parameter(step * coding.fn.D.T, False)
        self.output = nn.Parameter(coding.fn.D1.clone(), False)

    def forward(self, x):
        y = x[:, :self.queries] + self.attention(x)
        gradient = self.first(y)
        codes = torch.relu(gradient)
        codes = torch.relu(codes + gradient - F.linear(F.linear(codes, self.decode), self.encode))
        return y + F.linear(codes, self.output)


class FoldedCrate(nn.Module):
    """The last block computes the class token alone, which is all that the head reads."""

    def __init__(self, model, scale_last):
        super().__init__()
        self.cut, norm, linear, self.token_norm = model.to_patch_embedding
        self.embed = NormedLinear(norm, linear.weight, linear.bias, False)
        self.positions, self.class_token = model.pos_embedding, model.cls_token
        self.blocks = folded_blocks(FoldedBlock, model.transformer.layers, scale_last)
        self.head = NormedLinear(model.mlp_head[0], model.mlp_head[1].weight, model.mlp_head[1].bias, False)

    def forward(self, images):
        return classify(self, self.token_norm(self.embed(self.cut(images))))


class FoldedAlpha(nn.Module):
    """As FoldedCrate."""

    def __init__(self, model, scale_last):
        super().__init__()
        self.embed = model.conv1
        self.positions, self.class_token = model.pos_embedding, model.cls_token
        self.blocks = folded_blocks(FoldedAlphaBlock, model.transformer.layers, scale_last)
        self.head = NormedLinear(model.mlp_head[0], model.mlp_head[1].weight, model.mlp_head[1].bias, False)

    def forward(self, images):
        return classify(self, self.embed(images).flatten(2).transpose(1, 2))


def folded_blocks(block, layers, scale_last):
    return nn.ModuleList(
        block(*pair, scale_last, queries=1 if i == len(layers) - 1 else None) for i, pair in enumerate(layers))


def classify(model, x):
    x = torch.cat([model.class_token.expand(x.shape[0], -1, -1), x], dim=1) + model.positions
    for block in model.blocks:
        x = block(x)
    return model.head(x[:, 0])
