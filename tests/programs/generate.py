#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Going on with texts on the command line: generate.py FOLDER_OF_PROGRAMS. The published tokens are written, where a text
ends it ends, and what cannot be gone on with is refused by name."""

import json
import os
import struct
import subprocess
import sys
import tempfile

from checks import check, end, is_refusal

PROGRAM = os.path.join(sys.argv[1], "generate")
FIXTURES = os.path.join(os.path.dirname(__file__), "..", "fixtures")
HEADS, CONTEXT, VOCABULARY = 3, 24, 65


def run(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=300)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def text_of(ids):
    return "".join(chr(ord("0") + i) for i in ids)


def published_text():
    """The text of the tokens that the published code writes, and how many of them are the prompt."""
    with open(f"{FIXTURES}/gpt.safetensors", "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        begin, end = header["greedy/tokens"]["data_offsets"]
        file.seek(8 + size + begin)
        ids = struct.unpack(f"<{(end - begin) // 8}q", file.read(end - begin))
    return text_of(ids), header["greedy/prompt"]["shape"][1]


def main():
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/characters.json", "w") as file:
            json.dump({text_of([i]): i for i in range(VOCABULARY)}, file)
        model = ["--weights", f"{FIXTURES}/gpt_checkpoint.pth", "--heads", HEADS]
        weights = model + ["--tokeniser", "characters", "--vocabulary", folder]
        text, length = published_text()
        prompt, rest = text[:length], text[length:]
        greedy = weights + ["--temperature", 0, "--tokens", len(rest)]
        for further in ([], ["--threads", 2], ["--slide", 1]):
            found = run(*greedy, "--prompt", prompt, *further)
            check(f"published tokens {further}", found[:2] == (0, text + "\n"), found)
            check("speed on standard error", "tokens/s" in found[2], found)
        found = run(*model, "--vocabulary", folder, "--temperature", 0, "--tokens", 3, "--prompt", prompt)
        check("the files tell the tokeniser", found[:2] == (0, prompt + rest[:3] + "\n"), found)
        found = run(*weights, "--prompt", prompt, "--tokens", 5, "--precision", "bf16", "--seed", 3)
        check("bf16", found[0] == 0 and len(found[1]) == length + 6, found)
        check("the same seed", found[:2] == run(*weights, "--prompt", prompt, "--tokens", 5, "--precision", "bf16", "--seed",
                                                3)[:2])
        found = run(*greedy, "--prompt", prompt, "--stop", rest[3:5])
        check("stop string", found[:2] == (0, prompt + rest[: rest.find(rest[3:5])] + "\n"), found)
        found = run(*weights, "--temperature", 0, "--tokens", 3, "--prompt", prompt, "--prompt", "0")
        check("two prompts", found[0] == 0 and f"== prompt 1\n{prompt}{rest[:3]}\n== prompt 2\n0" in found[1], found)
        found = run(*weights, "--temperature", 0, "--prompt", prompt)
        check("as many tokens as the context has room for", found[0] == 0 and len(found[1]) == CONTEXT + 2
              and found[1].startswith(text[:CONTEXT]), found)
        with open(f"{folder}/prompt", "w") as file:
            file.write(prompt + "\n")
        found = run(*weights, "--temperature", 0, "--tokens", 3, "--prompt-file", f"{folder}/prompt")
        check("a prompt from a file", found[:2] == (0, prompt + rest[:3] + "\n"), found)
        with open(f"{folder}/prompt") as file:
            done = subprocess.run([PROGRAM, *map(str, weights), "--temperature", "0", "--tokens", "3", "--prompt-file", "-"],
                                  stdin=file, capture_output=True, timeout=300)
        check("a prompt from standard input", done.stdout.decode() == prompt + rest[:3] + "\n", done)
        with open(f"{folder}/fewer.json", "w") as file:
            json.dump({text_of([i]): i for i in range(VOCABULARY - 1)}, file)
        os.makedirs(f"{folder}/fewer")
        os.rename(f"{folder}/fewer.json", f"{folder}/fewer/characters.json")
        second = [*weights, "--prompt", "0", "--prompt", prompt * 5, "--tokens", 9]
        too_many = f"context of 24 tokens, found {length} tokens; of --tokens 99 only {CONTEXT - length + 1} fit; --slide N"
        for what, arguments, message in [
            ("fewer tokens", [*model, "--vocabulary", f"{folder}/fewer", "--prompt", "0"],
             "expected the 65 tokens that the weights have, found 64"),
            ("no prompt", weights, "options --prompt and --prompt-file: expected one of them"),
            ("the second of two prompts", second, "prompt 2: expected a text within"),
            ("a character that the model does not have", [*weights, "--prompt", prompt, "--prompt", prompt + "\u00e9"],
             "prompt 2: text: expected characters"),
            ("empty prompt", [*weights, "--prompt", ""], "option --prompt: expected at least 1 token"),
            ("too long a text", [*weights, "--prompt", prompt, "--tokens", 99], too_many),
            ("vocabulary of others", [*model, "--tokeniser", "bytes", "--prompt", "a"], "expected the 65 tokens that the weights have, found 256"),
            ("temperature", [*weights, "--prompt", prompt, "--tokens", 2, "--temperature", -1], "temperature >= 0"),
            ("no vocabulary", [*model, "--tokeniser", "gpt2", "--prompt", "a"], "expected a folder with the tokeniser gpt2"),
            ("no tokeniser", [*model, "--prompt", "a"], "option --tokeniser is required: there is no folder"),
            ("a folder for bytes", [*model, "--tokeniser", "bytes", "--vocabulary", folder, "--prompt", "a"],
             "option --vocabulary would have no effect"),
            ("no language model", ["--weights", f"{FIXTURES}/classifier_weights.safetensors", "--tokeniser", "bytes",
                                   "--prompt", "a"], "language model"),
        ]:
            found = run(*arguments)
            check(what, is_refusal(found[0], found[2]) and message in found[2] and found[1] == "", found)
    return end()


if __name__ == "__main__":
    sys.exit(main())
