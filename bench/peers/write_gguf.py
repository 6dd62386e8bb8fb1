# SPDX-License-Identifier: MIT
"""Writes GPT-2 small at a random start as a GGUF file, as llama.cpp reads it: write_gguf.py FILE f32|bf16"""

import struct
import sys

import numpy

DIM, HEADS, DEPTH, VOCABULARY, CONTEXT, HIDDEN = 768, 12, 12, 50304, 1024, 3072
U32, I32, F32, STRING, ARRAY = 4, 5, 6, 8, 9  # kinds of values
TENSOR_F32, TENSOR_BF16 = 0, 30
FILE_TYPE = {"f32": 0, "bf16": 32}
ALIGNMENT = 32


def text(value):
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def value_of(kind, value):
    if kind == STRING:
        return text(value)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f"}[kind], value)


def entry(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value_of(kind, value)


def list_entry(key, kind, values):
    return text(key) + struct.pack("<IIQ", ARRAY, kind, len(values)) + b"".join(value_of(kind, v) for v in values)


def vocabulary():
    """A token for every byte, as GPT-2 writes bytes, and names for the rest."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    tokens = [chr(byte) for byte in visible] + [chr(256 + i) for i in range(len(hidden))] + ["ab"]
    return tokens + [f"<token {i}>" for i in range(len(tokens), VOCABULARY)]


def metadata(precision):
    return [
        entry("general.architecture", STRING, "gpt2"), entry("general.file_type", U32, FILE_TYPE[precision]),
        entry("gpt2.context_length", U32, CONTEXT), entry("gpt2.embedding_length", U32, DIM),
        entry("gpt2.feed_forward_length", U32, HIDDEN), entry("gpt2.block_count", U32, DEPTH),
        entry("gpt2.attention.head_count", U32, HEADS), entry("gpt2.attention.layer_norm_epsilon", F32, 1e-5),
        entry("tokenizer.ggml.model", STRING, "gpt2"), entry("tokenizer.ggml.pre", STRING, "gpt-2"),
        list_entry("tokenizer.ggml.tokens", STRING, vocabulary()),
        list_entry("tokenizer.ggml.token_type", I32, [1] * VOCABULARY),
        list_entry("tokenizer.ggml.merges", STRING, ["a b"]),
        entry("tokenizer.ggml.bos_token_id", U32, VOCABULARY - 1), entry("tokenizer.ggml.eos_token_id", U32, VOCABULARY - 1)]


def shapes():
    """Of every tensor, rows first."""
    yield "token_embd.weight", (VOCABULARY, DIM)
    yield "position_embd.weight", (CONTEXT, DIM)
    for norm in ["output_norm", *(f"blk.{i}.{name}" for i in range(DEPTH) for name in ("attn_norm", "ffn_norm"))]:
        yield f"{norm}.weight", (DIM,)
        yield f"{norm}.bias", (DIM,)
    for i in range(DEPTH):
        for name, rows, columns in [("attn_qkv", 3 * DIM, DIM), ("attn_output", DIM, DIM), ("ffn_up", HIDDEN, DIM),
                                    ("ffn_down", DIM, HIDDEN)]:
            yield f"blk.{i}.{name}.weight", (rows, columns)
            yield f"blk.{i}.{name}.bias", (rows,)


def numbers(name, shape, as_bf16, random):
    if "norm" in name:
        values = numpy.full(shape, 1 if name.endswith("weight") else 0, numpy.float32)
    else:
        values = 0.02 * random.standard_normal(shape, numpy.float32)
    return (values.view(numpy.uint32) >> 16).astype(numpy.uint16).tobytes() if as_bf16 else values.tobytes()


def main():
    path, precision = sys.argv[1:]
    random = numpy.random.default_rng(1)
    entries, infos, offset, tensors = metadata(precision), [], 0, list(shapes())
    in_bf16 = lambda name, shape: precision == "bf16" and len(shape) == 2 and name != "position_embd.weight"
    for name, shape in tensors:
        kind = TENSOR_BF16 if in_bf16(name, shape) else TENSOR_F32
        dims = struct.pack(f"<{len(shape)}Q", *reversed(shape))
        infos.append(text(name) + struct.pack("<I", len(shape)) + dims + struct.pack("<IQ", kind, offset))
        size = int(numpy.prod(shape)) * (2 if kind == TENSOR_BF16 else 4)
        offset += -(-size // ALIGNMENT) * ALIGNMENT
    with open(path, "wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entries) + b"".join(infos))
        for name, shape in tensors:
            file.write(b"\0" * (-file.tell() % ALIGNMENT))
            file.write(numbers(name, shape, in_bf16(name, shape), random))


if __name__ == "__main__":
    main()
