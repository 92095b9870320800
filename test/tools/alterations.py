#!/usr/bin/python3
"""Alterations of small valid checkpoints, each made from a seed: what gemmac makes
of them against what transformers answers for the same folder.

  alterations.py check SEEDS [--keep FOLDER] [--verbose]    SEEDS: "0-99", "1,5,7", "all", "sample"
  alterations.py show SEEDS                 what is altered, and what is right
  alterations.py record [SEEDS]             asks transformers (CPU, f32, greedy) and writes the answers

`check` compiles each with gemmac-cached --quant=f32 and runs the program: the
same ids as transformers, its logits within 1e-3 and its sampling parameters; or
exit code 3 or 4 with a message that names what was altered, where a refusal is
right. What transformers cannot load and gemmac is to read has the answer of the
unaltered model. Told apart: tokens that end a turn always stop, ids beyond the
tokenizer are never generated (compared up to the first of either). Of a GGUF
file the expected answer is that of the folder with the same values.

`record` needs torch and transformers of the version that `answers.json` names (pip install);
nothing else does."""
import argparse
import collections
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from alter import folders, ggufs, model
from alter.cached import keep_code
from alter.case import MAY, MUST, SAME, Case

ANSWERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Inputs", "alterations", "answers.json")
COUNT = 2000
PROMPT, NEW = [2, 30, 77, 141], 8
NEAR = 1e-3
MEDIA = [model.PIECES + 2, model.PIECES + 3, model.PIECES + 6]


def make(seed):
    """seed -> Case; negative: the unaltered model of a kind."""
    if seed < 0:
        return Case(model.Folder(model.KINDS[-seed - 1]), None)
    r = random.Random(seed)
    case = Case(model.Folder(r.choice("EEDMMU" if seed % 3 < 2 else "EEDMM")), r)
    (folders if seed % 3 < 2 else ggufs).alter(case, r)
    return case


def write(case, place):
    """-> what is compiled."""
    case.folder.write(os.path.join(place, "model"))
    if case.gguf:
        return ggufs.write(case, os.path.join(place, "model.gguf"))
    return os.path.join(place, "model")


def mark(folder):
    """Tells whether the folder is the one that transformers saw."""
    crc = 0
    for path in sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names):
        with open(path, "rb") as f:
            crc = zlib.crc32(f.read(), zlib.crc32(os.path.relpath(path, folder).encode(), crc))
    return crc & 0xffff


#===-- transformers ---------------------------------------------------------===#


class Oracle:
    def __init__(self):
        os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
        # This folder has modules of the names of packages that transformers wants.
        here = os.path.dirname(os.path.abspath(__file__))
        sys.path[:] = [p for p in sys.path if os.path.abspath(p) != here]
        sys.modules.pop("gguf", None)
        import torch
        import transformers
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        torch.set_num_threads(1)
        self.torch, self.transformers = torch, transformers

    def ask(self, folder):
        try:
            net, info = self.transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=self.torch.float32, output_loading_info=True, attn_implementation="eager")
        except Exception as error: # whatever it raises is its refusal
            return {"refused": type(error).__name__}
        if info["missing_keys"]:
            return {"random": sorted(info["missing_keys"])[0]}
        answer = {"sampling": self.sampling(net)}
        try:
            with self.torch.no_grad():
                out = net.generate(self.torch.tensor([PROMPT]), max_new_tokens=NEW, do_sample=False)[0].tolist()
                logits = net(self.torch.tensor([out[:-1]])).logits[0, len(PROMPT) - 1:]
        except Exception as error:
            return {"refused": type(error).__name__}
        ids = out[len(PROMPT):]
        top = logits.topk(2).values
        best = logits.argmax(-1).tolist()
        # A near tie is nobody's fault.
        sure = next((i for i, (a, b) in enumerate(top.tolist()) if a - b < NEAR and best[i] == ids[i]), len(ids))
        # What follows a placeholder of media is a matter of towers.
        sure = min([sure, *(i + 1 for i, x in enumerate(ids) if x in MEDIA)])
        answer["ids"] = ids[:sure]
        answer["top"] = [round(x, 4) for x in top[:sure, 0].tolist()]
        return answer

    def sampling(self, net):
        g, _ = net._prepare_generation_config(None)
        listed = lambda x: [] if x is None else sorted(set(x)) if isinstance(x, list) else [x]
        found = {"stop": listed(g.eos_token_id), "suppress": listed(g.suppress_tokens), "temperature": 0}
        if g.do_sample:
            found.update(temperature=g.temperature if g.temperature is not None else 1, top_k=g.top_k or 0,
                         top_p=g.top_p if g.top_p is not None else 1)
        return found


