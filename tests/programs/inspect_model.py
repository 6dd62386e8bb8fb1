#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""inspect_model measures what the published code measured, and its tables hold what it prints:
inspect_model.py FOLDER_OF_PROGRAMS."""

import csv
import json
import math
import os
import struct
import sys
import tempfile

import checks
from checks import check, end

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")


def run(*arguments):
    return checks.run("inspect_model", *arguments)


def fixture(name):
    """Tensors by name: (shape, bytes of F32 or F64)."""
    with open(os.path.join(FIXTURES, name + ".safetensors"), "rb") as file:
        content = file.read()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    tensors = {}
    for key, entry in json.loads(content[8:end]).items():
        if key != "__metadata__":
            begin, last = (end + offset for offset in entry["data_offsets"])
            tensors[key] = entry["shape"], content[begin:last]
    return tensors


def numbers(tensor):
    shape, data = tensor
    count = math.prod(shape)
    return struct.unpack(f"<{count}{'d' if len(data) == 8 * count else 'f'}", data)


def write_tensor(path, name, kind, shape, data):
    text = json.dumps({name: {"dtype": kind, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def table(*path):
    with open(os.path.join(*path), newline="") as file:
        return list(csv.DictReader(file))


def check_published(folder):
    published = fixture("classifier")
    images = os.path.join(folder, "images.safetensors")
    write_tensor(images, "images", "F32", *published["input/images"])
    weights = os.path.join(FIXTURES, "classifier_weights.safetensors")
    tables = os.path.join(folder, "new", "tables")
    status, said = run("--weights", weights, "--heads", 3, "--input", images, "--batch", 3, "--output", tables)
    check("inspect_model runs", status == 0 and "on 4 examples" in said, said)
    if status != 0:
        return
    rows = table(tables, "layers.csv")
    for place, column, name in [("before", "published_coding_rate_mean", "coding_rate_mean"),
                                ("before", "published_coding_rate_deviation", "coding_rate_std"),
                                ("after", "non_zero_mean", "zero_fraction")]:
        found = [float(row[column]) for row in rows if row["place"] == place]
        wanted = [1 - x if column == "non_zero_mean" else x for x in numbers(published["metric/" + name])]
        agree = len(found) == len(wanted) and all(abs(a - b) <= 1e-4 * abs(b) for a, b in zip(found, wanted))
        check(f"{column} is as published", agree, f"{found} {wanted}")
    check("a line for each head, layer and place", len(table(tables, "heads.csv")) == 3 * len(rows))
    for name in ["steps", "subspaces", "dictionaries"]:
        check(f"a line for each layer in {name}.csv", len(table(tables, name + ".csv")) == len(rows) // 3)
    status, said = run("--weights", weights, "--heads", 3, "--input", images, "--batch", 4, "--threads", 1, "--output",
                       os.path.join(folder, "again"))
    same = [{key: abs(float(row[key]) - float(other[key])) < 1e-5 for key in row if key not in ("layer", "place")}
            for row, other in zip(rows, table(folder, "again", "layers.csv"))]
    check("other batches and threads measure the same", all(all(row.values()) for row in same), same)


def check_texts(folder):
    tokens = os.path.join(folder, "tokens.safetensors")
    write_tensor(tokens, "tokens", "I64", [3, 5], struct.pack("<15q", *range(15)))
    status, said = run("--weights", os.path.join(FIXTURES, "gpt_checkpoint.pth"), "--heads", 3, "--input", tokens,
                       "--examples", 2, "--batch", 1, "--output", folder)
    check("a language model is inspected on tokens", status == 0 and "on 2 examples" in said, said)


def check_refusals(folder):
    weights = os.path.join(FIXTURES, "classifier_weights.safetensors")
    images = os.path.join(folder, "small.safetensors")
    write_tensor(images, "images", "F32", [1, 3, 2, 2], bytes(48))
    for arguments, message in [
            (["--heads", 3], "expected --input or --data"),
            (["--heads", 3, "--input", images], "expected images of shape [3, 32, 32], found [1, 3, 2, 2]"),
            (["--heads", 3, "--input", images, "--epsilon", 0], "epsilon > 0"),
            (["--heads", 3, "--input", images, "--split", "test"], "--split would have no effect"),
            (["--heads", 3, "--data", os.path.join(folder, "none")], "none")]:
        status, said = run("--weights", weights, *arguments)
        check(f"{arguments} is refused", status in (1, 2) and message in said, said)


def main():
    with tempfile.TemporaryDirectory() as folder:
        check_published(folder)
        check_texts(folder)
        check_refusals(folder)
    return end()


if __name__ == "__main__":
    sys.exit(main())
