"""Every command of a program that sanitizers watch: check_sanitized.py PROGRAM EVAL_FOLDER in a working folder. What the
commands print is checked elsewhere."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import checks
from checks import fail

PROGRAM, EVAL = sys.argv[1:3]
HELDOUT = os.path.join(EVAL, "heldout.txt")


def good(*args, text=None):
    done = subprocess.run([PROGRAM, *args], input=text, capture_output=True, text=True, timeout=120)
    if done.returncode:
        fail(f"{args}: exit {done.returncode}: {done.stderr[-3000:]}")
    return done.stdout


def check_watched():
    """The sanitizers are there."""
    with open(PROGRAM, "rb") as f:
        if b"AddressSanitizer" not in f.read():
            fail("no sanitizer in the program")


def check_run():
    for flags in ([], ["-t", "3", "-b", "5"], ["--temp", "1.5", "--top-k", "0"], ["--top-p", "0.5", "-s", "3"], ["--raw"],
                  ["--print-tokens", "--ignore-eos"], ["--profile", "trace", "--timings"], ["--test-order", "3", "--test-nan"],
                  ["--test-pages", "5"], ["--load", "copy"], ["--no-kv-skip"], ["--system", "Be brief."]):
        good("run", "Why is the sky blue? " * 20, "-n", "40", *flags)


def check_chat():
    turns = ["Hello, I am Oscar.", "Tell me a story about a cat.", "/drop", '"""', "two", 'lines"""', "/help", "What is my name?", "/reset",
             "<|turn>user\x01\u65e5\U0001F600", "/quit"]
    for flags in [], ["--checkpoints", "0", "-b", "8"], ["--ignore-eos", "-n", "300", "--timings"], ["--temp", "2"]:
        good("chat", *flags, text="\n".join(turns) + "\n")


def check_eval():
    for flags in ([], ["--split", "\u241e"], ["--window", "100", "-b", "30"], ["--split", "\u241e", "--window", "64", "--test-held", "50"]):
        good("eval", "-f", HELDOUT, "-t", "2", *flags)
    with open(HELDOUT, encoding="utf-8") as f:
        text = f.read()[:3000]
    for flags in ["--logits", "rows", "--hidden", "states"], ["--kl", "rows", "--json"]:
        good("eval", "-", "--window", "50", *flags, text=text)


def check_text():
    with open(HELDOUT, encoding="utf-8") as f:
        text = f.read()
    for flags in [], ["--no-special"], ["--pieces"], ["--json"]:
        good("tokenize", *flags, text=text + "\x00<bos><0x41>\U0001F9FF" + "a" * 70000)
    ids = good("tokenize", text=text)
    if good("detokenize", text=ids) != text:
        fail("text and back")


def check_info():
    for flags in [], ["--json"], ["--sources"], ["-c", "64", "-b", "1"]:
        good("info", *flags)
    json.loads(good("info", "--json"))
    # The machine code is other than what gemmac has written.
    done = subprocess.run([PROGRAM, "info", "--verify"], capture_output=True, text=True)
    if done.returncode != 3 or not done.stderr.startswith("error: section 'code'"):
        fail(f"info --verify: exit {done.returncode}: {done.stderr[-3000:]}")
    for flags in ["--help"], ["--version"], ["chat", "--help"]:
        good(*flags)


def check_bench():
    good("bench", "-p", "16", "-n", "4", "-r", "1")


checks.run([check_watched, check_run, check_chat, check_eval, check_text, check_info, check_bench], sys.argv[3:])
