#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The published models on images of 224 x 224: this library, PyTorch and ONNX Runtime, in turns on the same cores.

    python3 bench/peers/compare_inference.py build/bench
    python3 bench/peers/compare_inference.py build/bench --models base --batch 1 --threads 2 --rounds 3    (a minute)

All engines get the same weights and images and must give the same output before they are timed. Peers run the graph as
published, and folded by hand as this library folds it, so that one sees what the algebra gives and what the kernels give.
Peers that are missing are named and left out: PyTorch is looked for in this Python and in /usr/bin/python3 (Debian:
python3-torch python3-numpy libopenblas0-openmp), ONNX Runtime is installed from npm into the build folder.
"""

import argparse
import array
import collections
import os
import pathlib
import platform
import random
import subprocess
import sys
import time

from engines import Engine, relative_difference, start, take_turns
from find_peers import find_onnxruntime, find_pytorch

HERE = pathlib.Path(__file__).resolve().parent
MODELS = {"tiny": "CRATE-Tiny", "small": "CRATE-Small", "base": "CRATE-Base", "large": "CRATE-Large",
          "alpha": "CRATE-alpha Base/16", "mae": "CRATE-MAE Base"}
LARGEST_DIFFERENCE = {"f32": 1e-3, "bf16": 0.5}  # in standard deviations of the output

Variant = collections.namedtuple("Variant", "engine graph precision")


class Comparison:
    """One model, batch and number of threads."""

    def __init__(self, model, batch, threads, pytorch_bf16, folder, program, pytorch, onnxruntime):
        self.model, self.batch, self.threads, self.pytorch_bf16 = model, batch, threads, pytorch_bf16
        self.folder, self.program, self.pytorch, self.onnxruntime = folder, program, pytorch, onnxruntime
        self.images = folder / "images.f32"

    def write_files(self):
        generator = random.Random(1)
        with open(self.images, "wb") as file:
            array.array("f", (generator.gauss(0, 1) for _ in range(self.batch * 3 * 224 * 224))).tofile(file)
        if self.pytorch:
            subprocess.run([self.pytorch.python, HERE / "write_models.py", self.model, str(self.batch), self.folder],
                           env=self.pytorch.environment, check=True)

    def command(self, variant, output):
        if variant.engine == "crate":
            weights = self.folder / "weights.safetensors" if self.pytorch else "-"
            return [self.program, self.model, weights, variant.graph, variant.precision, self.threads, self.images,
                    output]
        if variant.engine == "PyTorch":
            return [self.pytorch.python, HERE / "pytorch_passes.py", self.model, variant.graph, variant.precision,
                    self.images, output]
        return [self.onnxruntime.node, HERE / "onnxruntime_passes.mjs", self.onnxruntime.modules,
                self.folder / f"{variant.graph}.onnx", self.images, output, self.threads]

    def variants(self):
        ours = [("folded", "f32"), ("folded", "bf16"), ("published", "f32")]
        yield from (Variant("crate", *rest) for rest in ours)
        if self.pytorch and self.onnxruntime:
            yield from (Variant("ONNX Runtime", graph, "f32") for graph in ("published", "folded"))
        if self.pytorch:
            precisions = ("f32", "bf16") if self.pytorch_bf16 else ("f32",)
            yield from (Variant("PyTorch", graph, precision) for precision in precisions
                        for graph in ("published", "folded"))

    def run(self, rounds):
        """The median milliseconds an image of every variant."""
        self.write_files()
        engines = []
        for variant in self.variants():
            output = self.folder / f"{'-'.join(variant).replace(' ', '')}.f32"
            environment = self.pytorch.environment_with(self.threads) if variant.engine == "PyTorch" else None
            engine = Engine(" ".join(variant), self.command(variant, output), environment, output)
            engine.variant = variant
            engines.append(engine)
        engines = start(engines)
        if not engines:
            sys.exit("no engine is left")
        try:
            engines = self.those_that_agree(engines)
            take_turns(engines, rounds)
        finally:
            for engine in engines:
                engine.close()
        return engines

    def those_that_agree(self, engines):
        reference = next((e for e in engines if e.variant == Variant("PyTorch", "published", "f32")), engines[0])
        expected = reference.result()
        agreeing = []
        for engine in engines:
            engine.difference = relative_difference(engine.result(), expected)
            if engine.difference <= LARGEST_DIFFERENCE[engine.variant.precision]:
                agreeing.append(engine)
            else:
                print(f"  {engine.label} left out: the output is off by {engine.difference:.3g} standard deviations")
                engine.close()
        return agreeing


def print_details(comparison, engines):
    """How much faster this library is than each, with f32 and with bf16 weights."""
    ours = {e.variant.precision: e.median for e in engines if e.variant[:2] == ("crate", "folded")}
    print(f"\n{MODELS[comparison.model]}, batch {comparison.batch}, {comparison.threads} "
          f"thread{'s' if comparison.threads > 1 else ''}")
    print(f"  {'engine':<14}{'graph':<11}{'weights':<9}{'crate f32':>10}{'crate bf16':>12}{'ms/image':>11}{'best':>9}"
          f"{'difference':>12}")
    for engine in engines:
        ratios = [f"{engine.median / ours[p]:.2f}" if p in ours else "-" for p in ("f32", "bf16")]
        name, graph, precision = engine.variant
        print(f"  {name:<14}{graph:<11}{precision:<9}{ratios[0]:>10}{ratios[1]:>12}"
              f"{engine.median / comparison.batch:11.1f}{min(engine.times) / comparison.batch:9.1f}"
              f"{engine.difference:12.1e}", flush=True)


PEERS = [("f32", Variant("ONNX Runtime", "published", "f32")), ("f32", Variant("ONNX Runtime", "folded", "f32")),
         ("f32", Variant("PyTorch", "published", "f32")), ("f32", Variant("PyTorch", "folded", "f32")),
         ("bf16", Variant("PyTorch", "published", "bf16")), ("bf16", Variant("PyTorch", "folded", "bf16"))]


def print_summary(rows):
    """In Markdown, ratios first."""
    print("\n| model | batch | threads | ONNX Runtime | folded there | PyTorch | folded there | PyTorch bf16 "
          "| folded there | ms an image | with bf16 weights |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for comparison, engines in rows:
        medians = {engine.variant: engine.median for engine in engines}
        ours = {p: medians.get(Variant("crate", "folded", p)) for p in ("f32", "bf16")}
        ratios = [f"{medians[peer] / ours[p]:.2f}" if peer in medians and ours[p] else "-" for p, peer in PEERS]
        times = [f"{ours[p] / comparison.batch:.1f}" if ours[p] else "-" for p in ("f32", "bf16")]
        print(f"| {MODELS[comparison.model]} | {comparison.batch} | {comparison.threads} | {' | '.join(ratios + times)} |")


def processor():
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="of the build, with bench/crate_passes; files go to peers/ there")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="images at a time (default 1 8)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--without-pytorch-bf16", action="store_true",
                        help="leave out PyTorch in bfloat16, which takes seconds an image if the processor has none")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each engine (default 7)")
    options = parser.parse_args()
    program = options.folder.resolve() / "bench" / "crate_passes"
    if not os.access(program, os.X_OK):
        sys.exit(f"{program} is missing: build the target crate_passes")
    folder = options.folder.resolve() / "peers"
    folder.mkdir(exist_ok=True)
    pytorch, onnxruntime = find_pytorch(), find_onnxruntime(folder)
    print(f"{time.strftime('%d %B %Y')}, {processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(pytorch or "PyTorch is missing: nothing checks the outputs")
    print(onnxruntime or "ONNX Runtime is missing (it needs node and npm)")
    if onnxruntime and not pytorch:
        print("ONNX Runtime is left out: PyTorch writes its graphs")
    rows = []
    for model in options.models:
        for batch in options.batch:
            for threads in options.threads:
                comparison = Comparison(model, batch, threads, not options.without_pytorch_bf16, folder, program,
                                        pytorch, onnxruntime)
                engines = comparison.run(options.rounds)
                print_details(comparison, engines)
                rows.append((comparison, engines))
    print_summary(rows)


if __name__ == "__main__":
    main()
