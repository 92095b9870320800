#!/usr/bin/env python3
"""Writes the tokenizer test data of test/Inputs/tokenizer.

  make_tokenizer_cases.py NANO_TOKENIZER_JSON OUT_FOLDER

Needs the PyPI package `tokenizers`, which serves as the reference. Makes
synthetic.json (a small tokenizer with every feature), synthetic.jsonl and
nano.jsonl: one object a line with `text`, `ids` (special tokens recognised),
`plain` (ids with specials taken as text), `shown` and `hidden` (`ids` decoded
with and without specials). Ids of *decode* cases come without text.
"""
import json
import random
import sys

from tokenizers import Tokenizer

SPECIALS = ["<pad>", "<eos>", "<bos>", "<unk>", "<|turn>", "<turn|>", "<|channel>",
            "<channel|>", "<|think|>", '<|"|>']


def synthetic():
    """Legacy merges ("left right"), an added token outside vocab, nested added
    tokens, one that is not special, whitespace runs, a control character that
    is both a byte token and a piece."""
    vocab, merges = {}, []

    def piece(text):
        vocab.setdefault(text, len(vocab))

    def merge(left, right):
        piece(left + right)
        merges.append(f"{left} {right}")

    for text in SPECIALS:
        piece(text)
    for byte in range(256):
        piece(f"<0x{byte:02X}>")
    for char in "\n\t\u2581abcdefghijklmnop.,<|>é日本😀\u0001":
        piece(char)
    for size in (2, 3, 4):
        for left in range(size - 1, 0, -1):
            merge("\n" * left, "\n" * (size - left))
    merge("\u2581", "\u2581")
    for left, right in [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc"),
                        ("c", "d"), ("\u2581", "a"), ("\u2581a", "b"),
                        ("d", "e"), ("\u2581", "abc"), ("日", "本"), ("a", "a"),
                        ("aa", "aa"), ("e", "é"), ("l", "l"), ("o", "n"),
                        ("on", "m"), ("n", "m"), ("o", "nm"), ("<", "|")]:
        merge(left, right)
    added = [dict(id=vocab[t], content=t, special=True) for t in SPECIALS]
    for text, special in [("<|turn>a", True), ("abcabc", False), ("日本a", False)]:
        added.append(dict(id=len(vocab) + len(added) - len(SPECIALS), content=text,
                          special=special))
    for token in added:
        token.update(single_word=False, lstrip=False, rstrip=False, normalized=False)
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "},
                          "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>",
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": vocab, "merges": merges},
    }


FIXED = [
    "", " ", "  ", "\n", "a", "Hello, world!", "The capital of France is Paris.",
    " leading and trailing ", "tabs\tand\ttabs", "line\nline\n\nline\n\n\n",
    "\r\n\r\n", "\n" * 31, "\n" * 32, "\n" * 70, " " * 31, " " * 64, "a" * 300,
    "<bos><|turn>user\nWhat is 2+2?<turn|>\n<|turn>model\n4<turn|>\n",
    "<|channel>thought\nhm\n<channel|>ok", "<|turn>a", "<|turn><|turn>aa", "<|tur",
    "<|turn", "<|<|turn>", "<bos", "<bos><bos>", "abcabcabc", "日本a日本", "<0x41>",
    "<0x0A>\n", "\u2581literal\u2581", "naïve café", "e\u0301 é", "日本語のテスト。",
    "Привет, мир", "مرحبا", "नमस्ते", "😀🚀🎉", "👨\u200d👩\u200d👧", "\U00010300 \ue000",
    "\ufffd", "\ufeffbom", "\u0000", "\u0001\u0002\u007f", "\u0085\u2028\u2029",
    "\U0010ffff", "def f(x):\n    return x + 1\n", "1234567890", "3.14159e-10",
    '{"a": [1, 2, null]}', "<|\"|>quoted<|\"|>", "CamelCaseWord snake_case_word",
]
ALPHABETS = [
    "abcde \n", "ab", " \n\t", "abcdefghijklmnopqrstuvwxyz ", "<|>turnbos \n",
    "日本a😀é ", "\u0000\u0001\u001f\u007f\u0080\u00a0\u2581 a",
    "ABC abc 012 .,;:!?-\n", "оnm abc", "\U0001f600\U0001f468\u200d\ufe0f a",
]


def texts(rng, specials, count):
    yield from FIXED
    for number in range(count):
        alphabet = ALPHABETS[number % len(ALPHABETS)]
        text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 60)))
        if number % 3 == 0:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(specials) + text[at:]
        if number % 7 == 0:
            text += "".join(chr(rng.choice([rng.randrange(0x20, 0x7f),
                                            rng.randrange(0xa0, 0x3000),
                                            rng.randrange(0xe000, 0x11000)]))
                            for _ in range(20))
        yield text


def write(tokenizer, path, specials, count):
    rng = random.Random(4)
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.encode_special_tokens = True
    with open(path, "w", encoding="utf-8") as out:
        def line(**fields):
            out.write(json.dumps(fields, ensure_ascii=True) + "\n")
        for text in texts(rng, specials, count):
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            line(text=text, ids=ids,
                 plain=plain.encode(text, add_special_tokens=False).ids,
                 shown=tokenizer.decode(ids, skip_special_tokens=False),
                 hidden=tokenizer.decode(ids, skip_special_tokens=True))
        size = tokenizer.get_vocab_size()
        first = tokenizer.token_to_id("<0x00>")
        for number in range(count // 2):
            ids = [first + rng.choice([rng.randrange(256), 0xf0, 0x9f, 0x98, 0x80, 0xe5])
                   if rng.random() < 0.7 else rng.randrange(size)
                   for _ in range(rng.randrange(1, 12))]
            if number % 4 == 0:
                ids += [first + b for b in "é😀".encode()]
            line(ids=ids, shown=tokenizer.decode(ids, skip_special_tokens=False),
                 hidden=tokenizer.decode(ids, skip_special_tokens=True))


def main():
    nano, folder = sys.argv[1:]
    with open(folder + "/synthetic.json", "w", encoding="utf-8") as out:
        json.dump(synthetic(), out, ensure_ascii=False, indent=1)
        out.write("\n")
    for path, name in [(folder + "/synthetic.json", "synthetic"), (nano, "nano")]:
        tokenizer = Tokenizer.from_file(path)
        specials = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
        write(tokenizer, f"{folder}/{name}.jsonl", specials, 400)


main()