def record(seeds):
    oracle = Oracle()
    try:
        with open(ANSWERS) as f:
            old = json.load(f)
        known = {seed: (old["answers"][a], m) for seed, (a, m) in ((int(s), x) for s, x in old["seeds"].items())}
    except FileNotFoundError:
        known = {}
    for n, seed in enumerate(list(range(-len(model.KINDS), 0)) + seeds):
        with tempfile.TemporaryDirectory() as place:
            case = make(seed)
            write(case, place)
            folder = os.path.join(place, "model")
            m = mark(folder)
            if seed in known and known[seed][1] == m and ("ids" in known[seed][0] or not case.undo):
                continue # answered already
            answer = oracle.ask(folder)
            if "ids" not in answer and case.undo:
                for undo in reversed(case.undo):
                    undo(case.folder)
                case.folder.write(folder + "-undone")
                undone = oracle.ask(folder + "-undone")
                answer = undone if "ids" in undone else answer
            known[seed] = (answer, m)
        if n % 50 == 0:
            print(seed, flush=True)
    answers, number = [], {}
    found = {}
    for seed in sorted(known):
        answer, m = known[seed]
        text = json.dumps(answer, sort_keys=True)
        if text not in number:
            number[text] = len(answers)
            answers.append(text)
        found[seed] = f'"{seed}": [{number[text]}, {m}]'
    os.makedirs(os.path.dirname(ANSWERS), exist_ok=True)
    lines = [", ".join(list(found.values())[i:i + 8]) for i in range(0, len(found), 8)]
    with open(ANSWERS, "w") as f:
        f.write(f'{{"transformers": "{oracle.transformers.__version__}", "torch": "{oracle.torch.__version__.split("+")[0]}",\n"answers": [\n'
                + ",\n".join(answers) + '\n],\n"seeds": {\n' + ",\n".join(lines) + "\n}}\n")


#===-- gemmac ---------------------------------------------------------------===#


class Wrong(Exception):
    pass


