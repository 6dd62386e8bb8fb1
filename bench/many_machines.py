#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What many machines would reach, on paper: many_machines.py, which takes a minute. A simulation of how ranks add their gradients, held
against what was measured, and the steps that it makes of CRATE-Base on ImageNet and of CRATE-GPT2-Base. What breaks is the sum: its length in bytes stays, as the work
of a machine shrinks, and every machine more is two hops more. Then fewer examples a machine must become more, by larger batches, or the
chain a tree of chains, whose sums have other last bits."""

import heapq
import math

PIECE = 131072  # bytes, the most that SumOverRanks hands over at a time


def seconds_of_sum(ranks, ready, bandwidth, latency, seconds_of_add=lambda now: 0.0, size=PIECE):
    """Seconds until all ranks have the sum of all pieces, of `size` bytes each, over links that carry `bandwidth` bytes a second either way;
    each rank has its own part of piece k at ready[k] and adds it to what comes in seconds_of_add(time). As in Mpi::add_in_order: every piece
    goes up the chain of ranks and its sum comes down again, and what a rank has to send it sends in the order in which it has it."""
    if ranks == 1:
        return ready[-1]
    sends_again, adds_again = [0.0] * ranks, [0.0] * ranks
    arrivals = [(time, piece, 0, True) for piece, time in enumerate(ready)]  # when, what, where, whether on its way up
    end = 0.0
    while arrivals:
        now, piece, rank, goes_up = heapq.heappop(arrivals)
        if goes_up:
            now = max(now, ready[piece], adds_again[rank])
            now = adds_again[rank] = now + seconds_of_add(now)
            goes_up = rank < ranks - 1
        if not goes_up:
            end = max(end, now)
            if rank == 0:
                continue
        sends_again[rank] = max(sends_again[rank], now) + size / bandwidth
        heapq.heappush(arrivals, (sends_again[rank] + latency, piece, rank + 1 if goes_up else rank - 1, goes_up))
    return end


def show_measured():
    """4 MB in pieces of 64 KiB between network namespaces (tests/programs/on_several_hosts COUNT -r 100mbit), of which a rank has its part bit by
    bit for so many seconds; a frame of 1514 bytes carries 1448. One rank waits for none."""
    pieces, bandwidth = math.ceil(4_000_000 / 65536), 100e6 / 8 * 1448 / 1514
    print("4,000,000 bytes at 100 Mbit/s: seconds of a backward pass and of the sum that begins with it\n"
          "ranks   backward   measured   simulated   one after the other")
    for ranks, backward, measured in ((2, 0.0, 0.360), (2, 0.3, 0.336), (2, 0.6, 0.620), (3, 0.0, 0.668), (3, 0.3, 0.672), (3, 0.6, 0.684),
                                      (4, 0.0, 0.688), (4, 0.3, 0.712), (4, 0.6, 0.696)):
        together, behind = (seconds_of_sum(ranks, [window * (k + 1) / pieces for k in range(pieces)], bandwidth, 1e-4, size=65536)
                            for window in (backward, 0.0))
        print(f"{ranks:5}   {backward:8.1f}   {measured:8.3f}   {together:9.3f}   {backward + behind:19.3f}")


def ready_times(backward, in_blocks, behind):
    """When pieces are complete: those of twelve equal blocks one after another, and what is complete with the first layer at the end."""
    count = math.ceil(4 * in_blocks / PIECE)
    return [backward * math.ceil(12 * (k + 1) / count) / 12 for k in range(count)] + [backward] * math.ceil(4 * behind / PIECE)


def show_model(name, in_blocks, behind, examples, seconds):
    """Machines of 32 cores, which each take `seconds` forward and back for an example; twice as long back as forward. A core has a lane and goes
    through its examples in micro-batches of 16; where a machine has fewer examples than cores, it has one lane, in whose layers all cores work.
    A thread adds gradients at 8 GB/s, all of them when backward passes are over. The step of the optimiser reads and writes seven numbers
    of four bytes a parameter at 100 GB/s."""
    cores, parameters = 32, in_blocks + behind
    one = math.ceil(examples / cores) * seconds
    optimiser = 7 * 4 * parameters / 100e9
    print(f"\n{name}: {parameters / 1e6:.1f} million parameters, {behind / 1e6:.1f} of them complete at the end of the backward pass alone; "
          f"{examples} examples a step,\n{one:.1f} s on one machine\n"
          "machines   network       compute   sum behind it   left of it beside it   step    share of what there is")
    for bits in (10e9, 100e9):
        for machines in (8, 64, 512):
            own = math.ceil(examples / machines)
            lanes = cores if own >= cores else 1
            compute = math.ceil(own / lanes) * seconds * lanes / cores
            backward = compute * 2 / 3 * min(1, 16 / math.ceil(own / lanes))  # of the last micro-batch
            together, behind_it = (
                seconds_of_sum(machines, ready_times(window, in_blocks, behind), bits / 8, 30e-6,
                               lambda now: lanes * PIECE / 8e9 / (1 if now < window else cores)) - window
                for window in (backward, 0.0))
            step = compute + together + optimiser
            print(f"{machines:8}   {bits / 1e9:3.0f} Gbit/s   {compute:8.3f}   {behind_it:13.3f}   {together:20.3f}   {step:5.3f}   "
                  f"{100 * (one + optimiser) / machines / step:5.1f} %")


show_measured()
# Seconds were measured on an AMD EPYC (Zen 4). 12 blocks of 3 d^2 + 5 d parameters, d = 768; the batch of the paper. Eight images take two
# cores 1.31 s (compare_training.py), so one core takes 0.33 s an image.
show_model("CRATE-Base on ImageNet", 12 * (3 * 768**2 + 5 * 768) + 768 * 1000, 768 * (768 + 197), 2048, 0.33)
# The head is the embedding of 50,257 tokens, whose gradient the first layer completes; half a million tokens a step. A set of 1,024 tokens
# takes one core 5.2 s: the time of the processor that train_language_model --threads 1 takes for two steps more, halved.
show_model("CRATE-GPT2-Base", 12 * (3 * 768**2 + 5 * 768), 768 * (50_257 + 1024), 480, 5.2)
