#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same tokens give the same tables from every kind of file, and every file written is named:
token_files.py FOLDER_OF_PROGRAMS."""

import gzip
import json
import os
import random
import shutil
import struct
import sys
import tempfile
import xml.dom.minidom

import checks
from checks import check, end, is_refusal
from train_and_use import write_png

TOKENS, WIDTH = 60, 6


def run(*arguments):
    return checks.run("compress_tokens", *arguments)


def draw_tokens():
    """Integers near two planes."""
    tokens = []
    for i in range(TOKENS):
        a, b = random.randrange(-40, 41), random.randrange(-40, 41)
        plane = [a, b, a + b, 0, 0, 0] if i % 2 else [0, 0, 0, a, b, a - b]
        tokens.append([value + random.randrange(-2, 3) for value in plane])
    return tokens


def npy(tokens, number, by_columns=False, shape=None):
    rows = list(zip(*tokens)) if by_columns else tokens
    code = {"f8": "d", "i2": "h", "i8": "q"}[number[1:]]
    data = b"".join(struct.pack(number[0] + code, value) for row in rows for value in row)
    header = str({"descr": number, "fortran_order": by_columns, "shape": shape or (TOKENS, WIDTH)}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def safetensors(tensors, sets=None):
    """Tensors of I32 or F32 by name: matrices, or so many sets of rows."""
    header, data = {}, b""
    for name, (kind, rows) in tensors.items():
        begin = len(data)
        data += b"".join(struct.pack("<i" if kind == "I32" else "<f", value) for row in rows for value in row)
        shape = [len(rows), len(rows[0])] if sets is None else [sets, len(rows) // sets, len(rows[0])]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write(name, content):
    with open(name, "wb") as file:
        file.write(content)
    return name


def tables(*arguments):
    """What is printed below the line that names the file, or the complaint."""
    shutil.rmtree("out", ignore_errors=True)
    code, text = run("--subspaces", 2, "--dim", 2, "--output", "out", *arguments)
    return text.split("\n", 1)[1] if code == 0 else text


def check_kinds(tokens):
    lines = "\n".join(",".join(map(str, token)) for token in tokens)
    expected = tables("--input", write("tokens.csv", lines.encode()))
    check("tables of CSV", "1 sparsify" in expected, expected)
    others = [[1, 2], [3, 4]]
    for name, content, further in (
        ("packed.csv.gz", gzip.compress(lines.encode()), ()),
        ("f8.npy", npy(tokens, "<f8"), ()),
        ("big.npy", npy(tokens, ">f8"), ()),
        ("columns.npy", npy(tokens, "<i2", by_columns=True), ()),
        ("one.safetensors", safetensors({"x": ("F32", tokens)}), ()),
        ("named.safetensors", safetensors({"tokens": ("I32", tokens), "x": ("F32", others)}), ()),
        ("chosen.safetensors", safetensors({"a": ("F32", others), "b": ("I32", tokens)}), ("--tensor", "b")),
        ("sets.safetensors", safetensors({"layers.1.out": ("F32", tokens)}, 4), ("--tensor", "layers.1.out")),
    ):
        found = tables("--input", write(name, content), *further)
        check(f"{name} gives the tables of CSV", found == expected, found)


def check_faults(tokens):
    several = write("several.safetensors", safetensors({"a": ("F32", tokens), "b": ("F32", tokens)}))
    cube = write("cube.npy", npy(tokens, "<f8", shape=(TOKENS, 2, 3)))
    numbers = write("list.npy", npy(tokens, "<f8", shape=(TOKENS * WIDTH,)))
    for arguments, explanation in (
        ((several,), "expected --tensor to choose one of its matrices, found several: 'a' [60, 6], 'b' [60, 6]"),
        ((several, "--tensor", "c"), "expected a tensor 'c', found none of that name"),
        (("f8.npy", "--tensor", "a"), "option --tensor would have no effect"),
        ((write("packed.npy.gz", b"x"),), "found '.gz': unpack it by gunzip"),
        ((write("cut.csv.gz", gzip.compress(b"1,2\n" * 99)[:-9]),), "expected a whole gzip file, found one that ends early"),
        (("tokens.csv", "--kappa", 0), "option --kappa: expected a number > 0, found 0"),
        ((cube,), "found [60, 2, 3]: save a.reshape(len(a), -1)"),
        ((numbers,), "of shape [tokens, width], found [360]"),
    ):
        code, text = run("--output", "out", "--input", *arguments)
        check(f"refused: {arguments}", is_refusal(code, text) and explanation in text, text)


def check_files():
    """Every file written is named with a phrase, and the pictures are well-formed."""
    code, text = run("--input", "tokens.csv", "--labels", 6, "--subspaces", 2, "--dim", 2, "--output", "labelled")
    lines = text.split("written to labelled/\n")[-1].splitlines()
    named = [line.split()[0] for line in lines if len(line.split()) > 2]
    check("files named are those written", sorted(named) == sorted(os.listdir("labelled")), text)
    for name in named:
        if name.endswith(".svg"):
            root = xml.dom.minidom.parse(f"labelled/{name}").documentElement
            check(f"{name} scales", root.hasAttribute("viewBox"))
            for tag in ("title", "desc"):
                check(f"{name} has a {tag}", root.getElementsByTagName(tag))


def bytes_of(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def check_white_box():
    """A white box that was written computes the same codes of the same tokens, on any number of threads."""
    for threads in (1, 3):
        run("tokens.csv", "--subspaces", 2, "--dim", 2, "--threads", threads, "--output", f"fitted{threads}")
    box = os.path.join("fitted1", "white_box.safetensors")
    code, text = run("tokens.csv", "--load", box, "--output", "loaded")
    check("a white box is loaded", code == 0 and "loaded from white_box.safetensors" in text, text)
    for name in ("tokens.safetensors", "white_box.safetensors"):
        for folder in ("fitted3", "loaded"):
            check(f"{folder}/{name} is that of fitted1", bytes_of("fitted1", name) == bytes_of(folder, name))
    narrow = write("narrow.csv", b"1,2\n3,4\n5,7\n7,1\n")
    for arguments, explanation in (
        ((narrow, "--load", box), "expected a white box for tokens of width 2, found one of width 6"),
        (("tokens.csv", "--load", "f8.npy"), "'f8.npy': expected a safetensors file"),
        (("tokens.csv", "--load", box, "--depth", 2), "option --depth would have no effect: --load gives a white box"),
        (("tokens.csv", "--dictionary", "auto"), "--dictionary"),
    ):
        code, text = run("--output", "out", *arguments)
        check(f"refused: {arguments}", code != 0 and explanation in text, text)


def check_inputs_are_kept(tokens):
    """No file that is read is replaced."""
    os.mkdir("kept")
    name = write(os.path.join("kept", "tokens.safetensors"), safetensors({"tokens": ("F32", tokens), "other": ("F32", tokens)}))
    box = os.path.join("fitted1", "white_box.safetensors")
    for arguments, read, folder in (((name,), name, "kept"), ((name,), name, os.path.join("kept", "..", "kept")),
                                    (("tokens.csv", "--load", box, "--train=5"), box, "fitted1")):
        before = bytes_of(read)
        code, text = run(*arguments, "--output", folder)
        check(f"refused: {arguments} into {folder}", code == 1 and "--output would replace this file, which the program reads" in text, text)
        check(f"{read} is as it was", bytes_of(read) == before)
    decoded = os.path.join("out", "decoded.png")
    write(decoded, b"of a photograph")
    code, text = run("tokens.csv", "--output", "out")
    check("a file that this run does not write is left alone", code == 0 and bytes_of(decoded) == b"of a photograph", text)
    write_png(os.path.join("out", "decoded.png"), bytes(64))
    text = run("tokens.csv", "--output", "out")[1]
    check("what only an earlier run wrote is named", "not written in this run, and left as it was: decoded.png" in text, text)
    check("and so are files that are replaced", "written to out/, in place of the files of an earlier run\n" in text, text)
    write(os.path.join("out", "layers.svg"), b"no picture")
    check("a file that is no picture is not replaced", run("tokens.csv", "--output", "out")[0] == 1)
    os.remove(os.path.join("out", "layers.svg"))
    own = write(os.path.join("out", "tokens.safetensors"), safetensors({"tokens": ("F32", tokens)}))
    before = bytes_of(own)
    code, text = run("tokens.csv", "--output", "out")
    check("tokens of one's own are not replaced", code == 1 and bytes_of(own) == before
          and "--output would replace this file, which the program has not written; give another folder" in text, text)
    os.remove(own)


def check_own_labels():
    """Classes go into the file of tokens, and come back from it."""
    file = os.path.join("labelled", "tokens.safetensors")
    first = tables("tokens.csv", "--labels", 6)
    again = tables(file)
    table = lambda text: text[text.find("white box "):]  # below the notes on the columns
    check("labels are read from the program's own file", "  label     " in first and table(again) == table(first), (first, again))
    code, text = run(file, "--tensor", "codes", "--output", "out")
    check("also with another tensor of it", code == 0 and "labels of" in text.splitlines()[0], text)


def check_training():
    code, text = run("tokens.csv", "--subspaces", 2, "--dim", 2, "--train=20", "--output", "trained")
    check("a white box is trained", code == 0 and "trained end to end for 20 steps" in text, text)
    check("a trained white box is another", bytes_of("trained", "white_box.safetensors") !=
          bytes_of("fitted1", "white_box.safetensors"))


def check_labels(tokens):
    """Labels that tell all tokens apart are no classes to compare."""
    lines = "\n".join(",".join(map(str, token)) + f",n{i}" for i, token in enumerate(tokens))
    code, text = run(write("names.csv", lines.encode()), "--labels", 7, "--output", "names")
    check("tokens all of one class each", code == 0 and "separation" not in text, text)


def main():
    random.seed(3)
    tokens = draw_tokens()
    with tempfile.TemporaryDirectory() as folder:
        sys.argv[1] = os.path.abspath(sys.argv[1])
        os.chdir(folder)
        check_kinds(tokens)
        check_faults(tokens)
        check_files()
        check_white_box()
        check_inputs_are_kept(tokens)
        check_own_labels()
        check_training()
        check_labels(tokens)
        os.chdir("/")
    sys.exit(end())


if __name__ == "__main__":
    main()
