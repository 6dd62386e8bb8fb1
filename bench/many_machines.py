#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What many machines would reach, on paper: many_machines.py. A simulation of how ranks add their gradients, held against what was
measured, and the steps that it makes of CRATE-Base on ImageNet and of CRATE-GPT2-Base."""

import math

PIECE = 131072  # bytes, the most that sum_over_ranks hands over at a time


def seconds_of_sum(ranks, size, bandwidth, latency, per_add=0.0):
    """Seconds until all ranks have the sum of `size` bytes, over links that carry `bandwidth` bytes a second either way; a rank adds its
    gradients to a piece in `per_add` seconds. As in Mpi::add_in_order: up the chain piece by piece, and down again behind the last."""
    if ranks == 1:
        return 0.0
    pieces = [min(PIECE, size - at) for at in range(0, size, PIECE)]
    free = [0.0] * ranks  # when a rank may send again
    there = [0.0] * len(pieces)  # when a piece has come to the rank at hand
    for rank in range(ranks):
        ready = 0.0
        for k, piece in enumerate(pieces):
            ready = max(ready, there[k]) + per_add
            free[rank] = max(free[rank], ready) + piece / bandwidth
            there[k] = free[rank] + latency  # of the last rank: at the one before
        went_up = free if rank < ranks - 1 else went_up
        went_up = list(went_up)
    for rank in range(ranks - 2, 0, -1):
        for k, piece in enumerate(pieces):
            free[rank] = max(free[rank], went_up[rank], there[k]) + piece / bandwidth
            there[k] = free[rank] + latency
    return max(there[-1], went_up[0])


def show_measured():
    """4 MB between network namespaces (tests/programs/on_several_hosts COUNT -r 100mbit); a frame of 1514 bytes carries 1448."""
    print("ranks   measured   simulated   seconds for the sum of 4,000,000 bytes at 100 Mbit/s")
    for ranks, measured in ((2, 0.348), (3, 0.676), (4, 0.724)):
        print(f"{ranks:5}   {measured:8.3f}   {seconds_of_sum(ranks, 4_000_000, 100e6 / 8 * 1448 / 1514, 1e-4):9.3f}")


def show_model(name, parameters, examples, multiply_adds):
    """Machines of 32 cores at 80 billion float operations a second each, a step three times a forward pass; four bytes a number. A core has a
    lane, whose gradient is added at 8 GB/s; where a machine has fewer examples than cores, it has one lane, in whose layers all cores work.
    The step of the optimiser reads and writes seven numbers a parameter at 100 GB/s."""
    cores, bytes_of_gradient = 32, 4 * parameters
    one = examples * 6 * multiply_adds / (cores * 80e9)
    optimiser = 7 * bytes_of_gradient / 100e9
    print(f"\n{name}: {parameters / 1e6:.1f} million parameters, {examples} examples a step, {one:.1f} s on one machine")
    print("machines   network       compute   sum      step    share of what there is")
    for bits in (10e9, 100e9):
        for machines in (8, 64, 512):
            own = math.ceil(examples / machines)
            lanes = cores if own >= cores else 1
            compute = math.ceil(own / lanes) * 6 * multiply_adds / 80e9 * lanes / cores
            total = seconds_of_sum(machines, bytes_of_gradient, bits / 8, 30e-6, lanes * PIECE / (8e9 * cores))
            step = compute + total + optimiser
            print(f"{machines:8}   {bits / 1e9:3.0f} Gbit/s   {compute:8.3f}   {total:5.3f}   {step:5.3f}   {100 * (one + optimiser) / machines / step:5.1f} %")


show_measured()
# 12 blocks of 5 N d^2 + 2 N^2 d multiply-adds, N = 197 tokens of d = 768; the batch of the paper.
show_model("CRATE-Base on ImageNet", 22_800_000, 2048, 12 * (5 * 197 * 768**2 + 2 * 197**2 * 768))
# 1,024 tokens, and the head over 50,257 of them; half a million tokens a step.
show_model("CRATE-GPT2-Base", 60_000_000, 480, 12 * (5 * 1024 * 768**2 + 2 * 1024**2 * 768) + 1024 * 768 * 50_257)
