#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Many processes train one model: ranks.py FOLDER_OF_PROGRAMS, with the mpirun that CRATE_MPIRUN names. Ranks times threads
give the same bytes, also where a training is stopped, killed and continued by other ranks, and on several hosts; whatever goes
wrong at one rank ends all of them with a sentence that says what."""

import contextlib
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

from checks import check, end

MPIRUN = (os.environ.get("CRATE_MPIRUN", "mpirun"), "--oversubscribe", "--allow-run-as-root")

HOSTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "on_several_hosts")


def content(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


def command(ranks, program, arguments):
    line = [os.path.join(sys.argv[1], program), *map(str, arguments)]
    return line if ranks is None else ["-n", str(ranks), *line]


def begin(line):
    """What it prints goes into a file: into a pipe that nobody reads yet, mpirun prints 64 KiB and, when ended, no more."""
    printed = tempfile.TemporaryFile("w+", errors="replace")
    process = subprocess.Popen(line, stdout=printed, stderr=subprocess.STDOUT)
    process.printed = printed
    return process


def start(*commands, of_mpirun=()):
    """One process, or ranks where a command begins with their number; with further options of mpirun."""
    line = list(commands[0])
    for further in commands[1:]:
        line += [":", *further]
    if line[0] == "-n":
        line = [*MPIRUN, *of_mpirun, *line]
    return begin(line)


def wait_for(process):
    """Exit code and output; "hangs" for what does not end by itself, which is ended with its ranks."""
    try:
        status = process.wait(timeout=120)
    except subprocess.TimeoutExpired:
        status = "hangs"
        for pid in (*ranks_of(process), process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
    with process.printed as printed:
        printed.seek(0)
        return status, printed.read()


def run(*commands):
    return wait_for(start(*commands))


def lines_without_seconds(path):
    return [line.split(b',"seconds"')[0] for line in content(path).splitlines()]


LAYOUTS = ((None, 1), (None, 4), (2, 2), (4, 1), (3, 1))  # ranks and threads; five ranks have more than there are lanes


def check_same_bits(program, arguments, layouts=LAYOUTS):
    if not os.path.exists(os.path.join(sys.argv[1], program)):
        return
    found = []
    for ranks, threads in layouts:
        name = f"{program} by {ranks} ranks of {threads} threads"
        for path in ("whole.st", "whole", "history"):
            if os.path.exists(path):
                os.remove(path)
        status, seen = run(command(ranks, program, (*arguments, "--threads", threads, "--output", "whole.st", "--checkpoint", "whole",
                                                    "--history", "history", "--history-every", 3)))
        check(f"{name} trains", status == 0, seen)
        check(f"{name} prints once", seen.count(" parameters") == 1, seen)
        if status == 0:
            found.append((content("whole.st"), content("whole"), lines_without_seconds("history")))
    for (ranks, threads), files in zip(layouts[1:], found[1:]):
        for what, one, other in zip(("weights", "checkpoint", "history"), found[0], files):
            check(f"{program}: {what} of {ranks} ranks of {threads} threads are those of one", one == other)


MODEL = ("--dim", 16, "--depth", 2, "--heads", 2)
RANDOM = ("--dropout", 0.1, "--token-dropout", 0.1, "--average-decay", 0.9, "--clip", 0.5, "--micro-batch", 2, "--lanes", 4)
SILENT = ("--text", "text", "--context", 16, "--warm-up", 3, "--batch", 20, *MODEL, *RANDOM)
TEXT = (*SILENT, "--evaluate-every", 10)
LANGUAGE = "train_language_model"


def check_programs():
    check_same_bits(LANGUAGE, (*TEXT, "--steps", 20, "--sample", 8), (*LAYOUTS, (5, 1)))
    check_same_bits("train_masked_language_model", (*TEXT, "--steps", 20, "--tokeniser", "bert", "--vocabulary", "words"),
                    ((None, 1), (2, 2)))
    check_same_bits("train_classifier", ("--data", "images", "--patch", "4x4", "--epochs", 2, "--batch", 20, "--crop", 1, "--flip",
                                         "--label-smoothing", 0.1, *MODEL, *RANDOM))
    check_same_bits("train_autoencoder", ("--data", "images", "--patch", "4x4", "--epochs", 2, "--batch", 20, "--decoder-depth", 1,
                                          "--dim", 16, "--depth", 2, "--heads", 2, "--average-decay", 0.9, "--clip", 0.5,
                                          "--micro-batch", 3, "--lanes", 4))
    check_same_bits("classify_text", ("--train", "sentences", "--test", "sentences", "--tokeniser", "bert", "--vocabulary", "words",
                                      "--word-dropout", 0.2, "--epochs", 2, "--batch", 20, "--context", 16, *MODEL, *RANDOM))
    for objective in (("coding-rate",), ("dino", "--outputs", 24, "--frozen-epochs", 1)):
        check_same_bits("train_dino", ("--data", "images", "--patch", "4x4", *MODEL, "--hidden", 32, "--bottleneck", 16, "--locals", 1,
                                       "--local-side", 4, "--drop-path", 0.1, "--batch", 20, "--micro-batch", 3, "--epochs", 2,
                                       "--objective", *objective))


def check_goes_on():
    """What one layout began another ends."""
    constant = (*TEXT, "--schedule", "constant", "--threads", 1)
    status, seen = run(command(None, LANGUAGE, (*constant, "--steps", 20, "--output", "expected.st")))
    check("the training in one go", status == 0, seen)
    for first, second in ((4, None), (None, 2), (2, 3)):
        run(command(first, LANGUAGE, (*constant, "--steps", 10, "--checkpoint", "part")))
        status, seen = run(command(second, LANGUAGE, ("--checkpoint", "part", "--resume", "--steps", 20, "--threads", 1, "--output",
                                                      "whole.st")))
        check(f"{second} ranks go on where {first} stopped", status == 0 and "resuming after step 10" in seen, seen)
        check("with the same bits", content("whole.st") == content("expected.st"))
        os.remove("part")


def ended_saying(what, words, *commands, **further):
    began = time.monotonic()
    status, seen = wait_for(start(*commands, **further))
    check(f"{what}: ends with '{words}'", status not in (0, "hangs") and words in seen, (status, seen))
    check(f"{what}: ends soon", time.monotonic() - began < 60)
    return seen


def check_differences():
    def with_options(**others):
        options = {"--text": "text", "--seed": 0, "--batch": 20, "--steps": 20} | {f"--{k}": v for k, v in others.items()}
        return command(1, LANGUAGE, ("--context", 16, "--evaluate-every", 10, "--warm-up", 0, "--schedule", "constant", *MODEL,
                                     "--threads", 1, "--discard",
                                     *(word for option in options.items() for word in option)))

    one = with_options()
    ended_saying("another seed", "has 'seed: 0', rank 1 on ", one, with_options(seed=5))
    ended_saying("another batch", "has 'batch: 20', rank 1 on ", one, with_options(batch=22))
    write("other", content("text").replace(b"film", b"plot", 5))
    ended_saying("other data", "has 'training data: 200 examples of fingerprint ", one, with_options(text="other"))
    ended_saying("another end", "has 'epochs: 2', rank 1 on ", one, with_options(steps=30))
    ended_saying("another wish", "at 'the end of the program'", one, command(1, LANGUAGE, ("--help",)))
    ended_saying("a file that one lacks", "file 'none': cannot be opened", one, with_options(text="none"))
    seen = ended_saying("an option that there is not", "--foo", command(2, LANGUAGE, ("--foo",)))
    check("what all have to say is said once", seen.count("--foo") == 1, seen)
    seen = ended_saying("a loss that is not finite", "expected a finite loss", command(2, LANGUAGE, (
        *TEXT, "--steps", 20, "--rate", 1e30, "--schedule", "constant", "--threads", 1, "--output", "diverged.st")))
    check("the first rank tells it alone", seen.count("expected a finite loss") == 1, seen)
    for limit in ("0", "5s", "+5", ""):
        ended_saying(f"the limit of the start '{limit}'", f"CRATE_MPI_START: expected seconds from 1 to 1000000, found '{limit}'",
                     command(1, LANGUAGE, ("--version",)), of_mpirun=("-x", f"CRATE_MPI_START={limit}"))
    status, seen = run(command(3, LANGUAGE, ("--version",)))
    check("the version is printed once", status == 0 and seen.count("\n") == 1, seen)


def check_one_rank():
    """Errors in the middle of a step, on one rank alone, and ranks that are out of step."""
    failures = [(ranks, rank, what) for ranks, rank in ((2, 0), (2, 1), (3, 1), (3, 2)) for what in ("draws", "goes back", "measures")]
    for ranks, rank, what in (*failures, (6, 5, "measures")):  # of four lanes, rank 5 has none
        name = f"rank {rank} of {ranks} alone {what} no more"
        seen = ended_saying(name, f"this rank alone {what} no more", command(ranks, "one_rank", (rank, what)))
        check(f"{name}: the first rank keeps what it has", "what rank 0 has is kept" in seen, seen)
    whole = run(command(None, "one_rank", (0, "")))
    check("the steps of one process", whole[0] == 0 and "gradients" in whole[1], whole)
    for ranks, last in ((2, 1), (3, 2), (6, 4)):  # that has a lane
        for rank, what in ((0, "waits"), (last, "waits"), (0, "starts late"), (1, "starts late")):
            found = run(command(ranks, "one_rank", (rank, what)))
            check(f"where rank {rank} of {ranks} {what}, gradients are those of one process", found == whole, (whole, found))


def ranks_of(process):
    """The processes that mpirun started, in the order of their ranks."""
    try:
        return sorted(map(int, content(f"/proc/{process.pid}/task/{process.pid}/children").split()))
    except FileNotFoundError:  # it has ended
        return []


def lines_in(path):
    return content(path).count(b"\n") if os.path.exists(path) else 0


def begin_long(arguments, program=LANGUAGE, **further):
    """A training of two ranks that has taken some steps."""
    if os.path.exists("history"):
        os.remove("history")
    process = start(command(2, program, (*arguments, "--history", "history", "--history-every", 3)), **further)
    deadline = time.monotonic() + 60
    while lines_in("history") < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    return process


def has_ended(pid):
    try:
        return content(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0] == b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def check_killed_at_start():
    """All ranks end; mpirun of Open MPI 4 may still wait for itself then, which no program can change (openpmix, issue 1233)."""
    for attempt in range(8):
        process = start(command(2, LANGUAGE, ("--version",)), of_mpirun=("-x", "CRATE_MPI_START=20"))
        deadline = time.monotonic() + 60
        while len(ranks_of(process)) < 2 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.001)
        ranks = ranks_of(process)
        check("mpirun has begun two ranks", len(ranks) == 2, ranks)
        time.sleep(random.random() / 2)
        with contextlib.suppress(ProcessLookupError, IndexError):  # it has ended
            os.kill(ranks[attempt % 2], signal.SIGKILL)
        while not all(map(has_ended, ranks)) and time.monotonic() < deadline:
            time.sleep(0.01)
        check("one that is killed while MPI begins ends all", all(map(has_ended, ranks)), ranks)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        process.kill()
        process.wait()


CONSTANT = ("--schedule", "constant", "--sample", 0, "--threads", 1)
LONG = (*TEXT, *CONSTANT)


def check_signals():
    steps = ("--steps", 600)
    status, seen = run(command(None, LANGUAGE, (*LONG, *steps, "--output", "undisturbed.st")))
    check("the undisturbed one trains", status == 0, seen)
    kept = ("--checkpoint", "disturbed", "--resume", "--output", "disturbed.st")
    interrupted = "interrupted after step"
    for number, words in ((signal.SIGTERM, interrupted), (signal.SIGINT, interrupted), (signal.SIGKILL, "exited on signal 9")):
        process = begin_long((*LONG, *steps, *kept))
        children = ranks_of(process)
        check("mpirun has two ranks", len(children) == 2 or process.poll() is not None, children)
        if len(children) == 2:
            os.kill(children[1], number)
        status, seen = wait_for(process)
        check(f"signal {number} at one rank ends both", status not in (0, "hangs") and words in seen, (status, seen[-2000:]))
    status, seen = run(command(2, LANGUAGE, (*LONG, *steps, *kept)))
    check("after signals it goes on", status == 0, seen[-2000:])
    check("and ends as if undisturbed", content("disturbed.st") == content("undisturbed.st"))


def check_signal_at_mpirun():
    """By itself it gives ranks one second, which is short on busy cores. Before, it lets them train for two more seconds
    and reads nothing, so that a rank which prints 16 KiB meanwhile waits until it is killed."""
    process = begin_long((*SILENT, *CONSTANT, "--evaluate-every", 500, "--steps", 1000000, "--checkpoint", "of mpirun"),
                         of_mpirun=("--mca", "odls_base_sigkill_timeout", "4"))
    process.send_signal(signal.SIGINT)
    status, seen = wait_for(process)
    check("Ctrl-C at mpirun ends both", status not in (0, "hangs") and "interrupted after step" in seen, (status, seen[-2000:]))


def check_lost_folder():
    os.mkdir("lost")
    process = begin_long((*LONG, "--steps", 100000, "--checkpoint", "lost/run"))
    os.rename("lost", "gone")
    status, seen = wait_for(process)
    check("a checkpoint that cannot be written ends both", status not in (0, "hangs") and "file 'lost/run': cannot be written" in seen,
          (status, seen[-2000:]))
    status, seen = run(command(None, LANGUAGE, ("--checkpoint", "gone/run", "--resume", "--steps", 10)))
    check("the last one is whole", "the training is further already" in seen or status == 0, seen)


def check_drawn_pictures(program, arguments):
    """Pictures that are decoded when they are drawn give the bits of those in memory."""
    if not os.path.exists(os.path.join(sys.argv[1], program)):
        return
    arguments = ("--data", "pictures", "--image", "8x8", "--patch", "4x4", "--batch", 20, "--epochs", 2, *arguments)
    status, seen = run(command(None, program, (*arguments, "--threads", 1, "--output", "memory.st")))
    check(f"{program}: the pictures in memory train", status == 0 and "left out: file 'pictures/train/a/0.png'" in seen, seen)
    for ranks, threads in ((None, 4), (2, 2), (3, 1)):
        status, seen = run(command(ranks, program, (*arguments, "--threads", threads, "--output", "drawn.st", "--decode-when-drawn")))
        check(f"{program}: pictures that {ranks} ranks of {threads} threads decode when they are drawn give the same bits",
              status == 0 and content("drawn.st") == content("memory.st"), seen)


def check_pictures():
    """One that is lost meanwhile ends all ranks."""
    pictures = (*MODEL, *RANDOM, "--flip", "--crop-area", 0.5)
    check_drawn_pictures("train_classifier", pictures)
    check_drawn_pictures("train_dino", (*MODEL, "--hidden", 32, "--bottleneck", 16, "--locals", 1, "--local-side", 4, "--micro-batch", 3,
                                        "--objective", "coding-rate", "--images", 40, "--knn-images", 15))
    program = "train_classifier"
    if not os.path.exists(os.path.join(sys.argv[1], program)):
        return
    process = begin_long(("--data", "pictures", "--image", "8x8", "--patch", "4x4", "--batch", 20, "--epochs", 100000, *pictures,
                          "--threads", 1, "--decode-when-drawn", "--discard"), program)
    os.rename("pictures/train/b/7.png", "lost.png")
    status, seen = wait_for(process)
    check("a picture that is lost meanwhile ends both ranks",
          status not in (0, "hangs") and "file 'pictures/train/b/7.png': cannot be opened" in seen, (status, seen[-2000:]))


def can_make_hosts():
    """Needs ip (Debian: iproute2) and the right to make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    made = subprocess.run(["ip", "netns", "add", f"crate{os.getpid()}"], capture_output=True).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "delete", f"crate{os.getpid()}"])
    return made


