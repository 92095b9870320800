#!/usr/bin/python3
"""Compiles random models that see and hear, gives them conversations of text,
pictures and sounds in files, and compares with the reference evaluator (gemma-eval,
in double).

  random_media.py SEEDS [--targets x86-avx512,x86-avx2,arm-neon] [--formats f32,bf16,q8]
                  [--stages] [--keep FOLDER]

For each seed, target and format: `run` decodes, encodes and generates; its soft rows
are within 1e-5 of the largest (bf16, q8: near on average), its prompt has them where
the conversation has its media, blocks marked; `eval` of prompt and answer gives logits
within 1e-3 of the evaluator (else near on average), of which the answer is the argmax;
other workers and chunks give the same bits. arm-neon runs under qemu-aarch64, cuda-sm80 with
the driver that LD_LIBRARY_PATH has in front. --stages: each stage read back by gemma-opt gives the stages after it."""
import argparse
import json
import math
import os
import random
import struct
import sys
import tempfile
import wave
import zlib

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import media_golden
import model_family
import safetensors
import random_models
from random_models import Wrong, call, compile_model, expect, write_ids

HERE = os.path.dirname(os.path.abspath(__file__))
TOKENIZER = os.path.join(HERE, "..", "golden", "tiny-e-mm")
BUDGET = 70
# Allowed difference: of soft rows, mean over deviation; of logits, likewise.
LOOSE = {"bf16": (0.05, 0.2), "q8": (0.1, 0.3)}


def write_png(path, pixels):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_wav(path, samples):
    with wave.open(path, "wb") as f:
        f.setparams((1, 2, 16000, 0, "NONE", ""))
        f.writeframes(samples.astype("<i2").tobytes())


def settled(rows, columns):
    """Whether a picture of so many cells stays as it is (docs/model/vision.md#2.1)."""
    factor = math.sqrt(BUDGET / (rows * columns))
    return math.floor(factor * rows) == rows and math.floor(factor * columns) == columns


