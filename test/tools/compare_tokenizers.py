#!/usr/bin/env python3
"""Compares tokenizer_tool with the PyPI package `tokenizers` on random strings.

  compare_tokenizers.py TOOL TOKENIZER_JSON COUNT [SEED]

Strings of nine kinds (random scripts, pieces of the vocabulary, white space,
specials and parts of them, control characters, emoji sequences, digits, long
runs, mixtures); compares ids with and without specials and the decoded text.
Prints each difference and the number of strings; exit code 1 on a difference.
"""
import json
import random
import subprocess
import sys

from tokenizers import Tokenizer

CHUNK = 20000
RANGES = [(0x20, 0x7f), (0xa0, 0x250), (0x370, 0x530), (0x590, 0x700), (0x900, 0xe00),
          (0x1100, 0x1200), (0x2000, 0x2c00), (0x3040, 0x3100), (0x4e00, 0xa000),
          (0xac00, 0xd7a4), (0xe000, 0x10000), (0x10000, 0x20000), (0x1f000, 0x1fb00),
          (0x20000, 0x110000)]
EMOJI = ["😀", "👨", "👩", "👧", "\u200d", "\ufe0f", "\U0001f3fd", "🇫", "🇷", "❤"]
WORDS = ("the of and to in a is that for it as was with be by on not he I this are or his "
         "from at which but have an had they you were their one all we can her has there").split()


class Maker:
    def __init__(self, tokenizer, seed):
        self.rng = random.Random(seed)
        self.pieces = [p.replace("\u2581", " ") for p in tokenizer.get_vocab()]
        self.specials = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
        self.kinds = [self.script, self.vocabulary, self.space, self.special, self.control,
                      self.emoji, self.number, self.run, self.words]

    def some(self, low, high, make):
        return "".join(make() for _ in range(self.rng.randint(low, high)))

    def script(self):
        low, high = self.rng.choice(RANGES)
        return self.some(1, 30, lambda: chr(self.rng.randrange(low, high)))

    def vocabulary(self):
        return self.some(1, 8, lambda: self.rng.choice(self.pieces))

    def space(self):
        return self.some(1, 12, lambda: self.rng.choice(" \n\t\r\u00a0\u2581 \n")
                         * self.rng.choice([1, 1, 2, 3, 31, 40]))

    def special(self):
        def one():
            text = self.rng.choice(self.specials)
            return text[:self.rng.randint(1, len(text))] if self.rng.random() < 0.4 else text
        return self.some(1, 5, one)

    def control(self):
        return self.some(1, 15, lambda: chr(self.rng.choice(
            [self.rng.randrange(0x20), self.rng.randrange(0x7f, 0xa0), 0x2028, 0xfeff, 0xfffd])))

    def emoji(self):
        return self.some(1, 12, lambda: self.rng.choice(EMOJI))

    def number(self):
        return self.some(1, 20, lambda: self.rng.choice("0123456789.,-+eE "))

    def run(self):
        return self.rng.choice("aA=-.#*_ /\\\n!xо日") * self.rng.randint(1, 200)

    def words(self):
        return " ".join(self.rng.choice(WORDS) for _ in range(self.rng.randint(1, 12)))

    def text(self):
        if self.rng.random() < 0.6:
            text = self.rng.choice(self.kinds)()
        else:
            text = self.some(2, 5, lambda: self.rng.choice(self.kinds)())
        return "".join(c for c in text if not 0xd800 <= ord(c) < 0xe000)


def main():
    tool, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    tokenizer = Tokenizer.from_file(path)
    plain = Tokenizer.from_file(path)
    plain.encode_special_tokens = True
    maker = Maker(tokenizer, seed)
    process = subprocess.Popen([tool, path, str(tokenizer.get_vocab_size())],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    done = wrong = 0
    while done < count:
        texts = [maker.text() for _ in range(min(CHUNK, count - done))]
        shown = [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        raw = [e.ids for e in plain.encode_batch_fast(texts, add_special_tokens=False)]
        decoded = tokenizer.decode_batch(shown, skip_special_tokens=False)
        for text, *want in zip(texts, shown, raw, decoded):
            line = json.dumps(text)
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
            got = json.loads(process.stdout.readline())
            if got != want:
                wrong += 1
                print("differs:", line, got, want)
        done += len(texts)
    process.stdin.close()
    print(f"{done} strings, {wrong} differences, seed {seed}")
    sys.exit(wrong != 0 or process.wait() != 0)


main()