def check_several_hosts():
    """Over TCP, from one address to another."""
    if not can_make_hosts():
        return print("without hosts of their own, as there are no network namespaces to be had")
    arguments = (*LONG, "--steps", 20)
    run(command(None, LANGUAGE, (*arguments, "--output", "one.st")))
    status, seen = wait_for(begin([HOSTS, "3", *command(None, LANGUAGE, (*arguments, "--output", "hosts.st"))]))
    check("three hosts train", status == 0, seen)
    sent = [int(line.split()[2]) for line in seen.splitlines() if line.startswith("host")]
    check("three hosts give the bits of one process", status == 0 and content("hosts.st") == content("one.st"))
    gradients = 20 * 4 * int((re.search(r"(\d+) parameters", seen) or [0, 0])[1])  # bytes of all steps
    check("each step the first and the last host send one gradient, the one between them two, and little beside",
          len(sent) == 3 and all(times <= bytes / gradients < times + 0.5 for bytes, times in zip(sent, (1, 2, 1))), (gradients, seen))


def write_data():
    random.seed(1)
    words = ("film", "plot", "cast", "song", "good", "bad")
    write("text", " ".join(random.choice(words) for _ in range(3000)).encode())
    os.mkdir("words")
    write("words/vocab.txt", "\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words)).encode())
    write("sentences", "".join(f"{' '.join(random.choices(words, k=5))}\t{i % 2}\n" for i in range(90)).encode())
    os.mkdir("images")
    for split, count in (("train", 90), ("t10k", 50)):
        labels = bytes(i % 3 for i in range(count))
        pixels = b"".join(bytes(random.randrange(256) // (2 + label) for _ in range(64)) for label in labels)
        write(f"images/{split}-images-idx3-ubyte", struct.pack(">IIII", 2051, count, 8, 8) + pixels)
        write(f"images/{split}-labels-idx1-ubyte", struct.pack(">II", 2049, count) + labels)


def write_png(path, side, value):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(random.randrange(value) for _ in range(3 * side)) for _ in range(side))
    write(path, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)) +
          chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_pictures():
    """One of them cannot be read."""
    for split, count in (("train", 30), ("test", 10)):
        for name, value in (("a", 100), ("b", 250)):
            os.makedirs(f"pictures/{split}/{name}")
            for i in range(count):
                write_png(f"pictures/{split}/{name}/{i}.png", 9 + i % 3, value)
    write("pictures/train/a/0.png", b"no picture")


def main():
    sys.argv[1] = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_data()
        write_pictures()
        for part in (check_programs, check_goes_on, check_differences, check_one_rank, check_killed_at_start, check_signals,
                     check_signal_at_mpirun, check_lost_folder, check_pictures, check_several_hosts):
            part()
        os.chdir("/")
    return end()


if __name__ == "__main__":
    sys.exit(main())
