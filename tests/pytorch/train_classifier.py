# SPDX-License-Identifier: MIT
"""What train_classifier does on a small data set: the same bytes however it is stopped and on any number of threads, and the
steps, losses and layer-wise metrics that PyTorch computes from the same weights.

Usage: train_classifier.py FOLDER_OF_THE_PROGRAMS
"""

import json
import math
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

PROGRAM = os.path.join(sys.argv[1], "train_classifier")
HEIGHT, WIDTH, PATCH, CLASSES, IMAGES, BATCH = 12, 8, (4, 2), 3, 40, 40
SIZES = ["--patch", "4x2", "--dim", 20, "--depth", 2, "--heads", 3, "--head-dim", 5, "--mean", 0.4, "--deviation", 0.3]
failures = 0


def check(what, holds, explanation=""):
    global failures
    if not holds:
        failures += 1
        print(f"FAILED {what} {explanation}")


def command(*arguments):
    return [PROGRAM, *map(str, arguments)]


def run(*arguments, code=0):
    result = subprocess.run(command(*arguments), capture_output=True, text=True)
    if result.returncode != code:
        raise RuntimeError(f"train_classifier {arguments}: {result.returncode}: {result.stderr.strip()}")
    return result.stdout


def content(path):
    with open(path, "rb") as file:
        return file.read()


