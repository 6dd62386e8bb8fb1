#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""inspect_model measures what the published code measured, and its tables hold what it prints:
inspect_model.py FOLDER_OF_PROGRAMS."""

import base64
import csv
import json
import math
import os
import shutil
import struct
import sys
import tempfile
import xml.etree.ElementTree as xml
import zlib

import checks
from checks import check, end, is_refusal

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


def text_of(page):
    return words_of(xml.parse(page).getroot())


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
                                             + section.findall(f"{HTML}dl") for section in sections))
    terms = [words_of(term) for term in page.findall(f".//{HTML}dt")]
    check(f"{what} explains its terms", all(term in terms for term in ["published Rᶜ", "before, between, after"]), terms)
    check(f"{what} writes Rᶜ in one way", "R^c" not in words_of(page))
    files = [(link.get("download"), base64.b64decode(link.get("href").split(",")[1]))
             for link in page.findall(f".//{HTML}a") if link.get("download")]  # two models have tables of one name
    for name in [name for name in os.listdir(tables) if name.endswith(".csv")] if tables else []:
        with open(os.path.join(tables, name), "rb") as file:
            check(f"{what} holds {name}", (name, file.read()) in files)
    return " ".join(words_of(plot) for plot in plots)


def check_pages(folder):
    weights = os.path.join(FIXTURES, "classifier_weights.safetensors")
    images = os.path.join(folder, "images.safetensors")
    page, figure, tables = (os.path.join(folder, name) for name in ["page.html", "figure.svg", "tables"])
    of_model = ["--weights", weights, "--heads", 3, "--page", page]
    status, said = run(*of_model, "--input", images, "--output", tables)
    check("a page is written", status == 0, said)
    shown = check_page("the page of a model", page, tables)
    notes = os.path.join(folder, "notes.txt")
    with open(notes, "w") as file:
        file.write("mine")
    for option, what in (("--page", "a page of HTML"), ("--figure", "an SVG figure")):
        status, said = run("--weights", weights, "--heads", 3, "--input", images, option, notes)
        with open(notes) as file:
            check(f"{option} does not replace a text", status == 1 and f"{option} would replace a file that is not {what}" in said
                  and file.read() == "mine", said)
    status, said = run(*of_model, "--input", images, "--output", tables)
    check("a page is replaced", status == 0, said)
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

    check("captions tell of both", "Here: classifier_weights" in text_of(page) and "; untrained " in text_of(page))

    other = os.path.join(folder, "autoencoder.safetensors")
    write_weights(other, "mae")
    data = os.path.join(folder, "data")
    write_data_set(data)
    status, said = run(*of_model, "--data", data, "--split", "both", "--against", other, "--against-heads", 3,
                       "--output", tables)
    check("a model of another family and depth stands beside the first, on both parts of the data", status == 0, said)
    shown = check_page("their page", page, tables)
    check("all four are in the legends", "autoencoder (training)" in shown and "classifier_weights (test)" in shown)
    rows = table(tables, "layers.csv")
    check("and in the tables", {(row["model"], row["data"], row["sets"]) for row in rows} ==
          {(model, part, sets) for model in ("autoencoder", "classifier_weights")
           for part, sets in (("training", "6"), ("test", "5"))}, rows[:1])
    status, said = run(*of_model, "--input", images, "--examples", 1)
    check("one image makes a page", status == 0, said)
    check_page("the page of one image", page)
    check("and speaks of one", "on 1 example (input)" in text_of(page) and "1 examples" not in text_of(page))
    constant = os.path.join(folder, "constant.safetensors")
    write_tensor(constant, "images", "F32", [2, 3, 32, 32], bytes(4 * 2 * 3 * 32 * 32))
    status, said = run(*of_model, "--input", constant)
    check("images of zeros make a page", status == 0, said)
    check_page("the page of images of zeros", page)


def narrowed(tensor, rows, columns):
    """The first rows and columns of a matrix."""
    (_, width), data = tensor
    return [rows, columns], b"".join(data[4 * i * width:4 * (i * width + columns)] for i in range(rows))


def check_heads(folder):
    """Many heads are shown as maps, in two colours where some change falls; and heads that leave space beside them."""
    images, page = (os.path.join(folder, name) for name in ["images.safetensors", "heads.html"])
    status, said = run("--weights", os.path.join(FIXTURES, "classifier_weights.safetensors"), "--heads", 12, "--input",
                       images, "--page", page)
    check("a model of twelve heads is inspected", status == 0, said)
    shown = check_page("the page of twelve heads", page)
    check("its heads are maps, blue below zero and red above", "Change of each head's rate" in shown and
          "Blue is below zero, red above" in text_of(page))
    check("which span the space", "together span at most" not in text_of(page))
    narrow, all_heads = os.path.join(folder, "narrow.safetensors"), fixture("classifier_weights")
    width = all_heads["cls_token"][0][-1]
    for name, tensor in all_heads.items():
        if name.endswith("qkv.weight"):
            all_heads[name] = narrowed(tensor, width // 2, width)
        elif name.endswith("to_out.0.weight"):
            all_heads[name] = narrowed(tensor, width, width // 2)
    write_tensors(narrow, {name: ("F32", *tensor) for name, tensor in all_heads.items()})
    status, said = run("--weights", narrow, "--heads", 3, "--input", images, "--page", page)
    check("heads that do not span the space are inspected", status == 0, said)
    check_page("their page", page)
    check("and the page says so", f"together span at most {width // 2} of the {width} dimensions" in text_of(page))


def write_png(path, height, width, pixel):
    """RGB, where pixel(y, x) gives three bytes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + b"".join(bytes(pixel(y, x)) for x in range(width)) for y in range(height))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def size_of_png(*path):
    """(width, height)."""
    with open(os.path.join(*path), "rb") as file:
        return struct.unpack(">2I", file.read(24)[16:])


