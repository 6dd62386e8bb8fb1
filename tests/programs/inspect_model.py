#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""inspect_model measures what the published code measured, and its tables hold what it prints:
inspect_model.py FOLDER_OF_PROGRAMS."""

import base64
import csv
import json
import math
import os
import struct
import sys
import tempfile
import xml.etree.ElementTree as xml

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


def write_tensors(path, tensors):
    """By name: (dtype, shape, bytes)."""
    header, begin = {}, 0
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, begin + len(data)]}
        begin += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def write_tensor(path, name, kind, shape, data):
    write_tensors(path, {name: (kind, shape, data)})


def write_weights(path, name):
    """Those of a fixture, under their published names."""
    write_tensors(path, {key[len("param/"):]: ("F32", *tensor) for key, tensor in fixture(name).items()
                         if key.startswith("param/")})


def write_data_set(folder):
    """Grey images of 32 x 32, as those of MNIST are stored."""
    os.makedirs(folder)
    for part, count in [("train", 6), ("t10k", 5)]:
        with open(os.path.join(folder, part + "-images-idx3-ubyte"), "wb") as file:
            file.write(struct.pack(">4I", 0x803, count, 32, 32))
            file.write(bytes((i * i * count + i // 32) % 251 for i in range(count * 32 * 32)))
        with open(os.path.join(folder, part + "-labels-idx1-ubyte"), "wb") as file:
            file.write(struct.pack(">2I", 0x801, count) + bytes(i % 3 for i in range(count)))


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
    words = ("model", "data", "layer", "place")
    same = [{key: abs(float(row[key]) - float(other[key])) < 1e-5 for key in row if key not in words}
            for row, other in zip(rows, table(folder, "again", "layers.csv"))]
    check("other batches and threads measure the same", all(all(row.values()) for row in same), same)


HTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"


def words_of(element):
    return " ".join("".join(element.itertext()).split())


def check_page(what, path, tables=None):
    """A page is XML, loads nothing, explains all it shows and holds the tables. Returns the text in its plots."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        page = xml.fromstring(text)
    except xml.ParseError as error:
        check(f"{what} is well-formed", False, error)
        return ""
    loaded = [value for element in page.iter() for name, value in element.attrib.items()
              if name in ("src", "href") and not value.startswith(("data:", "#"))]
    check(f"{what} loads nothing", not loaded and "url(" not in text and "<script" not in text, loaded)
    figures = page.findall(f".//{HTML}section/{HTML}figure")
    bare = [words_of(figure) for figure in figures if len(words_of(figure.find(f"{HTML}figcaption"))) < 20]
    check(f"{what} explains every figure", figures and not bare, bare)
    plots = page.findall(f".//{SVG}svg")
    empty = [plot.find(f"{SVG}title").text for plot in plots
             if not any("d" in part.attrib and "line" in part.get("class", "") for part in plot.iter(f"{SVG}path"))
             and plot.find(f".//{SVG}image") is None]
    check(f"{what} has plots, none of them empty", len(plots) >= 4 and not empty, empty)
    sections = page.findall(f".//{HTML}section")
    links = [link.get("href")[1:] for link in page.findall(f".//{HTML}nav//{HTML}a")]
    check(f"{what} lists its sections", links == [section.get("id") for section in sections], links)
    check(f"{what} has no empty section", all(section.findall(f"{HTML}figure") + section.findall(f"{HTML}details[@open]")
                                             for section in sections))
    files = {link.get("download"): base64.b64decode(link.get("href").split(",")[1])
             for link in page.findall(f".//{HTML}a") if link.get("download")}
    for name in [name for name in os.listdir(tables) if name.endswith(".csv")] if tables else []:
        with open(os.path.join(tables, name), "rb") as file:
            check(f"{what} holds {name}", files.get(name) == file.read())
    return " ".join(words_of(plot) for plot in plots)


