#!/usr/bin/python3
"""Compiles random models of the family and compares what the programs say with
the reference evaluator (gemma-eval, in double).

  random_models.py SEEDS [--target NAME] [--arm] [--stages] [--external]
                   [--quant] [--media] [--towers] [--keep FOLDER]

SEEDS: "3", "0-99" or "1,5,7". For each seed: --quant=f32 logits within 1e-3 of
the evaluator; the default formats near it on average; both bitwise equal for
other workers and chunks; greedy generation equal to the argmax of eval's logits,
with stop ids, suppressed ids, -n and a full context. --arm: the same logits on
arm-neon under qemu-aarch64. --stages: each stage read back by gemma-opt gives
the stages after it. --external: weights in a file of their own, reused. --quant: q8 and q4 near the
evaluator on average, bits and stages as above. --media: models that take rows of
media, half of them with blocks, and such rows in the text that is compared. --towers, alone: random towers of
every kind; soft rows of a folder and of GGUF files of the same values are the same."""
import argparse
import os
import random
import re
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import make_mmproj
import media_golden
import model_family
import safetensors

# What `native` says of where a call came from is the name of its value, which
# text read back does not keep for calls without results.
def without_names(text):
    return re.sub(r' \{kernel\.call = "[^"]*"\}|kernel\.call = "[^"]*", ', "", text)


STAGES = [("import", None), ("optimize", "gemma-optimize"), ("select", "gemma-select"), ("plan", "kernel-plan"),
          ("native", "kernel-native")]
SURROUNDINGS = [(2, 512), (1, 1), (1, 64), (3, 7), (8, 64)] # workers, chunk


class Wrong(Exception):
    pass


def expect(holds, what):
    if not holds:
        raise Wrong(what)


def call(command, code=0, limit=240):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise Wrong(f"{' '.join(command)}: no end after {limit} s") from None
    expect(done.returncode == code,
           f"{' '.join(command)}: ended with {done.returncode}, expected {code}: {(done.stderr + done.stdout)[-600:]}")
    return done.stdout


def compile_model(folder, out, *options):
    if any(option.startswith("--target=cuda") for option in options): # the emulator runs PTX alone
        options += ("--ptxas=none",)
    call(["gemmac", "-q", folder, "-o", out, *options])
    return out


def write_ids(folder, ids):
    path = os.path.join(folder, "ids")
    with open(path, "w") as f:
        f.write(" ".join(map(str, ids)))
    return path