def call(command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", timeout=300)
    except subprocess.TimeoutExpired:
        raise Wrong(f"{os.path.basename(command[0])} {' '.join(command[1:])}: no end after 300 s") from None


def run(command):
    done = call(command)
    if done.returncode:
        raise Wrong(f"{os.path.basename(command[0])} {' '.join(command[1:])}: ended with {done.returncode}: {done.stderr[-300:]}")
    return done.stdout


def sampling_differs(expected, got, ends, rows):
    """What is different of transformers' parameters and the program's; '' if nothing."""
    clear = lambda s: (round(s["temperature"], 5), *((s["top_k"] if 0 < s["top_k"] < 1 << 30 else 0, round(s["top_p"], 5))
                                                     if s["temperature"] else (0, 0)))
    stop = {i for i in expected["stop"] if 0 <= i < rows}
    more = set(got["stop"]) - stop
    if stop - set(got["stop"]) - set(got["suppress"]):
        return f"stops {got['stop']}, transformers {expected['stop']}"
    if more - ends:
        return f"stops at {sorted(more - ends)} too, transformers at {expected['stop']}"
    if clear(expected) != clear(got):
        return f"samples with {clear(got)}, transformers with {clear(expected)} (temperature, top-k, top-p)"
    if {i for i in expected["suppress"] if 0 <= i < min(rows, model.VOCAB)} - set(got["suppress"]):
        return f"suppresses {got['suppress']}, transformers {expected['suppress']}"
    return ""


class Checker:
    def __init__(self, gemmac, target):
        self.gemmac, self.target = gemmac, target
        with open(ANSWERS) as f:
            data = json.load(f)
        self.answers = {int(s): (data["answers"][a], m) for s, (a, m) in data["seeds"].items()}
        self.outcomes = collections.Counter()

    def expected(self, case, seed):
        """-> what is right (rule), the answer that is right if any."""
        answer, _ = self.answers[seed]
        plain, _ = self.answers[-model.KINDS.index(case.folder.kind) - 1]
        if case.rule in (MUST, None):
            return case.rule, None if case.rule == MUST else plain
        if "ids" in answer:
            return case.rule, answer
        return case.rule, plain

    def check(self, seed, place):
        case = make(seed)
        path = write(case, place)
        answer, m = self.answers[seed]
        if mark(os.path.join(place, "model")) != m:
            raise Wrong("is not the checkpoint that was recorded: run `alterations.py record`")
        rule, right = self.expected(case, seed)
        program = os.path.join(place, "program")
        done = call([self.gemmac, "-q", path, "--quant=f32", "--target=" + self.target, "-o", program])
        said = (done.stderr + done.stdout).replace(place, "")
        if done.returncode:
            return self.refusal(case, done.returncode, said, rule, answer)
        if rule == MUST:
            if "ids" in answer and not case.gguf:
                right = answer # transformers reads it after all
            else:
                raise Wrong(f"compiled, transformers: {json.dumps(answer)}; said: {said.strip()[-300:]}")
        if rule is not None:
            try:
                self.program(case, program, right, "sampling" in answer, said)
            except Wrong:
                if case.warns and any(name in line.lower() for line in said.splitlines() if "warning:" in line
                                      for name in case.names):
                    return "warn"
                raise
        return "answer"

    def refusal(self, case, code, said, rule, answer):
        error = next((line for line in said.splitlines() if "error:" in line), said.strip()[-300:])
        if code not in (3, 4):
            raise Wrong(f"ended with {code}: {said[-400:]}")
        if rule == SAME:
            raise Wrong(f"refused with {code}, transformers {'answers' if 'ids' in answer else json.dumps(answer)}: {error}")
        if not any(name in error.lower() for name in case.names):
            raise Wrong(f"the refusal names none of {sorted(case.names)}: {error}")
        return "refuse what transformers answers" if "ids" in answer and rule == MAY and not case.gguf else "refuse"

    def program(self, case, program, right, sampling, said):
        ids = os.path.join(os.path.dirname(program), "ids")
        with open(ids, "w") as f:
            f.write(" ".join(map(str, PROMPT)))
        info = json.loads(run([program, "info", "--json", "-t", "1"]))
        got = list(map(int, run([program, "run", "--tokens", ids, "--temp", "0", "-n", str(NEW), "-t", "1", "--print-tokens"]).split()))
        stop = set(info["sampling"]["stop"])
        pieces = case.folder.pieces() if case.folder.tokenizer else 1 << 30
        for i, expected in enumerate(right["ids"]):
            if expected >= pieces:
                break
            if i >= len(got):
                raise Wrong(f"ids {got}, transformers {right['ids']}; said: {said.strip()[-300:]}")
            if got[i] != expected:
                raise Wrong(f"ids {got}, transformers {right['ids']}; said: {said.strip()[-300:]}")
            if expected in stop:
                break
        self.logits(program, ids, right)
        if sampling and not case.gguf:
            rows = next(t.shape[0] for name, t in case.folder.tensors.items() if name.endswith("embed_tokens.weight"))
            different = sampling_differs(right["sampling"], info["sampling"], set(model.ENDS), rows)
            if different:
                raise Wrong(different + f"; said: {said.strip()[-200:]}")
        if case.chat and case.folder.tokenizer and info["chat"] != case.chat:
            raise Wrong(f"speaks the form '{info['chat']}', not '{case.chat}'; said: {said.strip()[-200:]}")

    def logits(self, program, ids, right):
        """The highest logits along transformers' text."""
        import numpy as np
        import safetensors
        if not right["ids"]:
            return
        with open(ids, "w") as f:
            f.write(" ".join(map(str, PROMPT + right["ids"][:-1])))
        out = ids + ".logits"
        run([program, "eval", "--tokens", ids, "--logits", out, "-t", "1"])
        rows = np.array(safetensors.File(out)["logits"])[len(PROMPT) - 1:]
        top = rows.max(axis=1)
        far = float(np.abs(top - np.array(right["top"][:len(top)])).max())
        if far > NEAR:
            raise Wrong(f"highest logits are off by {far:.4f}")


def sample():
    """Seeds for CI."""
    return list(range(5, COUNT, 16))


def seeds_of(text):
    if text == "all":
        return list(range(COUNT))
    if text == "sample":
        return sample()
    seeds = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def check(a):
    checker = Checker(a.gemmac, a.target)
    failed, outcomes = [], collections.Counter()
    for seed in seeds_of(a.seeds):
        with tempfile.TemporaryDirectory() as place:
            if a.keep:
                place = os.path.join(a.keep, str(seed))
                os.makedirs(place, exist_ok=True)
            try:
                outcome = checker.check(seed, place)
                outcomes[outcome] += 1
                if a.verbose:
                    print(f"ok {seed}: {outcome} | {make(seed).text()}", flush=True)
            except Wrong as wrong:
                case = make(seed)
                failed.append(seed)
                print(f"FAIL {seed}: {case.folder.kind}{' gguf' if case.gguf else ''} | {case.text()} | {wrong}", flush=True)
    print(f"{sum(outcomes.values())} as expected ({', '.join(f'{n} {what}' for what, n in sorted(outcomes.items()))}), {len(failed)} wrong")
    if failed:
        print(f"again: alterations.py check {failed[0]} --keep FOLDER")
    sys.exit(1 if failed or not outcomes else 0)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["check", "show", "record"])
    p.add_argument("seeds", nargs="?", default="all")
    p.add_argument("--keep", help="where inputs and programs stay")
    p.add_argument("--verbose", action="store_true", help="say of each what it does")
    p.add_argument("--gemmac", default="gemmac-cached")
    p.add_argument("--target", default="x86-avx512")
    p.add_argument("--code", help="folder where machine code is kept for the next run")
    a = p.parse_args()
    if a.code:
        keep_code(a.gemmac, a.code)
    if a.what == "check":
        check(a)
    elif a.what == "record":
        record(seeds_of(a.seeds))
    else:
        words = {SAME: "same answer", MAY: "same answer or refusal", MUST: "refusal", None: "any answer or refusal"}
        for seed in seeds_of(a.seeds):
            case = make(seed)
            print(f"{seed}: {case.folder.kind}{' gguf' if case.gguf else ''} | {case.text()} | {words[case.rule]}")


if __name__ == "__main__":
    main()