def write_idx(folder, part, count, classes):
    labels = [i % classes for i in range(count)]
    pixels = bytearray()
    for label in labels:
        for i in range(HEIGHT * WIDTH):
            pixels.append(random.randrange(120) + (100 if i // WIDTH % classes == label else 0))
    with open(os.path.join(folder, f"{part}-images-idx3-ubyte"), "wb") as file:
        file.write(struct.pack(">4I", 2051, count, HEIGHT, WIDTH) + bytes(pixels))
    with open(os.path.join(folder, f"{part}-labels-idx1-ubyte"), "wb") as file:
        file.write(struct.pack(">2I", 2049, count) + bytes(labels))
    return bytes(pixels), labels


def make_data(folder, name, classes=CLASSES):
    path = os.path.join(folder, name)
    os.mkdir(path)
    return path, write_idx(path, "train", IMAGES, classes), write_idx(path, "t10k", 11, classes)


def check_stops(folder, data):
    """Killed at random moments, interrupted, on other threads: the same bytes."""
    recipe = ["--data", data, *SIZES, "--batch", 8, "--micro-batch", 3, "--lanes", 3, "--epochs", 24, "--crop", 1, "--flip",
              "--dropout", 0.1, "--token-dropout", 0.1, "--average-decay", 0.9, "--clip", 1, "--label-smoothing", 0.1]
    expected = os.path.join(folder, "undisturbed.safetensors")
    run(*recipe, "--seed", 5, "--output", expected)
    for threads in (2, 4):
        found = os.path.join(folder, f"threads_{threads}.safetensors")
        run(*recipe, "--seed", 5, "--threads", threads, "--output", found)
        check(f"{threads} threads", content(found) == content(expected), "gave other bytes")
    for stop in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        found = os.path.join(folder, f"stopped_{stop}.safetensors")
        resumable = [*recipe, "--checkpoint", os.path.join(folder, f"checkpoint_{stop}"), "--checkpoint-every", 1, "--resume",
                     "--history", os.path.join(folder, f"history_{stop}"), "--output", found, "--seed"]
        stops = 0
        while not os.path.exists(found):
            process = subprocess.Popen(command(*resumable, 5), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.01 + 0.01 * stops * random.random())
            process.send_signal(stop)
            stops += process.wait() != 0
        check(f"stopped by {stop}", stops > 0, "never stopped")
        check(f"stopped by {stop} {stops} times", content(found) == content(expected), "ended with other bytes")
        with open(os.path.join(folder, f"history_{stop}")) as file:
            epochs = [json.loads(line)["epoch"] for line in file]
        check("history", epochs == list(range(1, 25)), f"has epochs {epochs}")
    reseeded = subprocess.run(command(*resumable, 6), capture_output=True, text=True)
    check("another seed", reseeded.returncode == 2 and "--seed: the training in the checkpoint uses '5', and cannot be resumed with '6'"
          in reseeded.stderr, reseeded.stderr)


def check_refusals(folder, data):
    """What cannot be meant, or would be lost, is said before the first step; what stood there stays."""
    small = ["--data", data, *SIZES, "--batch", 20, "--epochs", 2]
    text, weights, begun = (os.path.join(folder, name) for name in ("text", "weights", "begun"))
    with open(text, "w") as file:
        file.write("notes of a month\n")
    run(*small, "--output", weights)
    run(*small, "--checkpoint", begun)
    before = {path: content(path) for path in (text, weights, begun)}
    nowhere = os.path.join(folder, "nowhere", "file")

    def refused(explanation, *arguments, recipe=small):
        result = subprocess.run(command(*recipe, *arguments), capture_output=True, text=True)
        check(f"refused: {arguments}", result.returncode == (1 if ": file '" in result.stderr else 2) and explanation in result.stderr and "epoch" not in result.stdout,
              f"{result.returncode}: {result.stdout} {result.stderr}")

    refused("this training would save nothing")
    refused("there is no folder", "--output", nowhere)
    refused("there is no folder", "--checkpoint", nowhere)
    refused("there is no folder", "--output", weights, "--history", nowhere)
    refused("--checkpoint is not given", "--resume", "--output", weights)
    refused("continue it with --resume", "--checkpoint", begun)
    refused("--output would replace the checkpoint of a training; choose another name", "--output", begun)
    refused("--output would replace a file that is not a safetensors file of tensors; choose another name", "--output", text)
    refused("expected the history of a training", "--output", weights, "--history", text)
    refused("expected two files, found one", "--output", weights, "--checkpoint", weights)
    refused("expected two files, found one", "--output", weights, "--history", os.path.join(folder, ".", "weights"))
    refused("expected a folder", "--checkpoint", os.path.join(folder, "mistyped"), "--resume", recipe=[])
    refused("would have no effect: --from gives the model", "--from", begun, "--output", weights)
    refused("--momentum would have no effect", "--momentum", 0.5, "--output", weights)
    refused("--image would have no effect", "--image", "8x8", "--output", weights)
    refused("--history-every would have no effect", "--history-every", 5, "--output", weights)
    refused("average with decay 1 never moves", "--average-decay", 1, "--output", weights)
    refused("expected two files, found one", "--from", weights, "--output", weights, recipe=["--data", data, "--batch", 20])
    check("refused", all(content(path) == before[path] for path in before), "but replaced a file")
    run(*small, "--discard")


def check_going_on(folder, data):
    """A training goes on by its checkpoint alone, also for more epochs, and its checkpoint is read as weights."""
    recipe = ["--data", data, *SIZES, "--batch", 8, "--rate", 2e-3, "--schedule", "constant", "--average-decay", 0.8,
              "--pool", "mean", "--flip"]
    expected, found, weights, half = (os.path.join(folder, name) for name in ("expected", "found", "as_weights", "half"))
    run(*recipe, "--epochs", 4, "--output", expected)
    run(*recipe, "--epochs", 2, "--output", half, "--checkpoint", os.path.join(folder, "going_on"))
    run("--checkpoint", os.path.join(folder, "going_on"), "--resume", "--epochs", 4, "--output", found)
    check("2 and 2 epochs", content(found) == content(expected), "are not 4")
    tuned = [os.path.join(folder, name) for name in ("tuned_by_output", "tuned_by_checkpoint")]
    for source, target in zip((found, os.path.join(folder, "going_on")), tuned):
        run("--data", data, "--from", source, "--batch", 8, "--epochs", 1, "--output", target)
    check("a checkpoint as weights", content(tuned[0]) == content(tuned[1]), "is not the model that --output is")
    cosine = os.path.join(folder, "cosine")
    run("--data", data, *SIZES, "--batch", 8, "--epochs", 2, "--checkpoint", cosine)
    text = run("--checkpoint", cosine, "--resume", "--epochs", 4)
    check("more epochs", "the learning-rate schedule had 10 steps and now has 20 (4 epochs)" in text, text)
    fewer = subprocess.run(command("--checkpoint", cosine, "--resume", "--epochs", 3), capture_output=True, text=True)
    check("fewer epochs", fewer.returncode != 0 and "found 20" in fewer.stderr, fewer.stderr)


def check_ends(folder, data):
    """A training without a checkpoint that is interrupted leaves its weights, and one whose output nobody reads trains on."""
    recipe = ["--data", data, *SIZES, "--batch", 8, "--seed", 5, "--output"]
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        left = os.path.join(folder, f"left_by_{stop}")
        process = subprocess.Popen(command(*recipe, left, "--epochs", 100000), stdout=subprocess.PIPE, text=True)
        while "      1  " not in process.stdout.readline():
            pass
        process.send_signal(stop)
        rest = process.communicate()[0]
        check(f"signal {stop}", process.returncode == 130 and "the weights after this step are in" in rest, rest)
        run("--data", data, "--from", left, "--epochs", 0, "--warm-up", 0, "--batch", 8)
    read, unread = os.path.join(folder, "read"), os.path.join(folder, "unread")
    run(*recipe, read, "--epochs", 30)
    process = subprocess.Popen(command(*recipe, unread, "--epochs", 30), stdout=subprocess.PIPE)
    process.stdout.close()
    process.wait()
    check("a closed pipe", process.returncode == 0 and content(unread) == content(read), "lost the training")
    closed = os.path.join(folder, "closed")
    subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command(*recipe, closed, "--epochs", 30)])
    check("no standard output", os.path.exists(closed) and content(closed) == content(read), "lost the training")


