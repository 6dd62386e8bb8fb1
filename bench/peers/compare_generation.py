# SPDX-License-Identifier: MIT
"""Generation by this library beside PyTorch and llama.cpp, in turns, so that all meet the same hour:
    compare_generation.py BUILD/bench/crate_generation [--threads N] [--rounds N] [--llama-modules FOLDER]
Prints tables of the medians of the rounds' least times: of a token behind a short prompt, with the share of the measured read bandwidth, and
of a long prompt, with its rate beside that of the folded encoder. "zeros" is the share of ISTA's output that is zero. llama.cpp is the
package node-llama-cpp of npm, installed into a temporary folder unless FOLDER/node_modules has it."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from find_peers import find_llamacpp, find_pytorch

HERE = pathlib.Path(__file__).parent
SHORT, LONG = (32, 32, 5), (512, 1, 3)  # tokens of the prompt, tokens written, passes
OURS = [("crate", "f32", "0"), ("crate", "f32", "0.75"), ("crate", "f32", "0.9"), ("crate", "bf16", "0"),
        ("crate", "bf16", "0.9"), ("gpt2", "f32", "0"), ("gpt2", "bf16", "0")]
MEGABYTES = {("crate", "f32"): 239.5, ("gpt2", "f32"): 494.6, ("gpt2", "bf16"): 247.5}  # of weights that a token reads there
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def run(command, environment):
    done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, env=os.environ | environment)
    return json.loads(done.stdout.splitlines()[-1])


def plans_of(options, folder, plan):
    """What is run, by name: command, environment, megabytes of weights."""
    plans = {}
    for model, precision, zeros in OURS:
        if plan is SHORT or zeros == "0":
            name = f"crate, {model} {precision}" + (f", zeros {zeros}" if model == "crate" else "")
            plans[name] = ([options.crate_generation, model, precision, zeros, *plan, options.threads], {}, None)
    if pytorch := find_pytorch():
        for model in ("crate", "gpt2"):
            plans[f"PyTorch, {model} f32"] = ([pytorch.python, HERE / "pytorch_generation.py", model, *plan, options.threads],
                                             pytorch.environment_with(options.threads) | HUGE_PAGES, MEGABYTES[model, "f32"])
    if pytorch and (llama := find_llamacpp(options.llama_modules or folder)):
        for precision in ("f32", "bf16"):
            file = f"{folder}/gpt2_{precision}.gguf"
            if not os.path.exists(file):
                subprocess.run([pytorch.python, HERE / "write_gguf.py", file, precision], check=True)
            plans[f"llama.cpp, gpt2 {precision}"] = ([llama.node, HERE / "llamacpp_generation.mjs", llama.modules, file, *plan,
                                                     options.threads], HUGE_PAGES, MEGABYTES["gpt2", precision])
    return plans


def take_turns(plans, rounds):
    results = {name: [] for name in plans}
    for _ in range(rounds):
        for name, (command, environment, _) in plans.items():
            results[name].append(run(command, environment))
    return {name: lambda key, of=of: statistics.median(result[key] for result in of) if key in of[0] else None
            for name, of in results.items()}


def print_tokens(plans, results):
    bandwidth = statistics.median(of("read_gb_s") for of in results.values() if of("read_gb_s"))
    print(f"{bandwidth:.1f} GB/s are read; behind a prompt of {SHORT[0]}:")
    print(f"{'':34}{'a token':>12}{'weights':>12}{'of bandwidth':>14}")
    for name, of in results.items():
        megabytes = plans[name][2] or of("weights_mb")
        share = 100 * megabytes / of("token_ms_least") / bandwidth
        print(f"{name:34}{of('token_ms_least'):9.2f} ms{megabytes:9.1f} MB{share:12.0f} %")


def print_prompts(results):
    print(f"\n{'a prompt of ' + str(LONG[0]):34}{'':>14}{'tokens/s':>12}{'of the encoder':>16}")
    for name, of in results.items():
        time, encoder = of("prompt_ms_least"), of("encoder_ms_least")
        share = f"{100 * encoder / time:14.0f} %" if encoder else ""
        print(f"{name:34}{time:11.1f} ms{1e3 * LONG[0] / time:12.0f}{share}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("crate_generation")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--llama-modules", help="folder with node_modules/node-llama-cpp")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        short = plans_of(options, folder, SHORT)
        print_tokens(short, take_turns(short, options.rounds))
        print_prompts(take_turns(plans_of(options, folder, LONG), options.rounds))


if __name__ == "__main__":
    main()