# A decoder of which only the width matters.
PLAIN = {"num_hidden_layers": 1, "layer_types": ["full_attention"], "intermediate_size": 32, "vocab_size": 32, "sliding_window": 8,
         "max_position_embeddings": 1024, "hidden_activation": "gelu_pytorch_tanh", "num_attention_heads": 1,
         "num_key_value_heads": 1, "head_dim": 32, "global_head_dim": 32, "attention_k_eq_v": False, "final_logit_softcapping": 30.0,
         "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0, "enable_moe_block": False, "tie_word_embeddings": True}


class Towers:
    """Random towers, as a folder and as files of GGUF."""

    def __init__(self, seed, folder, a):
        self.folder, m = folder, model_family.Model(seed, towers=True)
        m.text = dict(PLAIN, hidden_size=m.text["hidden_size"])
        m.root["text_config"] = dict(m.text, model_type=m.root["model_type"] + "_text")
        m.root["tie_word_embeddings"] = True
        m.prefix, m.shards, m.stored_head, m.generation = "model.language_model.", 1, False, None
        self.model = m

    def path(self, name):
        return os.path.join(self.folder, name)

    def soft(self, *options):
        said = call(["gemma-eval", *options, f"--soft={self.path('soft')}"])
        return np.fromfile(self.path("soft"), np.float32), said

    def run(self):
        checkpoint, m, hidden = self.path("model"), self.model, self.model.text["hidden_size"]
        m.write(checkpoint)
        rows, said = self.soft(f"--import={checkpoint}")
        counts = {"image": 6} if "vision" in m.towers else {}
        if "audio" in m.towers:
            counts["audio"] = 7 if "hidden_size" in m.towers["audio"] else 27
        expect(said.splitlines() == [f"{name}: {n} rows of {hidden}" for name, n in counts.items()], f"gemma-eval says {said}")
        expect(rows.size == sum(counts.values()) * hidden and np.isfinite(rows).all(), "soft rows are not finite")
        for part in np.split(rows, np.cumsum([n * hidden for n in counts.values()])[:-1]):
            expect(part.reshape(-1, hidden).std(axis=0).max() > 1e-4, "soft rows are all the same")
        if "rms_norm_eps" in m.towers.get("vision", {}):
            return f"{rows.size} values" # which the converter does not store
        call([sys.executable, make_mmproj.__file__, checkpoint, "--type=f32", f"--model={self.path('m.gguf')}",
              f"--towers={self.path('t.gguf')}"])
        got, _ = self.soft(f"--import={self.path('m.gguf')}", f"--mmproj={self.path('t.gguf')}")
        difference = np.abs(got - rows).max() / np.abs(rows).max()
        expect(difference <= 1e-5, f"soft rows of GGUF files are off by {difference:.2g}")
        return f"{rows.size} values, of GGUF files off by {difference:.1e}"


class Case:
    def __init__(self, seed, folder, a):
        self.a, self.folder = a, folder
        self.model = model_family.Model(seed)
        if a.media:
            self.model.take_media(blocks=seed % 2 == 1)
        self.checkpoint = os.path.join(folder, "model")
        self.model.write(self.checkpoint)
        self.r = random.Random(seed)
        self.vocab = self.model.text["vocab_size"]
        size = sum(os.path.getsize(os.path.join(self.checkpoint, f)) for f in os.listdir(self.checkpoint))
        self.on_device = a.target.startswith("cuda")
        lengths = [9, 17, 40, 66] if self.on_device else \
            [1, 2, 9, 17, 40, 66, 130] if size > 4e6 else [1, 9, 17, 65, 130, 257, 300, 520, 700]
        self.ids = self.random_ids(self.r.choice(lengths))
        if a.media:
            self.add_media()

    def path(self, name):
        return os.path.join(self.folder, name)

    def random_ids(self, n):
        return [self.r.randrange(self.vocab) for _ in range(n)]

    # Spans of text, sound and images, some back to back.
    def add_media(self):
        kinds, next_image = [], 0
        while len(kinds) < len(self.ids):
            kind = self.r.choice([0, 3, 1, 1])
            next_image += 1
            span = self.r.choice([1, 2, 5, 17, 70, 200])
            kinds += [kind if kind in (0, 3) else 10 + next_image] * span
        kinds = kinds[:len(self.ids)]
        self.pairs = media_golden.items(kinds, self.model.has_blocks)
        rows = np.random.default_rng(self.r.randrange(1 << 30)).standard_normal(
            (max(1, sum(kind != 0 for kind in kinds)), self.model.text["hidden_size"]), dtype=np.float32)
        self.soft = rows

    # What tells eval and gemma-eval of the rows of media, where there are any.
    def media(self, ids, flag):
        if not self.a.media or ids != self.ids:
            return []
        media_golden.write_media(self.path("media"), self.pairs, self.soft)
        return [f"{flag}={self.path('media')}"]

    def reference(self):
        call(["gemma-eval", f"--import={self.checkpoint}", f"--ids-file={write_ids(self.folder, self.ids)}",
              f"--logits={self.path('ref')}", *self.media(self.ids, "--media")])
        return np.fromfile(self.path("ref"), np.float32).reshape(len(self.ids), self.vocab)

    def logits(self, program, ids, workers, chunk, run=()):
        call([*run, program, "eval", "--tokens", write_ids(self.folder, ids), "--logits", self.path("out"),
              *self.workers(workers), "-b", str(chunk), *self.media(ids, "--test-media")])
        got = np.array(safetensors.File(self.path("out"))["logits"])
        expect(got.shape == (len(ids), self.vocab), f"logits of shape {got.shape}")
        expect(np.isfinite(got).all(), "logits are not finite")
        return got

    # Devices have none.
    def workers(self, count):
        return [] if self.on_device else ["-t", str(count)]

    def same_bits(self, program, some):
        first = None
        for workers, chunk in some:
            got = self.logits(program, self.ids, workers, chunk)
            first = got if first is None else first
            rows = np.flatnonzero((got.view(np.uint32) != first.view(np.uint32)).any(axis=1))
            expect(not rows.size, f"{program}: rows {rows[:5]} differ with {workers} workers, chunks of {chunk}")
        return first

    def exact(self, got, what):
        difference = np.abs(got.astype(np.float64) - self.expected)
        row, column = np.unravel_index(difference.argmax(), difference.shape)
        expect(difference.max() <= 1e-3,
               f"{what}: off by {difference.max():.3g} at row {row} of {len(got)}, logit {column}; "
               f"{(difference.max(axis=1) > 1e-3).sum()} rows are off")
        return difference.max()

    def near(self, got, what):
        share = self.share(got)
        chosen = self.chooses()
        # Another expert is another model. Else a tenth, or, for a model that
        # amplifies rounding, three times what rounding its caches alone does.
        bound = 0.6 if chosen else max(0.1, 3 * self.noise)
        expect(share <= bound, f"{what}: mean difference is {share:.3f} of the logits' deviation, allowed {bound:.3f}")
        return share

    def chooses(self):
        text = self.model.text
        return text["enable_moe_block"] and text["top_k_experts"] < text["num_experts"]

    # Mean difference from the evaluator over the deviation of its logits.
    def share(self, got):
        return np.abs(got - self.expected).mean() / max(1e-9, self.expected.std())

    # Greedy ids by argmax of eval's logits on the program's own text.
    def check_greedy(self, program, prompt, most, *options):
        out = call([program, "run", "--tokens", write_ids(self.folder, prompt), "--temp", "0", "--print-tokens",
                    "-n", str(most), *options])
        got = list(map(int, out.split()))
        g = self.model.generation or {}
        stop = g.get("eos_token_id", 1)
        stop = [] if "--ignore-eos" in options else stop if isinstance(stop, list) else [stop]
        expect(bool(got) and len(got) <= most, f"-n {most} gave {len(got)} ids")
        logits = self.logits(program, prompt + got, 2, 64)[len(prompt) - 1:-1].copy()
        logits[:, g.get("suppress_tokens", [])] = -np.inf
        best = logits.argmax(axis=1).tolist()
        expect(best == got, f"{program}: greedy ids {got}, argmax of eval {best}")
        ends = [i for i, x in enumerate(got) if x in stop]
        expect(ends[:1] == [len(got) - 1] if ends else True, f"went on after a stop id: {got}, stops {stop}")
        return got, bool(ends)

    def check_generation(self, program):
        self.check_greedy(program, self.random_ids(1), 12, "--ignore-eos")
        if self.on_device: # emulated: the rest is the runtime's, whatever the device
            return
        self.check_greedy(program, self.random_ids(self.r.choice([3, 20, 100])), 40)
        prompt = self.random_ids(5)
        got, _ = self.check_greedy(program, prompt, 100, "--ignore-eos", "-c", "12")
        expect(len(got) == 8, f"a context of 12 after a prompt of 5 gave {len(got)} ids")
        got, _ = self.check_greedy(program, prompt, 100, "-c", "5")
        expect(len(got) == 1, f"a full context gave {len(got)} ids")
        ids = write_ids(self.folder, prompt)
        call([program, "run", "--tokens", ids, "-c", "4", "--print-tokens"], 1)
        expect(call([program, "run", "--tokens", ids, "-n", "0", "--print-tokens"]) == "", "-n 0 printed something")
        sampled = [call([program, "run", "--tokens", ids, "-n", "9", "-s", "7", "-t", str(t), "--print-tokens"])
                   for t in (1, 3)]
        expect(sampled[0] == sampled[1], f"seed 7 gave {sampled}")
        expect(not set(map(int, sampled[0].split())) & set((self.model.generation or {}).get("suppress_tokens", [])),
               f"sampled a suppressed id: {sampled[0]}")

    def check_stages(self, *options):
        quant = next((o[8:] for o in options if o.startswith("--quant=")), "none")
        target = next((o[9:] for o in options if o.startswith("--target=")), "x86-avx512")
        choices = {"gemma-optimize": f"=quant={quant}", "gemma-select": f"=target={target}"}
        unnamed = "--mlir-use-nameloc-as-prefix=false"
        text = {}
        for stage, _ in STAGES:
            call(["gemmac", "-q", self.checkpoint, f"--compile-to={stage}", *options, "-o", self.path(stage)])
            text[stage] = without_names(call(["gemma-opt", unnamed, self.path(stage)]))
            expect("func.func" in text[stage] or "llvm.func" in text[stage], f"stage {stage} has no function")
        for (stage, _), (following, pipeline) in zip(STAGES, STAGES[1:]):
            again = call(["gemma-opt", unnamed, self.path(stage), f"--{pipeline}{choices.get(pipeline, '')}"])
            expect(without_names(again) == text[following], f"stage {stage} read back gives another {following}")

    # Rounding of weights and activations adds to what the caches' does; q4 to q8's.
    def check_quantized(self, some):
        shares = []
        for quant, bound in ("q8", 0.15), ("q4", 0.6):
            program = compile_model(self.checkpoint, self.path(quant), "--quant=" + quant, "--target=" + self.a.target)
            shares.append(self.share(self.same_bits(program, some)))
            allowed = max(4 * bound if self.chooses() else bound, 6 * self.noise)
            expect(shares[-1] <= allowed,
                   f"{quant}: mean difference is {shares[-1]:.3f} of the logits' deviation, allowed {allowed:.3f}")
            self.check_stages("--quant=" + quant, "--target=" + self.r.choice(["x86-avx512", "arm-neon", "cuda-sm80"]))
        return ", q8 {:.4f}, q4 {:.4f}".format(*shares)

    def check_external(self):
        target = "--target=" + self.a.target
        program = compile_model(self.checkpoint, self.path("ext"), "--weights=external", target)
        blob = self.path("ext.weights")
        before, ids = os.stat(blob), self.ids[:20]
        first = self.logits(program, ids, 2, 64)
        expect((first == self.logits(self.path("none"), ids, 2, 64)).all(), "external weights give other logits")
        compile_model(self.checkpoint, program, "--weights=external", target)
        after = os.stat(blob)
        expect((before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns),
               "an equal checkpoint wrote its weights again")
        os.rename(program, self.path("old"))
        self.model.write(self.checkpoint, salt=1)
        compile_model(self.checkpoint, program, "--weights=external", target)
        expect((first != self.logits(program, ids, 2, 64)).any(), "another checkpoint, the same logits")
        os.rename(program, self.path("new"))
        os.rename(self.path("old"), program)
        call([program, "eval", "--tokens", write_ids(self.folder, self.ids[:1] * 2)], 3)

    def run(self):
        self.expected = self.reference()
        limit = np.abs(self.expected).max()
        some = self.r.sample(SURROUNDINGS, 5 if len(self.ids) > 9 else 3)
        if self.on_device:
            some = [(0, 512), (0, 7), (0, 2)]
        target = "--target=" + self.a.target
        exact = self.exact(self.same_bits(compile_model(self.checkpoint, self.path("f32"), "--quant=f32", target), some),
                           "f32")
        rounded = compile_model(self.checkpoint, self.path("rounded"), "--quant=f32", "--cache-type=bf16", target)
        self.noise = self.share(self.logits(rounded, self.ids, 2, 64))
        none = compile_model(self.checkpoint, self.path("none"), target)
        share = self.near(self.same_bits(none, some), "default")
        self.check_generation(self.r.choice([self.path("f32"), none]))
        if self.a.stages:
            self.check_stages(self.r.choice(["--quant=f32", "--quant=none", "--quant=bf16"]),
                              self.r.choice([target, "--target=arm-neon"]))
        if self.a.arm:
            cut = 40
            if self.a.media: # not inside a block
                cut = next((n for n in range(cut, 0, -1) if self.pairs[n - 1:n, 1].max(initial=0) <= 1), len(self.ids))
                self.pairs = self.pairs[:cut]
            self.ids, self.expected = self.ids[:cut], self.expected[:cut]
            for quant, check in (("f32", self.exact), ("none", self.near)):
                program = compile_model(self.checkpoint, self.path("arm"), "--quant=" + quant, "--target=arm-neon")
                check(self.logits(program, self.ids, 2, 7, ["qemu-aarch64"]), "arm " + quant)
        quantized = self.check_quantized(some) if self.a.quant else ""
        if self.a.external:
            self.check_external()
        return f"{len(self.expected)} rows to {limit:.1f}: f32 {exact:.1e}, default {share:.4f}, caches alone {self.noise:.4f}{quantized}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("seeds")
    p.add_argument("--target", default="x86-avx512", help="of the programs that run here; less is asked of those for cards")
    for flag in ("arm", "stages", "external", "quant", "media", "towers"):
        p.add_argument("--" + flag, action="store_true")
    p.add_argument("--keep", help="where models and programs of failing seeds stay")
    a = p.parse_args()
    seeds = []
    for part in a.seeds.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    bad = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            if a.keep:
                folder = os.path.join(a.keep, str(seed))
                os.makedirs(folder, exist_ok=True)
            case = (Towers if a.towers else Case)(seed, folder, a)
            try:
                print(f"ok {seed}: {case.run()} | {case.model.describe()}", flush=True)
            except Wrong as wrong:
                bad += 1
                print(f"FAIL {seed}: {wrong} | {case.model.describe()}", flush=True)
    print(f"{len(seeds) - bad} of {len(seeds)} models good")
    print("PASS" if seeds and not bad else "FAIL")
    sys.exit(0 if seeds and not bad else 1)


if __name__ == "__main__":
    main()