def check_new_head(folder, data, weights):
    """Fine-tuning to other classes and patches: the head is new, the rest goes on."""
    other, _, _ = make_data(folder, "other", classes=4)
    tuned = os.path.join(folder, "tuned.safetensors")
    run("--data", other, "--from", weights, "--batch", 10, "--epochs", 1, "--rate", 0, "--output", tuned)
    before, after = safetensors_file.load(weights), safetensors_file.load(tuned)
    check("new head", tuple(after["mlp_head.1.weight"].shape) == (4, 20), str(after["mlp_head.1.weight"].shape))
    kept = [name for name in before if not name.startswith("mlp_head") and torch.equal(before[name], after[name])]
    check("what is kept", len(kept) == len(before) - 4, f"{len(kept)} of {len(before)}")



def images_of(pixels):
    flat = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).float()
    return (flat.reshape(-1, 1, HEIGHT, WIDTH) / 255 - 0.4) / 0.3


def lion_step(parameters, moments, rate, weight_decay, beta1=0.9, beta2=0.99):
    with torch.no_grad():
        for p, m in zip(parameters, moments):
            p.mul_(1 - rate * weight_decay)
            p.add_((m * beta1 + p.grad * (1 - beta1)).sign(), alpha=-rate)
            m.mul_(beta2).add_(p.grad, alpha=1 - beta2)


def torch_losses(model, images, labels, rule, steps, rate, weight_decay):
    parameters = list(model.parameters())
    adamw = torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay)
    moments = [torch.zeros_like(p) for p in parameters]
    losses = []
    for _ in range(steps):
        model.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)
        loss.backward()
        losses.append(loss.item())
        adamw.step() if rule == "adamw" else lion_step(parameters, moments, rate, weight_decay)
    return losses


