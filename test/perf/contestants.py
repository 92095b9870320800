"""Runs programs that measure themselves and reads what they print: programs of
gemmac (PROGRAM bench) and llama-bench, also of forks. Must not know statistics."""
import json
import os
import re
import shlex
import subprocess
import sys


class Test:
    """pp512, tg128, with a depth as in tg64@d8192."""

    def __init__(self, text):
        found = re.fullmatch(r"(pp|tg)(\d+)(?:@d(\d+))?", text)
        if not found:
            sys.exit(f"compare: --tests expects names like pp512, tg128 or tg64@d8192, got '{text}'")
        self.text, self.name = text, found[1] + found[2]
        self.prompt = int(found[2]) if found[1] == "pp" else 0
        self.tokens = int(found[2]) if found[1] == "tg" else 0
        self.depth = int(found[3] or 0)


def run(command, limit):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                              text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        sys.exit(f"compare: {shlex.join(command)} did not end within {limit} s")
    except OSError as error:
        sys.exit(f"compare: cannot run {command[0]}: {error.strerror}")
    if done.returncode:
        sys.exit(f"compare: {shlex.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def first_json(text, command):
    """The first array or object of an output that may hold other lines."""
    for at in (m.start() for m in re.finditer(r"^[\[{]", text, re.M)):
        try:
            return json.JSONDecoder().raw_decode(text, at)[0]
        except ValueError:
            continue
    sys.exit(f"compare: {shlex.join(command)} printed no JSON:\n{text[-2000:]}")


class Program:
    """A program made by gemmac."""

    def __init__(self, name, words):
        self.name, self.words, self.file = name, words, words[0]

    def command(self, test, threads, repetitions):
        return [self.words[0], "bench", "-p", str(test.prompt), "-n", str(test.tokens), "-d", str(test.depth),
                "-r", str(repetitions), "-t", str(threads), "--json", *self.words[1:]]

    def measure(self, test, threads, repetitions, limit):
        """Speeds of the repetitions, and bytes of weights per token if the program says so."""
        command = self.command(test, threads, repetitions)
        for row in results(first_json(run(command, limit), command)):
            if row.get("test") == test.name and row.get("depth", 0) == test.depth:
                return row["tok_s"], row.get("bytes_per_token")
        sys.exit(f"compare: {shlex.join(command)} printed no result for {test.text}")

    def version(self):
        return None

    def probe(self, threads):
        command = [self.words[0], "bench", "--probe", "--json", "-p", "0", "-n", "0", "-t", str(threads)]
        return read_probe(first_json(run(command, 120), command), command)


class LlamaBench:
    """llama-bench of llama.cpp (-d) or of a fork that knows depth as -gp."""

    def __init__(self, name, words, model, help_text):
        self.name, self.words, self.model, self.file = name, words, model, model
        self.has_depth = "--n-depth" in help_text
        self.described = None

    def command(self, test, threads, repetitions):
        command = [self.words[0], "-m", self.model, "-t", str(threads), "-r", str(repetitions), "-o", "json",
                   "-fa", "1"]
        if not test.depth:
            command += ["-p", str(test.prompt), "-n", str(test.tokens)]
        elif self.has_depth:
            command += ["-p", str(test.prompt), "-n", str(test.tokens), "-d", str(test.depth)]
        elif test.tokens:
            command += ["-p", "0", "-n", "0", "-gp", f"{test.depth},{test.tokens}"]
        else:
            sys.exit(f"compare: {self.words[0]} cannot measure {test.text} (no prompt at a depth)")
        return command + self.words[1:]

    def measure(self, test, threads, repetitions, limit):
        command = self.command(test, threads, repetitions)
        rows = first_json(run(command, limit), command)
        if len(rows) != 1 or not rows[0].get("samples_ts"):
            sys.exit(f"compare: {shlex.join(command)} expects one result with samples_ts, got {rows}")
        self.described = f"build {rows[0].get('build_number')} ({rows[0].get('build_commit')})"
        return rows[0]["samples_ts"], None

    def version(self):
        return self.described


def results(value):
    """The list of tests: the output itself, or its member "tests" or "results"."""
    if isinstance(value, dict):
        value = value.get("tests") or value.get("results") or []
    return [row for row in value if isinstance(row, dict) and "test" in row]


PROBE = ("read_one", "read_all", "int8_one", "int8_all", "core_to_core")


def read_probe(value, command):
    """The first object that holds the members of PROBE."""
    todo = [value]
    while todo:
        at = todo.pop(0)
        if isinstance(at, dict):
            if all(isinstance(at.get(key), (int, float)) for key in PROBE):
                return {key: float(at[key]) for key in PROBE}
            todo += at.values()
        elif isinstance(at, list):
            todo += at
    sys.exit(f"compare: {shlex.join(command)} expects an object with {', '.join(PROBE)}, got {str(value)[:500]}")


def contestant(text, model):
    """NAME=PATH [ARGS]: a llama-bench or another program of gemmac."""
    name, equals, command = text.partition("=")
    words = shlex.split(command)
    if not equals or not words:
        sys.exit(f"compare: --peer expects NAME=PATH [ARGUMENTS], got '{text}'")
    words[0] = os.path.abspath(words[0])
    try:
        shown = subprocess.run([words[0], "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               stdin=subprocess.DEVNULL, text=True, timeout=60).stdout
    except OSError as error:
        sys.exit(f"compare: cannot run {words[0]}: {error.strerror}")
    if "--n-prompt" not in shown:
        return Program(name, words)
    if not model:
        sys.exit(f"compare: {name} is a llama-bench and needs --model FILE.gguf")
    return LlamaBench(name, words, os.path.abspath(model), shown)