GRIDS = [(rows, columns) for rows in range(1, BUDGET + 1) for columns in range(1, BUDGET // rows + 1)
         if settled(rows, columns)]


class Conversation:
    """Parts of a message, their files and what the evaluator takes of them."""

    def __init__(self, r, folder, model):
        # media: kind, what the evaluator takes, rows if they are known.
        self.parts, self.media, rng = [], [], np.random.default_rng(r.randrange(1 << 30))
        kinds = [{"vision": "image", "audio": "audio"}[name] for name in model.towers]
        order = kinds + r.sample(kinds, r.choice([0, 1])) + ["text"] * r.choice([1, 2, 3])
        r.shuffle(order)
        for i, kind in enumerate(order):
            path = os.path.join(folder, f"medium{i}")
            if kind == "text":
                self.parts.append({"type": "text", "text": r.choice(["what is this", "look at", "and hear it", "x"])})
                continue
            if kind == "image":
                v, (rows, columns) = model.towers["vision"], r.choice(GRIDS)
                side = v["patch_size"] * v["pooling_kernel_size"]
                pixels = rng.integers(0, 256, (rows * side, columns * side, 3), np.uint8)
                if r.random() < 0.5: # even patches beside such with noise
                    pixels[:side, :side] = r.randrange(256)
                write_png(path + ".png", pixels)
                pixels.tofile(path)
                self.media.append((kind, f"picture,{rows * side},{columns * side},{path}", rows * columns))
                self.parts.append({"type": "image_url", "image_url": {"url": path + ".png"}})
                continue
            samples = rng.normal(0, r.choice([30, 3000]), r.choice([500, 3000, 9000, 16000])).astype("<i2")
            write_wav(path + ".wav", samples)
            samples.tofile(path)
            self.media.append((kind, f"sound,{path}", None))
            self.parts.append({"type": "input_audio", "input_audio": {"data": path + ".wav"}})

    def write(self, path):
        with open(path, "w") as f:
            json.dump([{"role": "user", "content": self.parts}], f)
        return path


class Case:
    def __init__(self, seed, folder, a):
        self.a, self.folder, self.model = a, folder, model_family.Model(seed, towers=True)
        self.model.take_conversation(TOKENIZER)
        self.checkpoint = os.path.join(folder, "model")
        self.model.write(self.checkpoint)
        self.hidden, self.vocab = self.model.text["hidden_size"], self.model.text["vocab_size"]
        self.r = random.Random(f"media {seed}")
        self.conversation = Conversation(self.r, folder, self.model)

    def path(self, name):
        return os.path.join(self.folder, name)

    def reference_soft(self):
        call(["gemma-eval", f"--import={self.checkpoint}", f"--soft={self.path('ref-soft')}",
              *[f"--medium={named}" for _, named, _ in self.conversation.media]])
        return np.fromfile(self.path("ref-soft"), np.float32).reshape(-1, self.hidden)

    # The prompt that `run` made: ids (those of rows of media are that of a place), pairs as --test-media has them, rows.
    def prompt(self, path):
        with open(path, "rb") as f:
            count = struct.unpack("<i", f.read(4))[0]
            items = np.frombuffer(f.read(8 * count), "<i4").reshape(count, 2)
            rows = np.frombuffer(f.read(), "<f4").reshape(-1, self.hidden)
        pairs = np.stack([np.where(items[:, 0] < 0, -1 - items[:, 0], -1), items[:, 1]], 1).astype(np.int32)
        return np.where(items[:, 0] < 0, 3, items[:, 0]).tolist(), pairs, rows

    # Soft rows stand in spans between the marks of their kinds, in the order of the conversation.
    def check_places(self, ids, pairs):
        root = self.model.root
        marks = {"image": ("boi_token_id", "eoi_token_id"), "audio": ("boa_token_id", "eoa_token_id")}
        at = first = 0
        for i, (kind, _, count) in enumerate(self.conversation.media):
            what = f"medium {i} ({kind})"
            begin, end = (root[mark] for mark in marks[kind])
            expect(begin in ids[at:], f"the prompt has no {what}")
            at = ids.index(begin, at) + 1
            stop = ids.index(end, at)
            rows = pairs[at:stop, 0].tolist()
            expect(rows == list(range(first, first + len(rows))), f"{what} has rows {rows}")
            expect(count is None or len(rows) == count, f"{what} has {len(rows)} rows, expects {count}")
            left = list(range(len(rows), 0, -1)) if kind == "image" else [0] * len(rows)
            expect(pairs[at:stop, 1].tolist() == left, f"{what} has blocks {pairs[at:stop, 1]}")
            first, at = first + len(rows), stop

    @staticmethod
    def workers(card, count):
        return [] if card else ["-t", str(count)]

    def logits(self, program, run, ids, workers, chunk, card):
        call([*run, program, "eval", "--tokens", write_ids(self.folder, ids), "--logits", self.path("out"),
              *self.workers(card, workers), "-b", str(chunk), "--test-media", self.path("media")], limit=600)
        got = np.array(safetensors.File(self.path("out"))["logits"])
        expect(got.shape == (len(ids), self.vocab) and np.isfinite(got).all(), f"logits of shape {got.shape} or not finite")
        return got

    # The difference, for a message, and whether it is allowed.
    def compare(self, got, expected, quant, which):
        if got.shape != expected.shape:
            return f"shape {got.shape}, expects {expected.shape}", False
        difference = np.abs(got.astype(np.float64) - expected)
        if quant == "f32":
            worst = difference.max() / (np.abs(expected).max() if which == 0 else 1)
            return f"{worst:.1e}", worst <= (1e-5, 1e-3)[which]
        share = difference.mean() / max(1e-9, expected.std())
        text = self.model.text
        chooses = which == 1 and text["enable_moe_block"] and text["top_k_experts"] < text["num_experts"]
        return f"{share:.4f}", share <= (0.6 if chooses else LOOSE[quant][which])

    def check(self, target, quant):
        what = f"{target} {quant}"
        run = ["qemu-aarch64"] if target.startswith("arm") else []
        card = target.startswith("cuda") # with the emulated driver in LD_LIBRARY_PATH
        program = compile_model(self.checkpoint, self.path("program"), "--quant=" + quant, "--target=" + target)
        words = call([*run, program, "run", "--messages", self.conversation.write(self.path("messages.json")), "--temp", "0",
                      "-n", "6", "--ignore-eos", "--print-tokens", "--test-items", self.path("items"),
                      *self.workers(card, 2)], limit=600).split()
        answer = list(map(int, words))
        ids, pairs, rows = self.prompt(self.path("items"))
        self.check_places(ids, pairs)
        soft, good = self.compare(rows, self.soft, quant, 0)
        expect(good, f"{what}: soft rows are off by {soft}")
        # Of both: the same soft rows, the evaluator's for f32.
        whole = ids + answer
        behind = np.full((len(answer), 2), (-1, 0), np.int32)
        media_golden.write_media(self.path("media"), np.concatenate([pairs, behind]), rows)
        got = self.logits(program, run, whole, 2, 64, card)
        for workers, chunk in () if run else self.r.sample([(1, 512), (3, 7), (1, 1), (4, 100)], 2):
            other = self.logits(program, run, whole, workers, chunk, card)
            bad = np.flatnonzero((other.view(np.uint32) != got.view(np.uint32)).any(axis=1))
            expect(not bad.size, f"{what}: rows {bad[:5]} differ with {workers} workers, chunks of {chunk}")
        media_golden.write_media(self.path("media"), np.concatenate([pairs, behind]), self.soft)
        call(["gemma-eval", f"--import={self.checkpoint}", f"--ids-file={write_ids(self.folder, whole)}",
              f"--logits={self.path('ref')}", f"--media={self.path('media')}"])
        expected = np.fromfile(self.path("ref"), np.float32).reshape(len(whole), self.vocab)
        off, good = self.compare(got, expected, quant, 1)
        expect(good, f"{what}: logits are off by {off}")
        best = got[len(ids) - 1:-1].copy()
        best[:, [*(self.model.generation or {}).get("suppress_tokens", []), *range(self.model.known, self.vocab)]] = -np.inf
        expect(best.argmax(axis=1).tolist() == answer, f"{what}: answer {answer}, argmax of eval {best.argmax(axis=1).tolist()}")
        if self.a.stages:
            random_models.Case.check_stages(self, "--quant=" + quant, "--target=" + target)
        return f"{what} soft {soft} logits {off}"

    def run(self):
        self.soft = self.reference_soft()
        return ", ".join(self.check(target, quant) for target in self.a.targets.split(",") for quant in self.a.formats.split(","))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("seeds")
    p.add_argument("--targets", default="x86-avx512")
    p.add_argument("--formats", default="f32")
    p.add_argument("--stages", action="store_true")
    p.add_argument("--keep", help="where models and programs stay")
    a = p.parse_args()
    bad = seeds = 0
    for part in a.seeds.split(","):
        first, _, last = part.partition("-")
        for seed in range(int(first), int(last or first) + 1):
            seeds += 1
            with tempfile.TemporaryDirectory() as folder:
                if a.keep:
                    folder = os.path.join(a.keep, str(seed))
                    os.makedirs(folder, exist_ok=True)
                case = Case(seed, folder, a)
                try:
                    print(f"ok {seed}: {case.run()} | {case.model.describe()}", flush=True)
                except Wrong as wrong:
                    bad += 1
                    print(f"FAIL {seed}: {wrong} | {case.model.describe()}", flush=True)
    print(f"{seeds - bad} of {seeds} models good")
    print("PASS" if seeds and not bad else "FAIL")
    sys.exit(0 if seeds and not bad else 1)


if __name__ == "__main__":
    main()