def check_steps(folder, data, training, rule, rate):
    """Two steps end at PyTorch's weights, ten follow its losses."""
    recipe = ["--data", data, *SIZES, "--batch", BATCH, "--micro-batch", 7, "--lanes", 3, "--warm-up", 0, "--optimiser", rule,
              "--rate", rate, "--weight-decay", 0.1, "--schedule", "constant", "--label-smoothing", 0.1, "--seed", 2]
    start = os.path.join(folder, f"{rule}_start.safetensors")
    run(*recipe, "--epochs", 0, "--output", start)
    for steps in (2, 10):
        model = Crate((HEIGHT, WIDTH), PATCH, 1, CLASSES, 20, 2, 3, 5)
        model.load_state_dict(safetensors_file.load(start))
        expected = torch_losses(model, images_of(training[0]), torch.tensor(training[1]), rule, steps, rate, 0.1)
        end, history = os.path.join(folder, f"{rule}_{steps}.safetensors"), os.path.join(folder, f"{rule}_{steps}.jsonl")
        run(*recipe, "--epochs", steps, "--output", end, "--history", history, "--history-every", 1)
        with open(history) as file:
            found = [entry["loss"] for entry in map(json.loads, file) if "loss" in entry]
        worst = max(abs(a - b) for a, b in zip(found, expected))
        check(f"{rule}: {steps} losses", len(found) == steps and worst < 1e-4, f"are {worst:.2g} off")
        if steps == 10:
            continue
        weights, flipped, entries = safetensors_file.load(end), 0, 0
        for name, parameter in model.named_parameters():
            difference = (weights[name] - parameter.detach()).abs()
            flipped += (difference > 2e-6 + 0.01 * rate).sum().item()
            entries += difference.numel()
        check(f"{rule}: weights", flipped <= 1e-3 * entries, f"differ in {flipped} of {entries} entries")
    return end


def coding_rate(w, heads, eps=0.01):
    """Mean over the batch of the coding rate of projected tokens [B, N, K p], each head's of unit length."""
    batch, tokens, width = w.shape
    w = w.reshape(batch, tokens, heads, -1).transpose(1, 2).double()
    w = w / w.norm(dim=-1, keepdim=True)
    gram = torch.eye(tokens, dtype=torch.float64) + (width // heads) / (tokens * eps) * w @ w.transpose(-1, -2)
    return 0.5 * torch.logdet(gram).sum(-1).mean().item()


def check_table(data, test, weights):
    """The table printed after training, from the weights written."""
    table = run("--data", data, "--from", weights, "--mean", 0.4, "--deviation", 0.3, "--epochs", 0, "--warm-up", 0,
                "--batch", BATCH)
    found = re.findall(r"^ +(\d+) +([\d.]+) \+- +[\d.]+ +([\d.]+) %$", table, re.MULTILINE)
    model = Crate((HEIGHT, WIDTH), PATCH, 1, CLASSES, 20, 2, 3, 5)
    model.load_state_dict(safetensors_file.load(weights))
    rates, seen = [], []
    for attention, _ in model.transformer.layers:
        attention.fn.qkv.register_forward_hook(lambda _, __, out: rates.append(coding_rate(out, 3)))
    with torch.no_grad():
        model(images_of(test[0]), seen)
    check("layers in the table", len(found) == 2, table)
    for (layer, rate, non_zero), expected, (_, out) in zip(found, rates, seen):
        share = 100 * (out != 0).double().mean().item()
        check(f"non-zero of layer {layer}", math.isclose(float(non_zero), share, abs_tol=0.006), f"{non_zero}, not {share}")
        check(f"coding rate of layer {layer}", math.isclose(float(rate), expected, abs_tol=0.006), f"{rate}, not {expected}")


random.seed(1)
with tempfile.TemporaryDirectory() as folder:
    data, training, test = make_data(folder, "data")
    check_stops(folder, data)
    check_refusals(folder, data)
    check_going_on(folder, data)
    check_ends(folder, data)
    try:
        import torch
        import safetensors_file
        from published_models import Crate
    except ImportError:
        print("PyTorch (python3-torch) is not installed: steps and metrics were not compared")
        sys.exit(1 if failures else 77)
    torch.set_num_threads(1)
    trained = check_steps(folder, data, training, "adamw", 1e-3)
    check_steps(folder, data, training, "lion", 1e-4)
    check_table(data, test, trained)
    check_new_head(folder, data, trained)
print(f"{failures} failures")
sys.exit(1 if failures else 0)
