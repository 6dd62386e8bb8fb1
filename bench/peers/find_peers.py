# SPDX-License-Identifier: MIT
"""Finds PyTorch, ONNX Runtime and llama.cpp, and the environment in which each is at its best."""

import json
import os
import shutil
import subprocess
import sys

# By default glibc gives large temporaries back to the system, and PyTorch spends most of a batch on page faults.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
               "MALLOC_TOP_PAD_": str(1 << 26)}

# Kernels of OpenBLAS; "" for its own choice, which on processors younger than itself is not the best.
OPENBLAS_CORES = ["", "SkylakeX", "Cooperlake", "Zen", "Haswell"]

PROBE = """
import time, torch
print(torch.__version__)
libraries = {line.split()[-1] for line in open("/proc/self/maps") if "blas" in line or "mkl" in line}
print(" ".join(sorted(libraries)))
tokens, weights = torch.randn(197, 768), torch.randn(768, 768)
def milliseconds():
    start = time.perf_counter()
    tokens @ weights
    return 1e3 * (time.perf_counter() - start)
print(min(milliseconds() for _ in range(100)))
"""


class PyTorch:
    def __init__(self, python, version, blas, environment):
        self.python, self.version, self.blas, self.environment = python, version, blas, environment

    def environment_with(self, threads):
        return self.environment | {"OMP_NUM_THREADS": str(threads)}

    def __str__(self):
        core = self.environment.get("OPENBLAS_CORETYPE", "its own choice")
        return f"PyTorch {self.version}, BLAS {os.path.realpath(self.blas) if self.blas else 'built in'}, core {core}"


def plain_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}


def probe(python, environment):
    """Version, BLAS and milliseconds of a product, or None if this Python has no PyTorch."""
    run = subprocess.run([python, "-c", PROBE], env=environment, capture_output=True, text=True)
    if run.returncode != 0:
        return None
    version, libraries, time = run.stdout.split("\n")[:3]
    return version, libraries.split(" ")[0], float(time)


def find_pytorch():
    """The first Python that has it, with the fastest kernels; None if none has."""
    environment = plain_environment() | KEEP_MEMORY | {"OMP_NUM_THREADS": "1"}
    for python in dict.fromkeys([sys.executable, "/usr/bin/python3"]):
        first = probe(python, environment)
        if first is None:
            continue
        version, blas, _ = first
        choices = [environment | ({"OPENBLAS_CORETYPE": core} if core else {})
                   for core in (OPENBLAS_CORES if "blas" in blas else [""])]
        best = min(choices, key=lambda choice: (probe(python, choice) or (0, 0, float("inf")))[2])
        return PyTorch(python, version, blas, best)
    return None


class NodePackage:
    """A package of npm that node can load from `modules`."""

    def __init__(self, label, node, modules, version):
        self.label, self.node, self.modules, self.version = label, node, modules, version

    def __str__(self):
        return f"{self.label} {self.version} under {self.node}"


def find_node_package(label, package, folder):
    """The package in the folder, installed there if it is not yet; None if it cannot be."""
    node, npm = shutil.which("node"), shutil.which("npm")
    modules = os.path.join(folder, "node_modules")
    if node is None:
        return None
    if not os.path.isdir(os.path.join(modules, package)) and npm is not None:
        with open(os.path.join(folder, "package.json"), "w") as file:
            file.write('{"private": true}\n')
        subprocess.run([npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", package], cwd=folder,
                       capture_output=True)
    version = os.path.join(modules, package, "package.json")
    if not os.path.exists(version):
        return None
    with open(version) as file:
        return NodePackage(label, node, modules, json.load(file)["version"])


def find_onnxruntime(folder):
    return find_node_package("ONNX Runtime", "onnxruntime-node", folder)


def find_llamacpp(folder):
    return find_node_package("llama.cpp of node-llama-cpp", "node-llama-cpp", folder)
