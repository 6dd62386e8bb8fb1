# SPDX-License-Identifier: MIT
"""Forward passes of a model in PyTorch, one for every line on the input, answered with the milliseconds that it took.

Usage: pytorch_passes.py MODEL published|folded f32|bf16 IMAGES OUTPUT
"""

import sys
import time

import numpy
import torch

from pytorch_models import graph_of, published


def main():
    name, graph, precision, images_path, output_path = sys.argv[1:]
    in_bfloat16 = precision == "bf16"
    model = graph_of(published(name), graph, scale_last=in_bfloat16)
    images = torch.from_numpy(numpy.fromfile(images_path, numpy.float32)).reshape(-1, 3, 224, 224)
    if in_bfloat16:
        model, images = model.bfloat16(), images.bfloat16()
    with torch.inference_mode():
        model(images).float().numpy().tofile(output_path)
        print("ready", flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            model(images)
            print(1e3 * (time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main()
