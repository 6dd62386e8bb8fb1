# SPDX-License-Identifier: MIT
"""Writes the weights of a model as safetensors under their published names, and its graphs as ONNX for so many images.

Usage: write_models.py MODEL BATCH FOLDER
"""

import pathlib
import sys
import warnings

import torch

from pytorch_models import graph_of, published
import safetensors_file


def main():
    name, batch, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
    model = published(name)
    safetensors_file.save(folder / "weights.safetensors", model.state_dict())
    warnings.simplefilter("ignore")  # tracing warns that the batch becomes a constant, as it should
    for graph in "published", "folded":
        torch.onnx.export(graph_of(model, graph, scale_last=True), torch.zeros(batch, 3, 224, 224),
                          str(folder / f"{graph}.onnx"), opset_version=17, input_names=["images"],
                          output_names=["output"])


if __name__ == "__main__":
    main()