def check_pages(folder):
    weights = os.path.join(FIXTURES, "classifier_weights.safetensors")
    images = os.path.join(folder, "images.safetensors")
    page, figure, tables = (os.path.join(folder, name) for name in ["page.html", "figure.svg", "tables"])
    of_model = ["--weights", weights, "--heads", 3, "--page", page]
    status, said = run(*of_model, "--input", images, "--output", tables)
    check("a page is written", status == 0, said)
    shown = check_page("the page of a model", page, tables)
    for title in ["Compression", "Sparsity", "Rate in each head", "Direction of the step", "Coherence of subspaces",
                  "Angles between all layers", "Departure from orthonormal"]:
        check(f"the page shows '{title}'", title in shown)

    status, said = run(*of_model, "--input", images, "--against", "untrained", "--figure", figure, "--output", tables)
    check("a model is inspected beside its untrained self", status == 0 and "untrained" in said, said)
    shown = check_page("the page of two models", page, tables)
    check("both are in its legends", "classifier_weights" in shown and "untrained" in shown)
    models = {row["model"] for row in table(tables, "layers.csv")}
    check("both are in its tables", models == {"classifier_weights", "untrained"}, models)
    drawn = words_of(xml.parse(figure).getroot())
    check("the figure has both curves of both models", "Compression" in drawn and "Sparsity" in drawn
          and drawn.count("untrained goes from") == 2, drawn)

    other = os.path.join(folder, "autoencoder.safetensors")
    write_weights(other, "mae")
    data = os.path.join(folder, "data")
    write_data_set(data)
    status, said = run(*of_model, "--data", data, "--split", "both", "--against", other, "--against-heads", 3,
                       "--output", tables)
    check("a model of another family and depth stands beside the first, on both parts of the data", status == 0, said)
    shown = check_page("their page", page, tables)
    check("all four are in the legends", "autoencoder, training" in shown and "classifier_weights, test" in shown)
    rows = table(tables, "layers.csv")
    check("and in the tables", {(row["model"], row["data"], row["sets"]) for row in rows} ==
          {(model, part, sets) for model in ("autoencoder", "classifier_weights")
           for part, sets in (("training", "6"), ("test", "5"))}, rows[:1])
    status, said = run(*of_model, "--input", images, "--examples", 1)
    check("one image makes a page", status == 0, said)
    check_page("the page of one image", page)
    constant = os.path.join(folder, "constant.safetensors")
    write_tensor(constant, "images", "F32", [2, 3, 32, 32], bytes(4 * 2 * 3 * 32 * 32))
    status, said = run(*of_model, "--input", constant)
    check("images of zeros make a page", status == 0, said)
    check_page("the page of images of zeros", page)


def check_texts(folder):
    tokens = os.path.join(folder, "tokens.safetensors")
    write_tensor(tokens, "tokens", "I64", [3, 5], struct.pack("<15q", *range(15)))
    status, said = run("--weights", os.path.join(FIXTURES, "gpt_checkpoint.pth"), "--heads", 3, "--input", tokens,
                       "--examples", 2, "--batch", 1, "--output", folder,
                       "--page", os.path.join(folder, "texts.html"))
    check("a language model is inspected on tokens", status == 0 and "on 2 examples" in said, said)
    check_page("the page of a language model", os.path.join(folder, "texts.html"))


def check_refusals(folder):
    weights = os.path.join(FIXTURES, "classifier_weights.safetensors")
    images = os.path.join(folder, "small.safetensors")
    write_tensor(images, "images", "F32", [1, 3, 2, 2], bytes(48))
    for arguments, message in [
            (["--heads", 3], "expected --input or --data"),
            (["--heads", 3, "--input", images], "expected images of shape [3, 32, 32], found [1, 3, 2, 2]"),
            (["--heads", 3, "--input", images, "--epsilon", 0], "epsilon > 0"),
            (["--heads", 3, "--input", images, "--split", "test"], "--split would have no effect"),
            (["--heads", 3, "--input", images, "--against-heads", 3], "--against-heads would have no effect"),
            (["--heads", 3, "--input", images, "--against", "untrained", "--against-heads", 3], "would have no effect"),
            (["--heads", 3, "--input", images, "--against", os.path.join(folder, "missing")], "no such file"),
            (["--heads", 3, "--input", os.path.join(folder, "images.safetensors"), "--against",
              os.path.join(FIXTURES, "gpt_checkpoint.pth")], "tokens"),
            (["--heads", 3, "--input", images, "--page", os.path.join(folder, "none", "page.html")], "none"),
            (["--heads", 3, "--input", images, "--figure", images], "found the same"),
            (["--heads", 3, "--input", images, "--page", images + ".html", "--figure", images + ".html"],
             "different files for --page and --figure"),
            (["--heads", 3, "--data", os.path.join(folder, "none")], "none")]:
        status, said = run("--weights", weights, *arguments)
        check(f"{arguments} is refused", status in (1, 2) and message in said, said)


def main():
    with tempfile.TemporaryDirectory() as folder:
        check_published(folder)
        check_pages(folder)
        check_texts(folder)
        check_refusals(folder)
    return end()


if __name__ == "__main__":
    sys.exit(main())
