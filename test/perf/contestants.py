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
                "-r", str(repetitions), "-t", str(threads), "--probe", "--json", *self.words[1:]]

    def measure(self, test, threads, repetitions, limit):
        """Speeds of the repetitions, bytes of weights per token, probes before and after."""
        command = self.command(test, threads, repetitions)
        rows = first_json(run(command, limit), command)
        for row in rows if isinstance(rows, list) else []:
            if row.get("test") == test.name and row.get("depth") == test.depth and row.get("tok_s"):
                return row["tok_s"], row.get("bytes_per_token"), [read_probe(row, when, command)
                                                                  for when in ("before", "after")]
        sys.exit(f"compare: {shlex.join(command)} printed no result for {test.text}")

    def probe(self, threads):
        """What the machine gives now: the probe after a test of one token."""
        command = self.command(Test("tg1"), threads, 1)
        return read_probe(first_json(run(command, 300), command)[0], "after", command)

    def version(self):
        return None


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
        return rows[0]["samples_ts"], None, None

    def version(self):
        return self.described


def read_probe(row, when, command):
    """In units of one: bytes/s, operations/s, ns. With one thread the rates of one thread are
    those of all, and there is no other core."""
    probe = (row.get("probe") or {}).get(when) or {}
    value = lambda key: float(probe.get(key) or 0)
    found = {"read_one": value("read_1_gb_s") * 1e9, "read_all": value("read_gb_s") * 1e9,
             "int8_one": value("int8_1_gops") * 1e9, "int8_all": value("int8_gops") * 1e9,
             "core_to_core": value("core_to_core_ns")}
    for what in ("read", "int8"):
        found[what + "_one"] = found[what + "_one"] or found[what + "_all"]
    if not found["int8_one"]:
        sys.exit(f"compare: {shlex.join(command)} expects a probe with int8_gops, got {probe}")
    return found


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