def write_disk(folder):
    """A picture of stripes with a disk of other stripes, and the mask of the disk. Returns the paths."""
    def inside(y, x):
        return (y - 20) ** 2 + (x - 30) ** 2 < 150
    picture, mask = (os.path.join(folder, name) for name in ["disk.png", "mask.png"])
    write_png(picture, 40, 60, lambda y, x: (220, 60, 40) if (x if inside(y, x) else y) // 2 % 2 else (30, 40, 200))
    write_png(mask, 40, 60, lambda y, x: (255, 255, 255) if inside(y, x) else (0, 0, 0))
    return picture, mask


def check_maps(folder):
    of_model = ["--weights", os.path.join(FIXTURES, "classifier_weights.safetensors"), "--heads", 3]
    out, page = os.path.join(folder, "maps"), os.path.join(folder, "maps.html")
    picture, mask = write_disk(folder)
    status, said = run(*of_model, "--picture", picture, "--mask", mask, "--picture", picture, "--mask", mask,
                       "--output", out, "--page", page, "--steer", "3=2", "--unit", 26, "--unit", 43)
    check("pictures are shown", status == 0, said)
    if status != 0:
        return
    check_page("the page with pictures", page, out)
    check("the attention of three heads beside the picture, above what they keep",
          size_of_png(out, "attention-disk.png") == (6 + 4 * 102, 6 + 2 * 102), size_of_png(out, "attention-disk.png"))
    for name in ["attention-disk", "attention-disk-2", "claims-disk", "components", "segments", "units"]:
        check(f"{name}.png is named", os.path.join(out, name + ".png") in said, said)
    overlaps = table(out, "overlaps.csv")
    check("every head, the components and the cuts are compared with the mask",
          {row["method"] for row in overlaps} >= {"attention", "first component"} and
          [row["part"] for row in overlaps if row["image"] == "disk-2" and row["method"] == "attention"] ==
          ["head 0", "head 1", "head 2"], overlaps)
    claims = [row for row in table(out, "claims.csv") if row["image"] == "disk"]
    check("every patch is claimed by one of the heads, which then holds at least an equal share", len(claims) == 3 and
          sum(int(row["claimed_patches"]) for row in claims) == 16 and
          all(float(row["mean_share_of_claimed"]) >= 1 / 3 for row in claims if int(row["claimed_patches"])), claims)
    check("overlaps are shares", all(0 <= float(row["intersection_over_union"]) <= 1 for row in overlaps), overlaps)
    check("two pictures that are the same are shown as the same", len({
        (row["method"], row["part"], row["intersection_over_union"]) for row in overlaps}) == len(overlaps) / 2)
    check("the units that were asked for are shown", {row["unit"] for row in table(out, "units.csv")} == {"26", "43"})
    rates = [float(row["firing_rate"]) for row in table(out, "unit_rates.csv")]
    check("all units have a rate", len(rates) == 48 and all(0 <= rate <= 1 for rate in rates), rates)
    steered = table(out, "steering.csv")
    check("a unit that is set changes probabilities", "unit 3 = 2" in said and any(
        abs(float(row["probability_before"]) - float(row["probability_after"])) > 1e-6 for row in steered), steered)

    white = os.path.join(folder, "white.png")
    write_png(white, 40, 60, lambda y, x: (255, 255, 255))
    for mass, overlap in [(1, 1.0), (0, 0.0)]:
        status, said = run(*of_model, "--picture", picture, "--mask", white, "--mass", mass, "--head", 2, "--query",
                           "3,0", "--picture-size", "64x96", "--block", "layers.0", "--output", out)
        found = [(row["part"], float(row["intersection_over_union"])) for row in
                 (table(out, "overlaps.csv") if status == 0 else []) if row["method"] == "attention"]
        check(f"a share {mass} of the attention covers {overlap} of the image", found == [("head 2", overlap)],
              f"{found} {said}")
    check("one head at twice and three times the size", size_of_png(out, "attention-disk.png") ==
          (6 + 2 * 102, 6 + 2 * 70), size_of_png(out, "attention-disk.png"))
    constant = os.path.join(folder, "white.png")
    status, said = run(*of_model, "--picture", constant, "--output", out, "--page", page)
    check("a constant picture is shown", status == 0, said)
    check_page("the page of a constant picture", page)


def check_uses_of_units(folder):
    """Of a language model: snippets, and what it writes when a unit is set; of an autoencoder its prediction."""
    tokens, out = os.path.join(folder, "words.safetensors"), os.path.join(folder, "uses")
    write_tensor(tokens, "tokens", "I64", [3, 6], struct.pack("<18q", *range(18)))
    of_model = ["--weights", os.path.join(FIXTURES, "gpt_checkpoint.pth"), "--heads", 3, "--input", tokens]
    status, said = run(*of_model, "--steer", "1=30", "--tokens", 5, "--output", out)
    check("a language model is steered", status == 0 and "continued, unit 1 = 30" in said, said)
    texts = [row["text"] for row in table(out, "steering.csv")] if status == 0 else []
    check("and writes something else", len(texts) == 2 and texts[0] != texts[1] and
          all(len(text.split()) == 5 for text in texts), texts)
    uses = table(out, "units.csv") if status == 0 else []
    check("the largest uses are in brackets among their neighbours", uses and all(
        f"[{6 * int(use['text_number']) + int(use['token'])}]" in use["text"] for use in uses), uses[:3])
    check("largest first", all(float(a["value"]) >= float(b["value"]) for a, b in zip(uses, uses[1:])
                               if a["unit"] == b["unit"]))
    status, said = run(*of_model, "--unit", 2)
    check("without a folder they are told", status == 0 and "unit 2 is not zero for" in said and "[" in said, said)
    autoencoder = os.path.join(folder, "mae.safetensors")
    write_weights(autoencoder, "mae")
    picture, _ = write_disk(folder)
    status, said = run("--weights", autoencoder, "--heads", 3, "--picture", picture, "--steer", "0=0", "--block",
                       "encoder.layers.0", "--picture-size", "64x64", "--output", out)
    check("an autoencoder is shown larger pictures and steered", status == 0 and "predicted patches change" in said,
          said)


def check_texts(folder):
    tokens = os.path.join(folder, "tokens.safetensors")
    write_tensor(tokens, "tokens", "I64", [3, 5], struct.pack("<15q", *range(15)))
    status, said = run("--weights", os.path.join(FIXTURES, "gpt_checkpoint.pth"), "--heads", 3, "--input", tokens,
                       "--examples", 2, "--batch", 1, "--output", folder,
                       "--page", os.path.join(folder, "texts.html"))
    check("a language model is inspected on tokens", status == 0 and "on 2 examples" in said, said)
    check_page("the page of a language model", os.path.join(folder, "texts.html"))


def check_plain_texts(folder):
    """A text is cut into contexts of 24 tokens, by a tokeniser of 65 characters beside the weights."""
    weights, text = os.path.join(folder, "gpt.pth"), os.path.join(folder, "text.txt")
    shutil.copyfile(os.path.join(FIXTURES, "gpt_checkpoint.pth"), weights)
    os.makedirs(os.path.join(folder, "gpt.tokeniser"), exist_ok=True)
    letters = "abcdefghijklmnopqrstuvwxyz"
    with open(os.path.join(folder, "gpt.tokeniser", "characters.json"), "w", encoding="utf-8") as file:
        json.dump({letter: number for number, letter in enumerate(letters + letters.upper() + " .,;:!?-'()&$")}, file)
    of_model = ["--weights", weights, "--heads", 3]

    def layers_of(what, content, *arguments):
        with open(text, "w", encoding="utf-8") as file:
            file.write(content)
        out = os.path.join(folder, "of_text")
        status, said = run(*of_model, *arguments, "--output", out)
        check(f"a language model is inspected on {what}", status == 0, said)
        without = [{key: value for key, value in row.items() if key != "data"} for row in
                   (table(out, "layers.csv") if status == 0 else [])]
        return without, said

    context = 24
    tokens = os.path.join(folder, "letters.safetensors")
    ids = [i % 26 for i in range(2 * context)]
    write_tensor(tokens, "tokens", "I64", [2, context], struct.pack(f"<{len(ids)}q", *ids))
    of_text, said = layers_of("a text", letters * context, "--text", text, "--examples", 2)
    of_tokens, _ = layers_of("its tokens", "", "--input", tokens)
    check("a text is the tokens that it is made of", of_text and of_text == of_tokens, f"{of_text[:1]} {of_tokens[:1]}")
    check("snippets are in letters", any(f"[{letter}]" in said for letter in letters), said)
    of_text, said = layers_of("a text shorter than the context", "abc", "--text", text)
    check("which is one example", "on 1 example," in said, said)
    for content, message in [("", "found an empty file"), ("abc1", "found U+0031")]:
        with open(text, "w", encoding="utf-8") as file:
            file.write(content)
        status, said = run(*of_model, "--text", text)
        check(f"the text {content!r} is refused", is_refusal(status, said) and message in said, said)
    status, said = run("--weights", os.path.join(FIXTURES, "gpt_checkpoint.pth"), "--heads", 3, "--text", text)
    check("a text without a tokeniser is refused", status == 2 and "gpt_checkpoint.tokeniser" in said, said)
    status, said = run("--weights", os.path.join(FIXTURES, "classifier_weights.safetensors"), "--heads", 3, "--text",
                       text)
    check("a text for a model of images is refused", status == 2 and "option --text" in said, said)


def check_second_maps(folder):
    of_model = ["--weights", os.path.join(FIXTURES, "classifier_weights.safetensors"), "--heads", 3]
    picture, _ = write_disk(folder)
    out, page = os.path.join(folder, "both"), os.path.join(folder, "both.html")
    status, said = run(*of_model, "--picture", picture, "--against", "untrained", "--output", out, "--page", page)
    check("maps of two models are shown", status == 0, said)
    if status != 0:
        return
    check("the second's in a folder of their own", size_of_png(out, "against", "attention-disk.png") ==
          size_of_png(out, "attention-disk.png"))
    check_page("the page with maps of two models", page)
    with open(page, encoding="utf-8") as file:
        text = file.read()
    check("and in sections beside each other", 0 < text.find(">Attention, untrained<") < text.find(">Units<"))
    # A second model of patches of 16 x 16, which do not divide 40, though the first's of 8 x 8 do.
    wide, lengths = os.path.join(folder, "wide.safetensors"), {17: 5, 8: 16, 192: 768}
    shapes = {key[len("param/"):]: [lengths.get(n, n) for n in shape] for key, (shape, _) in fixture("mae").items()
              if key.startswith("param/")}
    write_tensors(wide, {key: ("F32", shape, bytes(4 * math.prod(shape))) for key, shape in shapes.items()})
    out, page = os.path.join(folder, "neither"), os.path.join(folder, "neither.html")
    status, said = run(*of_model, "--picture", picture, "--picture-size", "40x40", "--against", wide, "--against-heads", 3,
                       "--output", out, "--page", page)
    check("what a second model cannot show is refused", status == 2 and "option --against" in said and "40" in said, said)
    check("before anything is written", not os.path.exists(out) and not os.path.exists(page))


def check_refusals(folder):
    weights = os.path.join(FIXTURES, "classifier_weights.safetensors")
    images = os.path.join(folder, "small.safetensors")
    write_tensor(images, "images", "F32", [1, 3, 2, 2], bytes(48))
    no_numbers = os.path.join(folder, "nan.safetensors")
    write_tensor(no_numbers, "images", "F32", [1, 3, 32, 32], struct.pack("<f", math.nan) * (3 * 32 * 32))
    for arguments, message in [
            (["--heads", 3], "options --input, --text, --data and --picture: expected one of them"),
            (["--heads", 3, "--input", no_numbers], "expected finite numbers, found NaN or infinity"),
            (["--heads", 3, "--input", images], "expected images of shape [3, 32, 32], found [1, 3, 2, 2]"),
            (["--heads", 3, "--input", images, "--epsilon", 0], "epsilon > 0"),
            (["--heads", 3, "--input", images, "--split", "test"], "--split would have no effect"),
            (["--heads", 3, "--input", images, "--against-heads", 3], "--against-heads would have no effect"),
            (["--heads", 3, "--input", images, "--against", "untrained", "--against-heads", 3], "would have no effect"),
            (["--heads", 3, "--input", images, "--against", os.path.join(folder, "missing")], "no such file"),
            (["--heads", 3, "--input", os.path.join(folder, "images.safetensors"), "--against",
              os.path.join(FIXTURES, "gpt_checkpoint.pth")], "tokens"),
            (["--heads", 3, "--data", os.path.join(folder, "data"), "--against",
              os.path.join(FIXTURES, "gpt_checkpoint.pth")], "option --against: model"),
            (["--heads", 3, "--input", images, "--output", no_numbers], "cannot be written: expected a folder, found a file"),
            (["--heads", 3, "--input", images, "--output", os.path.join(no_numbers, "tables")], "expected a folder, found a file"),
            (["--heads", 3, "--input", images, "--page", os.path.join(folder, "none", "page.html")], "none"),
            (["--heads", 3, "--input", images, "--figure", images], "would be replaced, but is read by the program"),
            (["--heads", 3, "--input", images, "--page", images + ".html", "--figure", images + ".html"],
             "different files for --page and --figure"),
            (["--heads", 3, "--data", os.path.join(folder, "none")], "none")]:
        status, said = run("--weights", weights, *arguments)
        check(f"{arguments} is refused", status in (1, 2) and message in said, said)


def check_refused_pictures(folder):
    weights = os.path.join(FIXTURES, "classifier_weights.safetensors")
    picture, mask = write_disk(folder)
    other = os.path.join(folder, "other.png")
    write_png(other, 40, 61, lambda y, x: (255, 255, 255))
    dark = os.path.join(folder, "dark.png")
    write_png(dark, 40, 60, lambda y, x: (0, 0, 0))
    out = ["--output", os.path.join(folder, "refused")]
    of_picture = ["--weights", weights, "--heads", 3, "--picture", picture]
    tokens = os.path.join(folder, "tokens.safetensors")
    write_tensor(tokens, "tokens", "I64", [1, 3], struct.pack("<3q", 1, 2, 3))
    of_text = ["--weights", os.path.join(FIXTURES, "gpt_checkpoint.pth"), "--heads", 3]
    for arguments, message in [
            ([*of_picture, "--block", "layers.3", *out], "expected one of 'layers.0', 'layers.1' and 'layers.2'"),
            ([*of_picture, "--head", 3, *out], "a head of 'layers.2.compress' from 0 to 2, found 3"),
            ([*of_picture, "--query", "4,0", *out], "a patch from 0,0 to 3,3, found 4,0"),
            ([*of_picture, "--query", "4", *out], "expected ROW,COLUMN of a patch"),
            ([*of_picture, "--unit", 48, *out], "a unit of 'layers.2.sparsify' from 0 to 47, found 48"),
            ([*of_picture, "--steer", "48=1", *out], "option --steer: expected a unit"),
            ([*of_picture, "--steer", "1=nan", *out], "expected UNIT=VALUE"),
            ([*of_picture, "--mask", other, *out], "expected a mask of 40 x 60, as"),
            ([*of_picture, "--mask", dark, *out], "at least half brightness where the object is, found none"),
            ([*of_picture, "--mask", mask, "--mask", mask, *out], "expected 1, one for each picture, found 2"),
            ([*of_picture, "--picture-size", "30x32", *out], "a multiple of the patch's 8 rows, found 30"),
            ([*of_picture, "--mass", "nan", *out], "--mass"),
            ([*of_picture, "--threshold", 1, *out], "a cosine from -1 to below 1, found 1"),
            ([*of_picture, "--show", 3, *out], "--show would have no effect"),
            ([*of_picture, "--mass", 0.5], "--mass would have no effect: neither --output nor --page is given"),
            ([*of_picture, "--prompt", "a", *out], "--prompt would have no effect: --steer is not given"),
            ([*of_picture, "--prompt", "a", "--steer", "1=1", *out], "expected a model of texts, found one of images"),
            ([*of_picture[:-1], tokens, *out], "expected a PNG or JPEG image"),
            ([*of_picture, "--tokens", 3, "--steer", "1=1"], "expected a model of texts, found one of images"),
            ([*of_text, "--input", tokens, "--mass", 0.5, *out], "expected a model of images, found one of texts"),
            ([*of_picture[:-1], os.path.join(folder, "refused", "units.png"), *out], "--output would replace this picture"),
            ([*of_picture, "--against", weights, "--against-heads", 3, *out], "expected another model"),
            ([*of_text, "--picture", picture, *out], "expected a model of images, found one of texts"),
            ([*of_text, "--input", tokens, "--head", 1, *out], "expected a model of images, found one of texts"),
            ([*of_text, "--input", tokens, "--steer", "1=1", "--prompt", "a", *out], "expected a tokeniser")]:
        status, said = run(*arguments)
        check(f"{arguments} is refused", status in (1, 2) and message in said, said)


def check_toy(folder):
    """The law of arXiv 2506.03790 as long as signals are small, and exact steps that never raise R^c."""
    tables, page = os.path.join(folder, "toy"), os.path.join(folder, "toy.html")
    status, said = run("--toy", "--toy-steps", 4, "--output", tables, "--page", page)
    check("inspect_model shows the toy", status == 0 and "for the first 3 of 4 steps" in said, said)
    if status != 0:
        return
    rows = {name: [row for row in table(tables, "toy.csv") if row["update"] == name]
            for name in ["thresholded attention", "softmax attention", "exact steps"]}
    check("the toy's table has a row for every step", all(len(course) == 5 for course in rows.values()), rows)
    law = [(float(row["snr"]), float(row["law"])) for row in rows["thresholded attention"][:4]]
    check("thresholded attention multiplies the ratio as the theorem says",
          all(math.isclose(ratio, wanted, rel_tol=1e-6) for ratio, wanted in law) and
          math.isclose(law[1][1], 1.375 * law[0][1], rel_tol=1e-12), law)
    rates = [float(row["subspace_rate"]) for row in rows["exact steps"]]
    check("exact steps lower R^c", all(after < before for before, after in zip(rates, rates[1:])), rates)
    xml.parse(page)
    status, said = run("--toy", "--toy-noise", 0.8)
    check("noise beyond the theorem is named", status == 0 and "none of 8 steps" in said and "0.292" in said, said)
    for arguments, message in [(["--toy", "--weights", page], "--weights would have no effect: --toy is given"),
                               (["--toy", "--toy-noise", 0], "--toy-noise"),
                               (["--toy", "--toy-steps", 0], "--toy-steps"),
                               (["--toy", "--epsilon", 0], "epsilon > 0"),
                               (["--toy-steps", 2, "--weights", page], "--toy-steps would have no effect"),
                               ([], "--weights and --toy: expected one of them, found none")]:
        status, said = run(*arguments)
        check(f"{arguments} is refused", status == 2 and message in said, said)


def main():
    with tempfile.TemporaryDirectory() as folder:
        check_toy(folder)
        check_published(folder)
        check_pages(folder)
        check_heads(folder)
        check_maps(folder)
        check_uses_of_units(folder)
        check_texts(folder)
        check_plain_texts(folder)
        check_second_maps(folder)
        check_refusals(folder)
        check_refused_pictures(folder)
    return end()


if __name__ == "__main__":
    sys.exit(main())
