# SPDX-License-Identifier: MIT
"""Generation by this library beside PyTorch, in turns, so that both meet the same hour:
    compare_generation.py BUILD/bench/crate_generation [--threads N] [--rounds N]
Prints a table of the medians of the rounds' least times. ZEROS is the share of ISTA's output that is zero."""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
PROMPT, TOKENS, PASSES = 32, 32, 5
OURS = [("crate", "f32", "0"), ("crate", "f32", "0.75"), ("crate", "f32", "0.9"), ("crate", "bf16", "0"),
        ("crate", "bf16", "0.9"), ("gpt2", "f32", "0"), ("gpt2", "bf16", "0")]


def run(command):
    return json.loads(subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("crate_generation")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    plans = {f"crate {model} {precision}, zeros {zeros}": [options.crate_generation, model, precision, zeros, PROMPT,
                                                          TOKENS, PASSES, options.threads]
             for model, precision, zeros in OURS}
    for model in ("crate", "gpt2"):
        plans[f"PyTorch {model} f32"] = [sys.executable, HERE / "pytorch_generation.py", model, PROMPT, TOKENS, PASSES,
                                         options.threads]
    results = {name: [] for name in plans}
    for _ in range(options.rounds):
        for name, command in plans.items():
            results[name].append(run(command))
    print(f"{'':34}{'prompt of ' + str(PROMPT):>14}{'a token':>12}{'weights':>12}{'of bandwidth':>14}")
    for name, rounds in results.items():
        of = lambda key: statistics.median(result[key] for result in rounds)
        shared = f"{of('weights_mb'):9.1f} MB{100 * of('share_of_bandwidth'):12.0f} %" if "weights_mb" in rounds[0] else ""
        print(f"{name:34}{of('prompt_ms_least'):11.1f} ms{of('token_ms_least'):9.2f} ms{shared}")


if __name__ == "__main__":
    main()
