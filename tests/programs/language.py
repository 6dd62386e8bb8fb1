#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""From text to trained models and back: language.py FOLDER_OF_PROGRAMS. A language model learns, goes on bit for bit where it was stopped,
and loads with its tokeniser; a masked one serves a classifier; texts and vocabularies that cannot serve are refused in words."""

import gzip
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

from checks import check, end, is_refusal, run


def check_refused(what, words, program, *arguments):
    status, text = run(program, *arguments)
    check(what, is_refusal(status, text) and words in text and "\n" not in text.rstrip("\n"), (status, text))


def write(path, text):
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return path


def content(path):
    with open(path, "rb") as file:
        return file.read()


SMALL = ("--dim", 16, "--depth", 1, "--heads", 2, "--context", 16, "--threads", 2)
RECIPE = ("--evaluate-every", 20, "--warm-up", 0, "--schedule", "constant", "--rate", 0.01, "--batch", 8)
SHORT = ("--steps", 40, *RECIPE)
AT_REST = tuple(0 if before == "--rate" else word for before, word in zip((None, *RECIPE), RECIPE))  # the same with the rate 0
FAMILIES = ("crate-gpt2", "crate-lm", "crate-alpha-lm", "gpt2")


def loss_of_training(text):
    found = re.search(r"whole text: ([\d.]+) nats per token", text)
    return float(found[1]) if found else None


def check_learns(folder, text):
    for family in FAMILIES:
        weights = f"{folder}/{family}.safetensors"
        status, seen = run("train_language_model", "--text", text, "--family", family, *SMALL, *SHORT, "--output", weights)
        loss = loss_of_training(seen)
        check(f"{family} learns", status == 0 and loss is not None and loss < 2, seen)
        check(f"{family} writes samples", "      | " in seen, seen)
        validation = write(f"{folder}/validation", content(text)[len(content(text)) * 9 // 10 :])
        status, measured = run("perplexity", "--weights", weights, "--text", validation, "--stride", 16)
        found = re.search(r"nats per token +([\d.]+)", measured)
        check(f"perplexity measures of {family} what its training did", found and abs(float(found[1]) - loss) < 2e-4,
              (seen, measured))


def check_resumes(folder, text):
    common = ("--text", text, *SMALL, *RECIPE, "--tokeniser", "bpe", "--learn-vocabulary", 280, "--average-decay", 0.9)
    at_once = run("train_language_model", *common, "--steps", 40, "--output", f"{folder}/at_once.safetensors")
    first = run("train_language_model", *common, "--steps", 20, "--checkpoint", f"{folder}/checkpoint")
    rest = run("train_language_model", "--checkpoint", f"{folder}/checkpoint", "--resume", "--steps", 40, "--output",
               f"{folder}/in_two.safetensors")
    check("a training goes on", (at_once[0], first[0], rest[0]) == (0, 0, 0), (at_once, first, rest))
    check("in two goes it is the same, bit for bit", content(f"{folder}/at_once.safetensors") == content(f"{folder}/in_two.safetensors"))
    check("a checkpoint is a file of weights", run("perplexity", "--weights", f"{folder}/checkpoint", "--text", text)[0] == 0)
    check_refused("another recipe", "cannot be resumed with", "train_language_model", "--checkpoint", f"{folder}/checkpoint", "--resume",
                  "--rate", 0.5)
    check_refused("another vocabulary", "option --vocabulary", "train_language_model", "--checkpoint", f"{folder}/checkpoint", "--resume",
                  "--steps", 60, "--vocabulary", folder)


def check_pairs(folder, text):
    """Weights and their tokeniser belong together, whatever becomes of a training."""
    weights, short = f"{folder}/pair.safetensors", ("--steps", 20, "--evaluate-every", 20, "--batch", 8)
    train = ("train_language_model", "--text", text, *SMALL)
    status, seen = run(*train, *short, "--learn-vocabulary", 270, "--output", weights)
    check("--learn-vocabulary alone learns a byte-pair encoding", status == 0 and "vocabulary of 270" in seen, seen)
    status, seen = run("generate", "--weights", weights, "--prompt", "the", "--tokens", 3)
    check("generate finds the tokeniser beside the weights", status == 0 and seen.startswith("the"), seen)
    before = content(f"{folder}/pair.tokeniser/vocab.json")
    run(*train, *short, "--checkpoint", f"{folder}/other")
    check_refused("a training that cannot go on", "cannot be resumed with", "train_language_model", "--checkpoint", f"{folder}/other", "--resume",
                  "--output", weights, "--rate", 0.5)
    check_refused("a tokeniser's folder that is a file", "expected a folder for the tokeniser", *train, *short, "--output",
                  f"{folder}/taken.safetensors")
    check("what is refused leaves the tokeniser", content(f"{folder}/pair.tokeniser/vocab.json") == before
          and content(f"{folder}/pair.tokeniser/kind") == b"bpe\n" and not os.path.exists(f"{folder}/pair.tokeniser/characters.json"))
    status, seen = run(*train, "--steps", 4, "--checkpoint", f"{folder}/few")
    again = run("train_language_model", "--checkpoint", f"{folder}/few", "--resume", "--steps", 8)
    check("few steps shorten the warm-up, and go on", status == 0 and again[0] == 0 and "after step 4 of 8" in again[1], (seen, again))
    check_refused("a warm-up that is longer than the training", "option --warm-up: expected at most --steps, 4, found 5", *train, "--steps", 4,
                  "--warm-up", 5, "--discard")


def check_final_rate(folder, text):
    """--final-rate is the learning rate at the end: a tenth of --rate unless it is given."""
    train = ("train_language_model", "--text", text, *SMALL, "--steps", 20, "--evaluate-every", 20, "--batch", 8, "--rate", 0.01, "--sample", 0)
    rates = {"unsaid": (), "said": ("--final-rate", 0.001), "higher": ("--final-rate", 0.005)}
    for name, further in rates.items():
        status, seen = run(*train, *further, "--output", f"{folder}/{name}.safetensors")
        check(f"a training with the final rate {name}", status == 0, seen)
    unsaid, said, higher = (content(f"{folder}/{name}.safetensors") for name in rates)
    check("a tenth of the rate is the default", said == unsaid and higher != unsaid)
    check_refused("a final rate above the rate", "option --final-rate: expected a number from 0 to --rate, found 0.02", *train, "--discard",
                  "--final-rate", 0.02)


def check_trains_on(folder, text):
    """A model is trained on, on another text, from its weights and with its tokeniser."""
    first, second = f"{folder}/crate-gpt2.safetensors", f"{folder}/second.safetensors"
    other = write(f"{folder}/other_text", content(text)[:2000].replace(b"seen", b"sane"))
    train = ("train_language_model", "--text", other, "--from", first)
    status, seen = run(*train, *SHORT[:2], *AT_REST, "--discard")
    validation = write(f"{folder}/other_validation", content(other)[len(content(other)) * 9 // 10 :])
    measured = run("perplexity", "--weights", first, "--text", validation, "--stride", 16)
    found = re.search(r"nats per token +([\d.]+)", measured[1])
    check("a model is trained on from its weights", status == 0 and found and abs(float(found[1]) - loss_of_training(seen)) < 2e-4,
          (seen, measured))
    status, seen = run(*train, "--threads", 2, *SHORT, "--output", second)
    check("and learns the other text", status == 0 and loss_of_training(seen) < float(found[1]), (seen, measured))
    check("with the tokeniser of its weights", content(f"{folder}/second.tokeniser/characters.json")
          == content(f"{folder}/crate-gpt2.tokeniser/characters.json"))
    status, seen = run("generate", "--weights", second, "--prompt", "the", "--tokens", 3)
    check("what was trained on writes", status == 0 and seen.startswith("the"), seen)
    status, seen = run(*train, *RECIPE, "--steps", 20, "--context", 8, "--checkpoint", f"{folder}/tuning")
    again = run("train_language_model", "--checkpoint", f"{folder}/tuning", "--resume", "--steps", 40)
    check("such a training goes on", status == 0 and again[0] == 0 and "after step 20 of 40" in again[1], (seen, again))
    check_refused("pieces longer than the context of the weights", "option --context: expected at most 16, the context of --from, found 17", *train, *SHORT, "--context", 17, "--discard")
    check_refused("sizes beside weights", "option --dim would have no effect", *train, *SHORT, "--dim", 32, "--discard")
    check_refused("characters that the weights do not know", "expected characters", *train[:1], "--from", first, *SHORT, "--discard",
                  "--text", write(f"{folder}/foreign", "\u00e9" * 50))


def check_keeps_tokeniser(folder, text):
    """A training from weights notes the tokeniser that these have."""
    first, checkpoint = f"{folder}/pair.safetensors", f"{folder}/of_pairs"
    status, seen = run("train_language_model", "--text", text, "--from", first, *RECIPE, "--steps", 20, "--checkpoint", checkpoint)
    resume = ("train_language_model", "--checkpoint", checkpoint, "--resume", "--steps")
    shutil.rmtree(f"{checkpoint}.tokeniser")
    again = run(*resume, 40)
    check("a checkpoint that lost its tokeniser goes on with that of --from", status == 0 and again[0] == 0
          and content(f"{checkpoint}.tokeniser/kind") == b"bpe\n", (seen, again))
    status, seen = run(*resume, 60, "--tokeniser", "bpe")
    check("and may be told its kind", status == 0, seen)


def check_texts(folder, text):
    train = ("train_language_model", *SMALL, *SHORT, "--discard")
    check_refused("steps that are no multiple", "expected a multiple of --evaluate-every, 20, found 30", "train_language_model", *RECIPE,
                  "--steps", 30, "--text", text, "--discard")
    for start in ("nan", "inf", 0, -1, 1e300):
        check_refused(f"a random start of deviation {start}", "option --start: expected a standard deviation from 1e-30 to 1000", *train,
                      "--text", text, "--start", start)
    check_refused("an empty text", "found an empty file", *train, "--text", write(f"{folder}/empty", ""))
    check_refused("a text shorter than the context", "expected at least 17 tokens", *train, "--text", write(f"{folder}/short", "abc"))
    status, seen = run(*train, "--text", write(f"{folder}/same", "a" * 500))
    check("a text of one character is predicted", status == 0 and loss_of_training(seen) == 0, seen)
    status, seen = run(*train, "--tokeniser", "bytes", "--text", f"{folder}/same")
    check("also in bytes", status == 0 and loss_of_training(seen) < 0.1, seen)
    check_refused("a validation text of other characters", f"file '{folder}/other': text: expected characters", *train, "--text", text, "--validation",
                  write(f"{folder}/other", "\u00e9" * 50))
    weights = f"{folder}/crate-gpt2.safetensors"
    check_refused("another tokeniser's vocabulary", "these weights belong to another tokeniser", "perplexity", "--weights", weights, "--text", text,
                  "--tokeniser", "bytes")
    check_refused("a prompt of other characters", "option --prompt: text: expected characters of a vocabulary", *train, "--text", text, "--prompt",
                  "\u00e9")
    windows = write(f"{folder}/windows", b"\xef\xbb\xbf" + content(text)[:2000].replace(b" ", b"\r\n"))
    status, seen = run(*train, "--text", windows)
    check("line ends of Windows are told of once", status == 0 and seen.count("the text has Windows line ends") == 1, seen)
    lossy = write(f"{folder}/lossy", content(text)[:2000] + b"\xff\xfe" * 20)
    status, seen = run(*train[:-1], "--text", lossy, "--output", f"{folder}/lossy.safetensors")
    check("bytes that are no UTF-8 are told of", f"{lossy}: 40 bytes are not UTF-8, the first at byte 2000, and replaced by U+FFFD" in seen, seen)
    status, seen = run("perplexity", "--weights", f"{folder}/lossy.safetensors", "--text", lossy)
    check("of such a text no bits per byte are told", status == 0 and "bits per byte      unknown, because" in seen, seen)
    status, seen = run("convert_weights", f"{folder}/lossy.safetensors", "--output", f"{folder}/copy.safetensors")
    check("a tokeniser goes with its model", status == 0 and content(f"{folder}/copy.tokeniser/kind") == b"characters\n", seen)
    check_refused("a text of one token", "expected at least 2 tokens", "perplexity", "--weights", weights, "--text",
                  write(f"{folder}/one", "a"))
    check_refused("a tokeniser without masks", "[MASK]", "train_masked_language_model", *SMALL, *SHORT, "--discard", "--text", text,
                  "--tokeniser", "bytes")


GOOD, BAD, THINGS = ("good", "fine", "great"), ("bad", "dull", "poor"), ("film", "plot", "cast", "song")


def sentence(label):
    return f"a {random.choice(GOOD if label else BAD)} {random.choice(THINGS)}"


def check_headers(folder, fresh, sentences, labels):
    """A first line that names the columns is none of the sentences, whatever it calls them."""
    lines = "".join(f"{s}\t{'good' if l else 'bad'}\n" for s, l in zip(sentences, labels))
    train = ("classify_text", *fresh[7:], "--epochs", 1, "--discard")
    for header in ("text\tclass", "Sentence\tLabel", "review\tsentiment", "id\tsentence\tlabel"):
        named = write(f"{folder}/named", f"{header}\n{lines}")
        status, seen = run(*train, "--train", named, "--test", named)
        check(f"{header!r} names the columns", status == 0 and "classes: 'bad', 'good'\n" in seen
              and "without its header " in seen and " 300 training and 300 test sentences" in seen, seen)
    status, seen = run(*train, "--train", named, "--test", named, "--header", "no")
    check("or is a sentence, where the user says so", status == 0 and "classes: 'bad', 'good', 'label'\n" in seen
          and " 301 training" in seen, seen)
    plain = write(f"{folder}/plain", lines)
    status, seen = run(*train, "--train", plain, "--test", write(f"{folder}/single", f"{sentences[0]}\tbad\n"))
    check("a sentence is none", status == 0 and " 300 training and 1 test" in seen and seen.count("from its first line on") == 2, seen)
    status, seen = run(*train, "--train", plain, "--test", plain, "--header", "yes")
    check("unless the user says so", status == 0 and " 299 training and 299 test" in seen, seen)
    turned = write(f"{folder}/turned", "label\tsentence\n" + "".join(f"{l}\t{s} {i}\n" for i, (s, l) in enumerate(zip(sentences, labels))))
    check_refused("columns the other way round", "the columns may be the other way round", *train, "--train", turned, "--test", turned)


def check_tables(folder, weights, sentences, labels):
    """Of a file of SENTENCE<tab>CLASS, the sentences are classified, and not their header and labels."""
    lines = [f"{s}\t{l}" for s, l in zip(sentences[:20], labels)]
    use = ("classify_text", "--weights", weights, "--text")
    for name, text in (("table.tsv", "sentence\tlabel\n" + "\n".join(lines) + "\n\n"), ("unnamed", "\n".join(lines))):
        status, seen = run(*use, write(f"{folder}/{name}", text))
        shown = [line.split("\t")[2] for line in seen.splitlines() if "\t" in line]
        check(f"{name}: the column of sentences is classified", status == 0 and shown == sentences[:20], seen)
        check(f"{name}: the accuracy is printed", "has a class after each sentence: accuracy 100.00 % (20 of 20 sentences)" in seen, seen)
    check_refused("a table without classes of the model", "line 1: expected a sentence, or, as every line has a tab, SENTENCE<tab>CLASS",
                  *use, write(f"{folder}/ids.tsv", "0\ta good film\n1\ta bad film\n"))
    for header in ("yes", "no"):
        check_refused("a header of a text without columns", "option --header would have no effect: --text has no columns",
                      *use, write(f"{folder}/plain.txt", "sentence\na good film\n"), "--header", header)
    check_refused("blank lines alone", "expected sentences, one per line, found none", *use, write(f"{folder}/blank", "\n \n"))
    plain, packed = write(f"{folder}/plain.txt", "a good film\n"), write(f"{folder}/packed.txt.gz", gzip.compress(b"a good film\n"))
    check("a text may be packed", run(*use, plain) == run(*use, packed) and run(*use, packed)[0] == 0, run(*use, packed))


def check_word_dropout(folder, fresh):
    drop, checkpoint = ("--word-dropout", 0.2), f"{folder}/dropping"
    first_epoch = lambda seen: re.search(r"^ +1 +([\d.]+)", seen, re.MULTILINE)[1]
    with_words, without = run(*fresh, "--discard"), run(*fresh, *drop, "--checkpoint", checkpoint)
    check("training loses words", with_words[0] == without[0] == 0 and first_epoch(with_words[1]) != first_epoch(without[1]),
          (with_words, without))
    resume = ("classify_text", "--checkpoint", checkpoint, "--resume", "--epochs", 13)
    check_refused("another share of words to lose", "cannot be resumed with", *resume, "--word-dropout", 0.3)
    status, seen = run(*resume)
    check("and goes on with the share that it was begun with", status == 0 and "after step 180 of 195" in seen, seen)
    os.makedirs(f"{folder}/no_mask")
    write(f"{folder}/no_mask/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\ngood\n")
    check_refused("words to lose without a mask", "option --word-dropout: expected a tokeniser with a token [MASK] or <mask>", *fresh[:-2],
                  "--tokeniser", "bert", "--vocabulary", f"{folder}/no_mask", *drop, "--discard")


def check_tokeniser_stays(folder, bert):
    """A training is resumed with its own tokeniser, and no other is accepted, even if the one beside the checkpoint is lost."""
    checkpoint = f"{folder}/of_words"
    status, seen = run("classify_text", "--train", f"{folder}/train.tsv", "--test", f"{folder}/test", *bert, "--dim", 16, "--depth", 1,
                       "--heads", 2, "--epochs", 1, "--checkpoint", checkpoint)
    check("a training with a vocabulary", status == 0, seen)
    shutil.copytree(f"{folder}/words", f"{folder}/other_words")
    resume = ("classify_text", "--checkpoint", checkpoint, "--resume", "--epochs")
    check_refused("another vocabulary", "option --vocabulary", *resume, 2, "--vocabulary", f"{folder}/other_words")
    shutil.rmtree(f"{checkpoint}.tokeniser")
    status, seen = run(*resume, 2)
    check("a checkpoint that lost its tokeniser is resumed with its vocabulary", status == 0
          and content(f"{checkpoint}.tokeniser/kind") == b"bert\n", seen)


def check_help():
    """--help names what --resume may change as the program decides it, and the exit codes."""
    for program, names in (("classify_text", "--train, --test, --header, --output, --history, --epochs, "),
                           ("train_language_model", "--text, --validation, --validation-windows, --output, ")):
        status, seen = run(program, "--help")
        words = " ".join(seen.split())
        check(f"{program} --help names what --resume may change", status == 0 and f"only these may be changed: {names}" in words, seen)
        check(f"{program} --help names the exit codes",
              "Exit code: 0 success, 1 error, 2 wrong command line, 130 interrupted." in words, seen)


def check_classifiers(folder):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", *GOOD, *BAD, *THINGS]
    os.makedirs(f"{folder}/words")
    write(f"{folder}/words/vocab.txt", "\n".join(words) + "\n")
    labels = [i % 2 for i in range(300)]
    sentences = [sentence(label) for label in labels]
    write(f"{folder}/train.tsv", "sentence\tlabel\n" + "".join(f"{s} \t{l}\n" for s, l in zip(sentences[:240], labels)))
    write(f"{folder}/test", "".join(f"{l} {s}\n" for s, l in zip(sentences[240:], labels[240:])))
    bert = ("--tokeniser", "bert", "--vocabulary", f"{folder}/words")
    text = write(f"{folder}/runs", " ".join(" ".join([random.choice(THINGS)] * 40) for _ in range(60)))  # what is masked stands around
    for family in ("crate-bert", "transformer-bert"):
        masked, weights = f"{folder}/{family}.safetensors", f"{folder}/{family}-classifier.safetensors"
        status, seen = run("train_masked_language_model", "--family", family, "--text", text, "--validation", text, *bert, *SMALL,
                           "--steps", 100, *RECIPE, "--output", masked)
        seen_of_masked = seen
        check(f"{family} learns", status == 0 and loss_of_training(seen) < 0.7, seen)
        recipe = ("--train", f"{folder}/train.tsv", "--test", f"{folder}/test", "--epochs", 12, "--rate", 0.01, "--batch", 16)
        status, seen = run("classify_text", *recipe, "--from", masked, "--output", weights)
        check(f"a classifier learns from {family}", status == 0 and "   100.00 %   " in seen.splitlines()[-3], seen)
        status, seen = run("classify_text", "--weights", weights, "--test", f"{folder}/test")
        check(f"a classifier from {family} is as good when used", seen == "accuracy 100.00 % (60 of 60 sentences)\n", seen)
        status, seen = run("classify_text", "--weights", weights, "--text", write(f"{folder}/own", "a great plot\na poor song\n"))
        check("it classifies one's own sentences", [line.split("\t")[0] for line in seen.splitlines()] == ["1", "0"], seen)
        if family == "crate-bert":
            trained = loss_of_training(seen_of_masked)
            status, seen = run("train_masked_language_model", "--from", masked, "--text", text, "--validation", text, "--threads", 2,
                               "--steps", 20, *AT_REST, "--discard")
            check("a masked model is trained on from its weights", status == 0 and abs(loss_of_training(seen) - trained) < 2e-4,
                  (seen, trained))
            status, seen = run("classify_text", *recipe, "--from", masked, "--word-dropout", 0.2, "--output", weights)
            check("a classifier learns from sentences that lose words", status == 0 and "   100.00 %" in seen, seen)
            check("its file says that it reads the mean of all tokens", b'"crate.pooling":"mean"' in content(weights))
            status, seen = run("classify_text", *recipe, "--from", masked, "--pool", "cls", "--output", weights)
            check("a classifier learns that reads the first token", status == 0 and "   100.00 %" in seen, seen)
            check("its file says so", b'"crate.pooling":"class_token"' in content(weights))
        status, seen = run("classify_text", *recipe, *bert, "--family", f"{family}-classifier", "--dim", 16, "--depth", 1, "--heads", 2,
                           "--discard")
        check(f"{family}-classifier learns from scratch", status == 0 and "   100.00 %   " in seen, seen)
    learn = ("--learn-vocabulary", 60)
    status, seen = run("train_masked_language_model", "--text", text, *SMALL, *SHORT, *learn, "--output", f"{folder}/own.safetensors")
    check("a masked model learns its pieces of words", status == 0 and content(f"{folder}/own.tokeniser/kind") == b"bert\n", seen)
    fresh = ("classify_text", "--train", f"{folder}/train.tsv", "--test", f"{folder}/test", "--epochs", 12, "--rate", 0.01, "--batch", 16,
             "--dim", 16, "--depth", 1, "--heads", 2, *learn)
    status, seen = run(*fresh, "--output", f"{folder}/fresh.safetensors")
    check("a classifier learns its pieces of words", status == 0 and "   100.00 %   " in seen, seen)
    status, seen = run("classify_text", "--weights", f"{folder}/fresh.safetensors", "--text",
                       write(f"{folder}/untidy", "\ufeffA GREAT plot!!\r\n\r\n  poor \xe9t\xe9 \u2014 song...\t\r\na fine cast"))
    classes = [line.split("\t")[0] for line in seen.splitlines()]
    check("it classifies untidy sentences, and leaves out blank lines", classes == ["1", "0", "1"], seen)
    with open(f"{folder}/untidy", "rb") as untidy:
        found = subprocess.run([f"{sys.argv[1]}/classify_text", "--weights", f"{folder}/fresh.safetensors", "--text", "-"], stdin=untidy,
                               capture_output=True, text=True, errors="replace", timeout=300)
    check("what is piped in is read as a file is", found.returncode == 0 and found.stdout == seen, (found, seen))
    status, seen = run(*fresh[:-2], "--tokeniser", "bpe", "--learn-vocabulary", 280, "--word-dropout", 0.1, "--discard")
    check("a classifier learns a byte-pair encoding with its special tokens", status == 0 and "   100.00 %   " in seen, seen)
    check_refused("a vocabulary to learn beside weights", "option --learn-vocabulary would have no effect", *fresh[:5], *learn, "--from", masked,
                  "--discard")
    status, seen = run("classify_text", "--weights", f"{folder}/fresh.safetensors", "--text",
                       write(f"{folder}/long", "a good film\n" + "a poor song " * 100 + "\na bad film\n"))
    check("sentences that are cut are counted", status == 0 and len(seen.splitlines()) == 4
          and f"classify_text: {folder}/long: 1 of 3 sentences is longer than 62 tokens" in seen.splitlines()[-1], seen)
    check_tables(folder, f"{folder}/fresh.safetensors", sentences, labels)
    check_headers(folder, fresh, sentences, labels)
    check_tokeniser_stays(folder, bert)
    check_word_dropout(folder, fresh)
    check_refused("lines without a class", "line 1: expected a sentence", "classify_text", *bert, "--discard", "--test", f"{folder}/test",
                  "--train", write(f"{folder}/no_class", "word\n"))
    check_refused("a class that nobody trained", "line 2: expected a class of the training sentences, 0 or 1, found 'x'", "classify_text",
                  "--weights", f"{folder}/crate-bert-classifier.safetensors", "--test", write(f"{folder}/third", "0 film\nx plot\n"))


def main():
    random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        text = write(f"{folder}/text", "".join(f"the {sentence(i % 2)} was seen.\n" for i in range(400)))
        check_learns(folder, text)
        check_resumes(folder, text)
        check_trains_on(folder, text)
        check_final_rate(folder, text)
        write(f"{folder}/taken.tokeniser", "")
        check_pairs(folder, text)
        check_keeps_tokeniser(folder, text)
        check_texts(folder, text)
        check_classifiers(folder)
        check_help()
    sys.exit(end())


main()
