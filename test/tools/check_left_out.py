#!/usr/bin/env python3
"""Checkpoints that lack what tells a program when to stop, how to speak and which ids are tokens:

  check_left_out.py GEMMAC EXAMPLES GOLDEN WORK TARGET

A folder and a GGUF file of nano-e have rows behind the vocabulary (fewer of them
in the per-layer table), end tokens of which <turn|> is not one, no sampling
fields and no template: the program answers all the same, says why, and never
generates what is no token.
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys

import gguf

QUESTION, ANSWER = "What is the capital of France?", "The capital of France is Paris.\n"
ROWS, PLE_ROWS, TOKENS = 2112, 2080, 2048


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    (size,) = struct.unpack_from("<Q", data)
    head = json.loads(data[8 : 8 + size])
    head.pop("__metadata__", None)
    return {n: (e["dtype"], e["shape"], data[8 + size + e["data_offsets"][0] : 8 + size + e["data_offsets"][1]])
            for n, e in head.items()}


def write_safetensors(path, tensors):
    head, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def make_folder(source, folder):
    shutil.copytree(source, folder)
    for name in "generation_config.json", "chat_template.jinja":
        os.remove(f"{folder}/{name}")
    tensors = read_safetensors(f"{folder}/model.safetensors")
    for name, rows in ("embed_tokens", ROWS), ("embed_tokens_per_layer", PLE_ROWS):
        name = f"model.language_model.{name}.weight"
        dtype, shape, data = tensors[name]
        tensors[name] = dtype, [rows, shape[1]], data + bytes(len(data) // shape[0] * (rows - shape[0]))
    write_safetensors(f"{folder}/model.safetensors", tensors)
    with open(f"{folder}/config.json") as f:
        config = json.load(f)
    config["eos_token_id"] = [1, -1]
    config["text_config"].update(vocab_size=ROWS, vocab_size_per_layer_input=PLE_ROWS)
    with open(f"{folder}/config.json", "w") as f:
        json.dump(config, f)


def make_gguf(source, path):
    file = gguf.Gguf(source)
    for name, rows in ("token_embd.weight", ROWS), ("per_layer_token_embd.weight", PLE_ROWS):
        tensor = file.tensor(name)
        tensor.data = bytes(tensor.data) + bytes(len(tensor.data) // tensor.ne[1] * (rows - tensor.ne[1]))
        tensor.ne[1] = rows
    for key in list(file.entries):
        if key.startswith("general.sampling") or "chat_template" in key or re.search(r"eo[tm]_token_id", key):
            del file.entries[key]
    file.entries["tokenizer.ggml.eos_token_id"] = 4, 1
    file.entries["tokenizer.ggml.tokens"][1][1].extend(b"[PAD%d]" % i for i in range(TOKENS, ROWS))
    file.entries["tokenizer.ggml.token_type"][1][1].extend([5] * (ROWS - TOKENS))
    for key, fill in ("scores", 0.0),:
        if f"tokenizer.ggml.{key}" in file.entries:
            file.entries[f"tokenizer.ggml.{key}"][1][1].extend([fill] * (ROWS - TOKENS))
    file.write(path)


def output(*args):
    return subprocess.run(args, check=True, capture_output=True, text=True, timeout=300).stdout


def check(gemmac, model, program, target):
    said = subprocess.run([gemmac, model, "-o", program, f"--target={target}", "--remarks"], check=True,
                          capture_output=True, text=True, timeout=600).stderr
    for words in (f"{ROWS} rows for {TOKENS} tokens: ids from {TOKENS} on are never generated",
                  "warning: .*has no chat template: the program speaks the small form",
                  r"remark: texts end at 1, 40, 47 \(.* and the chat protocol\)",
                  r"remark: always the most likely token, as transformers \(no file says how to generate\)"):
        assert re.search(words, said), f"{words} is not in:\n{said}"
    info = json.loads(output(program, "info", "--json"))
    assert info["model"]["vocab"] == ROWS, info["model"]
    sampling = info["sampling"]
    assert (sampling["temperature"], sampling["top_k"], sampling["top_p"], sampling["min_p"]) == (0, 50, 1, 0), sampling
    assert sampling["stop"] == [1, 40, 47] and sampling["limit"] == TOKENS, sampling
    for _ in range(2): # by itself always the same
        answer = output(program, "run", QUESTION)
        assert answer == ANSWER, answer
    # Flat draws: by top and by logits. A padding row would come up once in 33 tokens.
    for more in ["--top-k", "64"], ["--top-k", "0"]:
        ids = output(program, "run", "-p", QUESTION, "--ignore-eos", "-n", "200", "--temp", "1000", "--top-p", "1", "-s", "3",
                     "--print-tokens", *more).split()
        assert len(ids) == 200 and max(map(int, ids)) < TOKENS, ids
    # Rows are read as long as all tables have one.
    with open(f"{program}.ids", "w") as f:
        f.write(f"2 {PLE_ROWS - 1} 5")
    output(program, "eval", "--tokens", f"{program}.ids")
    with open(f"{program}.ids", "w") as f:
        f.write(f"2 {PLE_ROWS} 5")
    done = subprocess.run([program, "eval", "--tokens", f"{program}.ids"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3 and f"token id {PLE_ROWS} is outside" in done.stderr, done.stderr


def main():
    gemmac, examples, golden, work, target = sys.argv[1:]
    os.makedirs(work)
    make_folder(f"{examples}/nano-e", f"{work}/folder")
    make_gguf(f"{golden}/nano-e-Q4_0.gguf", f"{work}/m.gguf")
    for model in "folder", "m.gguf":
        check(gemmac, f"{work}/{model}", f"{work}/{model}-program", target)
    # Without a tokenizer too, what could not be read is not generated.
    os.remove(f"{work}/folder/tokenizer.json")
    found = json.loads(output(gemmac, "--inspect", "--json", f"{work}/folder", f"--target={target}"))
    assert found["generation"]["limit"] == PLE_ROWS, found["generation"]


main()
