# SPDX-License-Identifier: MIT
"""Milliseconds that PyTorch takes to generate, with a cache, by CRATE-GPT2-Base or GPT-2 small at a random start:
    pytorch_generation.py MODEL PROMPT TOKENS ROUNDS THREADS
One token is multiplied as a vector (torch.mv), which is faster there than nn.Linear. Prints one line of JSON."""

import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

DIM, HEADS, DEPTH, VOCABULARY, CONTEXT = 768, 12, 12, 50304, 1024
HEAD_DIM = DIM // HEADS


def maps(x, weight):
    """W x of one token, or of several in rows."""
    return torch.mv(weight, x) if x.dim() == 1 else x @ weight.T


class Model:
    def __init__(self, kind):
        torch.manual_seed(1)
        self.is_crate = kind == "crate"
        normal = lambda *shape: 0.02 * torch.randn(*shape)
        self.embedding, self.positions = normal(VOCABULARY, DIM), normal(CONTEXT, DIM)
        self.layers = []
        for _ in range(DEPTH):
            if self.is_crate:
                dictionary = torch.nn.init.kaiming_uniform_(torch.empty(DIM, DIM))
                self.layers.append((normal(DIM, DIM), normal(DIM, DIM), dictionary, dictionary.T.contiguous()))
            else:
                self.layers.append((normal(3 * DIM, DIM), normal(DIM, DIM), normal(4 * DIM, DIM), normal(DIM, 4 * DIM)))

    def norm(self, x):
        return F.layer_norm(x, (DIM,))

    def attention(self, x, project, output, layer, cache, past):
        projected = maps(x, project).reshape(-1, project.shape[0])
        kept, new = cache[layer], projected.shape[0]
        kept[past : past + new] = projected[:, -kept.shape[1] :]
        seen = kept[: past + new]
        heads = lambda tokens: tokens.view(-1, HEADS, HEAD_DIM).transpose(0, 1)
        queries, keys, values = heads(projected[:, :DIM].contiguous()), heads(seen[:, :DIM]), heads(seen[:, -DIM:])
        scores = queries @ keys.transpose(1, 2) / HEAD_DIM**0.5
        if new > 1:
            scores = scores.masked_fill(torch.ones(new, past + new).triu(1 + past).bool(), -torch.inf)
        attended = (scores.softmax(-1) @ values).transpose(0, 1).reshape(x.shape)
        return maps(attended, output)

    def forward(self, ids, cache, past):
        x = self.embedding[ids] + self.positions[past : past + len(ids)]
        x = x[0] if len(ids) == 1 else x
        for i, (project, output, first, second) in enumerate(self.layers):
            x = x + self.attention(self.norm(x), project, output, i, cache, past)
            y = self.norm(x)
            if self.is_crate:  # relu(y + eta D^T (y - D y) - eta lambda)
                x = F.relu(y + 0.1 * maps(y - maps(y, first), second) - 0.01)
            else:
                x = x + maps(F.gelu(maps(y, first)), second)
        last = x if x.dim() == 1 else x[-1]
        return torch.mv(self.embedding, last if self.is_crate else self.norm(last))

    def cache(self):
        return [torch.zeros(CONTEXT, DIM if self.is_crate else 2 * DIM) for _ in range(DEPTH)]


def main():
    kind, (prompt, tokens, rounds, threads) = sys.argv[1], map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    model = Model(kind)
    cache, ids = model.cache(), torch.randint(0, 50000, (prompt,))
    prompt_times, token_times = [], []
    with torch.no_grad():
        for _ in range(rounds):
            begin = time.perf_counter()
            logits = model.forward(ids, cache, 0)
            prompt_times.append(1e3 * (time.perf_counter() - begin))
            for i in range(tokens):
                begin = time.perf_counter()
                logits = model.forward(logits.argmax().reshape(1), cache, prompt + i)
                token_times.append(1e3 * (time.perf_counter() - begin))
    print(json.dumps({
        "prompt_ms": round(statistics.median(prompt_times), 2), "prompt_ms_least": round(min(prompt_times), 2),
        "token_ms": round(statistics.median(token_times), 3), "token_ms_least": round(min(token_times), 3)}))


if __name__ == "__main__":
    main()
