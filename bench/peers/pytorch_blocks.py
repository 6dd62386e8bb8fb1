#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Twelve CRATE-Base blocks on images of 197 tokens: PyTorch and this library, in turns on the same cores.

    python3 bench/peers/pytorch_blocks.py build/bench/crate_run_blocks

First both must give the same output on the same weights; then rounds of each alternate, and the medians are printed.
"""

import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time

try:
    import numpy
    import torch
except ImportError as missing:
    sys.exit(f"{missing.name} is missing (Debian: apt-get install python3-torch python3-numpy libopenblas0-openmp)")

DIM, HEADS, DEPTH, TOKENS = 768, 12, 12, 197
STEP, THRESHOLD = 0.1, 0.1 * 0.1


class Block(torch.nn.Module):
    """X + MSSA(LN X), then ISTA(LN X): tokens are rows, W = `dictionary` plays D."""

    def __init__(self):
        super().__init__()
        self.attention_norm = torch.nn.LayerNorm(DIM)
        self.projection = torch.nn.Linear(DIM, DIM, bias=False)
        self.output = torch.nn.Linear(DIM, DIM)
        self.sparsity_norm = torch.nn.LayerNorm(DIM)
        self.dictionary = torch.nn.Parameter(torch.empty(DIM, DIM))
        torch.nn.init.kaiming_uniform_(self.dictionary)

    def attention(self, x):
        sets, tokens, _ = x.shape
        h = self.projection(x).view(sets, tokens, HEADS, -1).transpose(1, 2)
        scores = torch.softmax(h @ h.transpose(-1, -2) * h.shape[-1] ** -0.5, dim=-1)
        return self.output((scores @ h).transpose(1, 2).reshape(sets, tokens, -1))

    def sparsify(self, y):
        decoded = torch.nn.functional.linear(y, self.dictionary)
        gradient = torch.nn.functional.linear(y, self.dictionary.t()) - torch.nn.functional.linear(
            decoded, self.dictionary.t())
        return torch.relu(y + STEP * gradient - THRESHOLD)

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        return self.sparsify(self.sparsity_norm(x))


# The names of this library's parameters, of which each has the bytes of the tensor beside it.
NAMES = {
    "compress.norm.weight": "attention_norm.weight",
    "compress.norm.bias": "attention_norm.bias",
    "compress.subspaces": "projection.weight",
    "compress.output.weight": "output.weight",
    "compress.output.bias": "output.bias",
    "sparsify.norm.weight": "sparsity_norm.weight",
    "sparsify.norm.bias": "sparsity_norm.bias",
    "sparsify.dictionary": "dictionary",
}


def tensors_of(blocks):
    for i, block in enumerate(blocks):
        state = block.state_dict()
        for ours, theirs in NAMES.items():
            yield f"layers.{i}.{ours}", state[theirs]


def write_safetensors(path, tensors):
    arrays = {name: numpy.ascontiguousarray(tensor.numpy(), dtype="<f4") for name, tensor in tensors.items()}
    header, end = {"__metadata__": {"depth": str(DEPTH)}}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(array.tobytes())


def time_torch(blocks, x, threads, passes):
    torch.set_num_threads(threads)
    blocks(x)
    times = []
    for _ in range(passes):
        start = time.perf_counter()
        blocks(x)
        times.append(1e3 * (time.perf_counter() - start))
    return times


def time_ours(program, path, threads, passes):
    command = [program, path, str(HEADS), str(threads), str(passes)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    values = [line.split() for line in lines]
    difference = next(float(value) for name, value in values if name == "difference")
    return difference, [float(value) for name, value in values if name == "milliseconds"]


def loaded_blas():
    """Which BLAS this process has mapped: PyTorch with OpenBLAS on pthreads is twice as slow on two threads."""
    with open("/proc/self/maps") as maps:
        paths = {line.split()[-1] for line in maps if "/" in line}
    return sorted(path for path in paths if "blas" in os.path.basename(path) or "mkl" in os.path.basename(path))


def compare(program, blocks, batch, threads, rounds, folder):
    x = torch.randn(batch, TOKENS, DIM)
    path = os.path.join(folder, f"blocks_{batch}.safetensors")
    expected = blocks(x)
    write_safetensors(path, {**dict(tensors_of(blocks)), "input": x, "output": expected})
    difference, _ = time_ours(program, path, threads, 0)
    if not difference <= 1e-3 * expected.abs().max().item():
        sys.exit(f"outputs differ by {difference}, at a largest entry of {expected.abs().max().item()}: not timed")
    passes = 5 if batch == 1 else 2
    theirs, ours = [], []
    for _ in range(rounds):
        theirs += time_torch(blocks, x, threads, passes)
        time.sleep(0.2)  # until idle OpenMP threads have stopped spinning
        ours += time_ours(program, path, threads, passes)[1]
    a, b = statistics.median(theirs) / batch, statistics.median(ours) / batch
    print(f"{threads:7} {batch:6} {a:12.1f} {b:12.1f} {a / b:14.2f} {min(theirs) / batch:14.1f} {min(ours) / batch:10.1f}"
          f" {difference:12.1e}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="crate_run_blocks, built with the benchmarks")
    parser.add_argument("--rounds", type=int, default=7, help="how often each takes its turn (default 7)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="images at a time")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    blocks = torch.nn.Sequential(*(Block() for _ in range(DEPTH))).eval()
    print(f"PyTorch {torch.__version__}, BLAS {', '.join(map(os.path.realpath, loaded_blas())) or 'built in'}; "
          f"load {' '.join(map(str, os.getloadavg()))}")
    print(f"{DEPTH} CRATE-Base blocks, {TOKENS} tokens, float: milliseconds an image")
    print("threads  batch   PyTorch med    crate med  PyTorch/crate   PyTorch best  crate best   difference")
    with tempfile.TemporaryDirectory() as folder:
        for threads in arguments.threads:
            for batch in arguments.batch:
                compare(arguments.program, blocks, batch, threads, arguments.rounds, folder)


if __name__ == "__main__":
    main()
