#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""From text to ids and back on the command line: tokenize.py FOLDER_OF_PROGRAMS. What `tokenize` writes it reads, and what means nothing
is refused before anything is read."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

from checks import check, end

PROGRAM = os.path.join(sys.argv[1], "tokenize")
FIXTURES = os.path.join(os.path.dirname(__file__), "..", "fixtures")
GPT2 = ["--tokeniser", "gpt2", "--vocabulary", f"{FIXTURES}/gpt2-bpe"]
BERT = ["--tokeniser", "bert", "--vocabulary", f"{FIXTURES}/bert-wordpiece"]


def run(*arguments, text=b""):
    done = subprocess.run([PROGRAM, *arguments], input=text, capture_output=True, timeout=300)
    return done.returncode, done.stdout, done.stderr.decode()


def check_ids(options, text, ids):
    found = run(*options, text=text)
    check(f"{options[1]} of {text[:40]}", found[:2] == (0, (" ".join(map(str, ids)) + "\n").encode()), found)


def check_ids_of_fixtures():
    with open(f"{FIXTURES}/tokenisers.json") as file:
        for case in json.load(file):
            check_ids(GPT2, case["text"].encode(), case["gpt2"])
            check_ids(BERT, case["text"].encode(), case["bert"])
    check_ids(["--tokeniser", "bytes"], b"a\0\xff", [97, 0, 255])
    check_ids(GPT2 + ["--special"], b"<|endoftext|>", [50256])
    check_ids(BERT + ["--sentence"], b"hello", [101, 7592, 102])


def check_round_trip(options, text, folder):
    with open(f"{folder}/text", "wb") as file:
        file.write(text)
    ids = run(*options, "--input", f"{folder}/text")
    check(f"{options} encodes", ids[0] == 0, ids)
    back = run(*options, "--decode", text=ids[1])
    check(f"{options} gives the text back", back[:2] == (0, text), back)


def check_learned(folder):
    text = "the cat sat on the mat, na\u00efve \U0001f600 cats sat\n\n ".encode() * 5
    learned = run("--learn-vocabulary", "280", "--output", f"{folder}/bpe", text=text)
    check("a bpe is learned", learned[0] == 0 and "vocabulary of 280 tokens" in learned[2], learned)
    check_round_trip(["--tokeniser", "bpe", "--vocabulary", f"{folder}/bpe"], text + bytes(range(256)), folder)
    few = run("--tokeniser", "bpe", "--train", "9999", "--output", f"{folder}/few", text=text)
    check("too few repetitions are said", few[0] == 0 and "too few repeated pairs for 9999" in few[2], few)
    learned = run("--tokeniser", "characters", "--output", f"{folder}/characters", text=text)
    check("characters are collected", learned[0] == 0, learned)
    characters = ["--tokeniser", "characters", "--vocabulary", f"{folder}/characters"]
    check_round_trip(characters, text, folder)
    found = run(*characters, text=b"the zoo")
    check("a character that is missing is named", found[0] == 1 and "found U+007A at byte 4" in found[2], found)


def check_files_and_bytes(folder):
    with open(f"{folder}/kind", "w") as file:
        file.write("bpe\n")
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(f"{folder}/../bpe/{name}", folder)
    found = run("--vocabulary", folder, "--input", "-", text=b"\xef\xbb\xbfthe")
    check("the folder tells the kind, and a byte order mark is no text", found[0] == 0 and found == run(
        "--tokeniser", "bpe", "--vocabulary", folder, text=b"the"), found)
    characters = ["--tokeniser", "characters", "--vocabulary", f"{folder}/../characters"]
    found = run(*characters, text=b"the cat\r\n")
    check("line ends of Windows are named", found[0] == 1 and "found U+000D at byte 7; the text has line ends of Windows" in found[2], found)
    run("--tokeniser", "characters", "--output", f"{folder}/lossy", text=b"ab\xff")
    found = run("--tokeniser", "characters", "--vocabulary", f"{folder}/lossy", text=b"a\xff\xfeb")
    check("bytes that are no UTF-8 are counted", found[0] == 0 and
          "standard input: 2 bytes are not UTF-8, the first at byte 1, and replaced by U+FFFD" in found[2], found)
    check("--version", run("--version")[1].startswith(b"tokenize (crate) "))
    found = run("--bogus", "3", "--tokeniser", "bytes")
    check("an option that there is not comes first", found[0] == 2 and "unknown option or argument: --bogus 3" in found[2], found)


def check_refusals(folder):
    refused = [
        (["--tokeniser", "gpt3"], "--tokeniser"),
        ([], "option --tokeniser: expected a name, found none"),
        (["--tokeniser", "bert"], "option --vocabulary: expected a folder, found none"),
        (["--tokeniser", "bytes", "--vocabulary", folder], "option --vocabulary would have no effect"),
        (["--tokeniser", "bert", "--vocabulary", folder], "found no vocab.txt"),
        (["--tokeniser", "gpt2", "--vocabulary", folder], "found no vocab.json (or encoder.json) and no merges.txt (or vocab.bpe)"),
        (["--tokeniser", "bpe", "--learn-vocabulary", "300"], "give both --learn-vocabulary SIZE and --output FOLDER; found --learn-vocabulary alone"),
        (["--tokeniser", "bpe", "--output", folder], "give both --learn-vocabulary SIZE and --output FOLDER; found --output alone"),
        (["--tokeniser", "bpe", "--train", "256", "--output", folder], "--learn-vocabulary"),
        (["--tokeniser", "gpt2", "--output", folder], "option --output: expected with --tokeniser bpe or characters"),
        (BERT + ["--train", "300"], "option --learn-vocabulary: expected with --tokeniser bpe, found --tokeniser bert"),
        (BERT + ["--decode", "--sentence"], "would have no effect with --decode"),
        (GPT2 + ["--sentence"], "expected tokens [CLS] and [SEP], or <s> and </s>, found none"),
        (GPT2 + ["--input", f"{folder}/nothing"], "no such file"),
        (GPT2 + ["--input", folder], "expected a regular file, found a folder"),
    ]
    for arguments, message in refused:
        found = run(*arguments, text=b"text")
        check(f"{arguments} is refused", found[0] != 0 and found[1] == b"" and message in found[2] + str(found[1]), found)
    for ids, message in ((b"1 x", "byte 2: expected ids separated by white space, found 'x'"), (b"99999999999", "found '99999999999'"),
                         (b"50257", "token id: expected 0 to 50256, found 50257"), (b"-1", "found -1")):
        found = run(*GPT2, "--decode", text=ids)
        check(f"ids {ids} are refused", found[0] == 1 and message in found[2], found)


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/empty")
        check_ids_of_fixtures()
        check_round_trip(GPT2, "it's na\u00efve \U0001f600\r\n  \u3000 end ".encode() + bytes(range(256)), folder)
        check_round_trip(["--tokeniser", "bytes"], bytes(range(256)), folder)
        check_learned(folder)
        os.mkdir(f"{folder}/own")
        check_files_and_bytes(f"{folder}/own")
        check_refusals(f"{folder}/empty")
    return end()


sys.exit(main())
