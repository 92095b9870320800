#!/usr/bin/env python3
"""Records how transformers takes added tokens of a Gemma 4 folder.

  make_added_token_cases.py MODEL_FOLDER OUT_JSONL

Needs the PyPI package `transformers`. MODEL_FOLDER is examples/nano-e. One
object a line: `added` (what is appended to the added_tokens of its
tokenizer.json), `files` (other files of the folder, as values; null: removed)
and `texts`: [text, ids, ids with special tokens taken as text, ids decoded].
"""
import json
import os
import random
import shutil
import sys
import tempfile

from transformers import AutoTokenizer

FLAGS = ("normalized", "lstrip", "rstrip", "single_word", "special")
CONTENTS = ["<x>", "<xy>", "my token", "a\u2581b", " lead", "tail ", "cat", "cats", "日本", "\n\n", "x\u00a0y", "The",
            "<|turn>", "éa", "  ", "9", "_", "<turn|>"]
PARTS = ["<x>", "<xy", "y>", "my token", "my\u2581token", "my", "token", "a b", "a\u2581b", "cat", "cats", "ca", "s", "日本",
         "日", " ", "  ", "\n", "\n\n", "\t", "\u00a0", "\u2003", "\u2581", "The", "<|turn>", "<turn|>", "é", "éa", "\u0301", "9", "_",
         "-", ".", "x", "y", "\u200d", "(", "лес", "😀"]


def token(id, content, **flags):
    return {"id": id, "content": content, **dict.fromkeys(FLAGS, False), **flags}


def without_id(item):
    return {key: value for key, value in item.items() if key != "id"}


def texts(rng, contents, count):
    for _ in range(count):
        yield "".join(rng.choice(contents if rng.random() < 0.4 else PARTS) for _ in range(rng.randrange(1, 9)))


def cases(config, rng):
    for number in range(90):
        contents = rng.sample(CONTENTS, rng.randrange(1, 6))
        yield [token(2048 + i, c, **{f: rng.random() < 0.4 for f in FLAGS}) for i, c in enumerate(contents)], {}, contents
    q = token(2048, "<q>")
    names = ["<q>", "<r>", "<z>", "zz y", "<p>", "<|turn>", "<|video|>"]

    def decoder(**tokens):
        return {"tokenizer_config.json": {**config, "added_tokens_decoder": {k[1:]: without_id(t) for k, t in tokens.items()}}}

    for added, files in (
            ([token(2100, "<q>")], {}),
            ([token(2100, "<q>"), token(2050, "<r>")], {}),
            ([token(7, "The")], {}),
            ([], {"added_tokens.json": {"<z>": 2048, "zz y": 2049}}),
            ([q], {"added_tokens.json": {"<q>": 2048, "<z>": 2049}}),
            ([], {"added_tokens.json": {"<p>": 2048}, "tokenizer_config.json": {**config, "pad_token": "<p>"}}),
            ([], decoder(_2048=q)),
            ([], decoder(_2060={**q, "special": True}, _2055={**q, "content": "<r>", "normalized": True})),
            ([{**q, "lstrip": True}], decoder(_2048={**q, "rstrip": True})),
            ([], {"tokenizer_config.json": {**config, "pad_token": "<p>", "eos_token": "The"}}),
            ([], {"tokenizer_config.json": {**config, "pad_token": {**without_id(q), "__type": "AddedToken", "content": "<p>"}}}),
            ([], {"special_tokens_map.json": {"pad_token": "<p>"}}),
            ([], {"tokenizer_config.json": {**config, "extra_special_tokens": ["<r>"]}}),
            ([q], {"tokenizer_config.json": None})):
        yield added, files, names


def main():
    model, path = sys.argv[1:]
    rng = random.Random(11)
    with open(f"{model}/tokenizer_config.json") as f:
        config = json.load(f)
    config.pop("response_schema", None)
    small = {k: v for k, v in config.items() if k.endswith("_token") or k in ("tokenizer_class", "extra_special_tokens")}
    with open(path, "w") as out:
        for added, files, contents in cases(small, rng):
            with tempfile.TemporaryDirectory() as folder:
                for name in ("config.json", "tokenizer_config.json"):
                    shutil.copy(f"{model}/{name}", folder)
                with open(f"{model}/tokenizer.json") as f:
                    tokenizer = json.load(f)
                replaced = {t["content"] for t in added}
                tokenizer["added_tokens"] = [t for t in tokenizer["added_tokens"] if t["content"] not in replaced] + added
                for name, value in {"tokenizer.json": tokenizer, **files}.items():
                    os.remove(f"{folder}/{name}") if value is None else json.dump(value, open(f"{folder}/{name}", "w"))
                made = AutoTokenizer.from_pretrained(folder)
                lines = []
                for text in texts(rng, contents, 14):
                    made._tokenizer.encode_special_tokens = False
                    ids = made.encode(text, add_special_tokens=False)
                    made._tokenizer.encode_special_tokens = True
                    plain = made._tokenizer.encode(text, add_special_tokens=False).ids
                    lines.append([text, ids, plain, made.decode(ids, clean_up_tokenization_spaces=False)])
            out.write(json.dumps({"added": added, "files": files, "texts": lines}) + "\n")


main()
