#!/usr/bin/python3
"""What real savers and converters write of the demo models, without their weights:
recorded once (test/Inputs/savers.json), built again from the demo weights and
compiled.

  savers.py check [WORD...]                 entries whose key holds one of the words
  savers.py record KEY SOURCE MADE PACKAGE...    MADE: the folder or GGUF file that the packages, as
                                            NAME==VERSION, wrote of the demo model SOURCE (a folder)

An entry says what differs from the source: files, metadata of the safetensors
headers, names that are gone ("all": each has another) and new (layers as {}), types, changed and removed
keys of the JSON files. Of a GGUF file: entries but for the tokenizer's arrays, and
types of tensors.

`check` compiles each with gemmac-cached --quant=f32: greedy ids as transformers'
for the source (examples/eval/greedy.jsonl), or, where the entry has "refused", exit
code and a word of the message."""
import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import gguf
import make_checkpoint
from alter import model
from alter.cached import keep_code

TABLE = os.path.join(HERE, "..", "Inputs", "savers.json")
JSONS = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors.index.json")


#===-- reading --------------------------------------------------------------===#


def headers(folder):
    """-> {file: (metadata, {name: Tensor without data})}"""
    found = {}
    for file in sorted(os.listdir(folder)):
        if file.endswith(".safetensors"):
            with open(os.path.join(folder, file), "rb") as f:
                head = json.loads(f.read(int.from_bytes(f.read(8), "little")))
            found[file] = (head.pop("__metadata__", None),
                           {k: model.Tensor(e["dtype"], e["shape"], e["data_offsets"]) for k, e in head.items()})
    return found


def tensors(folder):
    """-> {name: Tensor}"""
    out = {}
    for file, (_, named) in headers(folder).items():
        with open(os.path.join(folder, file), "rb") as f:
            data = f.read()
        base = 8 + int.from_bytes(data[:8], "little")
        out.update((k, t.copy(data=data[base + t.data[0]:base + t.data[1]])) for k, t in named.items())
    return out


def flat(value, path=()):
    if not isinstance(value, dict) or not value:
        return {path: value}
    out = {}
    for key, item in value.items():
        out.update(flat(item, path + (key,)))
    return out


def layered(names):
    """Names with {} for the layer, each with its layers."""
    found = collections.defaultdict(list)
    for name in names:
        number = re.search(r"layers\.(\d+)\.", name)
        found[re.sub(r"layers\.\d+\.", "layers.{}.", name, count=1)].append(int(number[1]) if number else None)
    return {name: [] if layers == [None] else sorted(layers) for name, layers in found.items()}


def unlayered(table):
    return [name.format(i) for name, layers in table.items() for i in layers or [0]]


#===-- recording ------------------------------------------------------------===#


def json_changes(source, made):
    old, new = flat(source), flat(made)
    return {"set": [[list(k), v] for k, v in new.items() if k not in old or old[k] != v],
            "removed": [list(k) for k in old if k not in new]}


def of_folder(source, made):
    old, new = tensors(source), headers(made)
    names = {k: t for _, named in new.values() for k, t in named.items()}
    entry = {"files": sorted(os.listdir(made)), "metadata": next(iter(new.values()))[0] if new else None,
             "gone": layered(k for k in old if k not in names) if names.keys() & old.keys() else "all", "new": layered(k for k in names if k not in old),
             "types": dict(collections.Counter(t.dtype for t in names.values()))}
    made_up = {k: t for k, t in names.items() if t.dtype == "U32" or "lora_" in k or k.endswith((".scales", ".biases"))}
    shapes = collections.defaultdict(list)
    for k, t in made_up.items():
        shapes[json.dumps([t.dtype, t.shape])].append(k)
    entry["shapes"] = [[*json.loads(shape), layered(some)] for shape, some in shapes.items()]
    if len(new) > 1:
        entry["shards"] = {file: len(named) for file, (_, named) in new.items()}
    for name in JSONS[:4]:
        if os.path.exists(os.path.join(made, name)) and os.path.exists(os.path.join(source, name)):
            a, b = model.read_json(source, name), model.read_json(made, name)
            if name == "config.json" and "text_config" not in b: # flat: whole
                entry[name] = b
            elif a != b:
                entry[name] = json_changes(a, b)
    return entry


def of_gguf(made):
    file = gguf.Gguf(made)
    entries = {}
    for key, (kind, value) in file.entries.items():
        if key.startswith("tokenizer.ggml.") and kind == gguf.ARRAY:
            entries[key] = [kind, value[0], len(value[1])]
        elif kind == gguf.STRING:
            entries[key] = [kind, len(value) if len(value) > 200 else value.decode()]
        else:
            entries[key] = [kind, list(value) if kind == gguf.ARRAY else value]
    types = collections.defaultdict(list)
    for t in file.tensors:
        types[t.kind].append(t.name.replace("blk.", "layers."))
    return {"entries": entries, "types": {kind: layered(names) for kind, names in types.items()}}


def record(a):
    table = {}
    if os.path.exists(TABLE):
        with open(TABLE) as f:
            table = json.load(f)
    key, source, made, *packages = a.words
    entry = {"source": os.path.basename(source.rstrip("/")), "packages": packages}
    entry.update(of_gguf(made) if made.endswith(".gguf") else of_folder(source, made))
    if a.refused:
        entry["refused"] = [a.refused[0], a.refused[1]]
        entry["refused"][0] = int(a.refused[0])
    table[key] = entry
    with open(TABLE, "w") as f:
        f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {{\n" + ",\n".join(
            f" {json.dumps(x)}: {json.dumps(y, ensure_ascii=False)}" for x, y in v.items()) + "}" for k, v in sorted(table.items()))
                + "\n}\n")


#===-- building -------------------------------------------------------------===#


def find(name, old):
    """The tensor of the source that a saver has given this name."""
    for to in (name, "model.language_model." + name.removeprefix("language_model.model."),
               "model.language_model." + name.removeprefix("model."), name.replace(".base_layer", "")):
        if to in old:
            return old[to]
    whole, _, part = name.rpartition(".switch_glu.")
    if not whole:
        return None
    part = part.split("_")[0]
    t = find(whole + (".down_proj" if part == "down" else ".gate_up_proj"), old)
    if part == "down":
        return t
    half = t.shape[1] // 2
    values = np.frombuffer(t.data, "<u2").reshape(t.shape)
    values = values[:, :half] if part == "gate" else values[:, half:]
    return model.Tensor(t.dtype, list(values.shape), values.tobytes())


def sizes(dtype, shape):
    return int(np.prod(shape, dtype=int)) * {"F32": 4, "U32": 4, "BF16": 2, "F16": 2, "I32": 4, "U8": 1}[dtype]


def apply(changes, value):
    for path in changes["removed"]:
        inner = value
        for key in path[:-1]:
            inner = inner.get(key, {})
        inner.pop(path[-1], None)
    for path, new in changes["set"]:
        inner = value
        for key in path[:-1]:
            if not isinstance(inner.get(key), dict):
                inner[key] = {}
            inner = inner[key]
        inner[path[-1]] = new
    return value


def build_folder(entry, source, out):
    os.makedirs(out)
    old = tensors(source)
    gone = set(old) if entry["gone"] == "all" else set(unlayered(entry["gone"]))
    names = [k for k in old if k not in gone] + unlayered(entry["new"])
    made = {}
    shapes = {name: (dtype, shape) for dtype, shape, some in entry["shapes"] for name in unlayered(some)}
    for name in names:
        if name in shapes:
            dtype, shape = shapes[name]
            made[name] = model.Tensor(dtype, shape, bytes(sizes(dtype, shape)))
            continue
        t = find(name, old)
        if t is None:
            sys.exit(f"savers.py: nothing in {source} is {name}")
        if "BF16" not in entry["types"]:
            dtype = next(iter(entry["types"]))
            t = model.Tensor(dtype, t.shape, model.encode(model.decode(t), dtype))
        made[name] = t
    if dict(collections.Counter(t.dtype for t in made.values())) != entry["types"]:
        sys.exit(f"savers.py: types {collections.Counter(t.dtype for t in made.values())}, recorded {entry['types']}")
    files = {f: None for f in entry["files"] if f.endswith(".safetensors")}
    rest = list(made.items())
    index = {}
    for file in files:
        count = entry.get("shards", {}).get(file, len(rest))
        part, rest = rest[:count], rest[count:]
        model.write_safetensors(os.path.join(out, file), part, entry["metadata"])
        index.update((name, file) for name, _ in part)
    for file in entry["files"]:
        path = os.path.join(out, file)
        if file.endswith(".safetensors"):
            continue
        if file == "model.safetensors.index.json":
            value = {"metadata": {"total_size": sum(len(t.data) for t in made.values())}, "weight_map": index}
        elif file in entry and "set" not in entry[file]:
            value = entry[file]
        elif file.endswith(".json") and os.path.exists(os.path.join(source, file)):
            value = model.read_json(source, file)
            if file in entry:
                value = apply(entry[file], value)
        elif file.endswith(".json"):
            value = {"peft_type": "LORA"} if file == "adapter_config.json" else {}
        else:
            with open(path, "wb") as f:
                if os.path.exists(os.path.join(source, file)):
                    with open(os.path.join(source, file), "rb") as g:
                        f.write(g.read())
            continue
        with open(path, "w") as f:
            json.dump(value, f, indent=1)


def build_gguf(entry, source, out):
    old = tensors(source)
    file = gguf.Gguf()
    folder = model.Folder.__new__(model.Folder)
    folder.tokenizer = model.read_json(source, "tokenizer.json")
    with open(os.path.join(source, "chat_template.jinja"), newline="") as f:
        folder.template = f.read()
    made = model.gguf_tokenizer(folder)
    for key, (kind, *value) in entry["entries"].items():
        if key in made and (kind == gguf.ARRAY or isinstance(value[0], int) and kind == gguf.STRING):
            file.entries[key] = made[key]
        elif kind == gguf.STRING:
            file.entries[key] = (kind, value[0].encode())
        else:
            file.entries[key] = (kind, tuple(value[0]) if kind == gguf.ARRAY else value[0])
    names = {make_checkpoint.gguf_name(k[len(model.PREFIX):]): t for k, t in old.items() if k.startswith(model.PREFIX)}
    config = model.read_json(source, "config.json")["text_config"]
    _, factors = make_checkpoint.entries(config, "bf16")
    for kind, named in entry["types"].items():
        for name in unlayered(named):
            name = name.replace("layers.", "blk.")
            if name == "rope_freqs.weight":
                file.tensors.append(gguf.Tensor(name, [len(factors)], int(kind), factors.tobytes()))
            else:
                file.tensors.append(gguf.Tensor(name, names[name].shape[::-1], int(kind), model.gguf_data(names[name], int(kind))))
    file.write(out)


#===-- checking -------------------------------------------------------------===#


def question(source):
    """The surest text of the demo model: ids and transformers' greedy ids."""
    best = None
    with open(os.path.join(model.EXAMPLES, "eval", "greedy.jsonl")) as f:
        for item in map(json.loads, f):
            if item["model"] == source and item["kind"] == "fact" and (best is None or min(item["margins"]) > min(best["margins"])):
                best = item
    return best["prompt_ids"], best["greedy_ids"]


def check_entry(entry, place, a):
    source = os.path.join(model.EXAMPLES, entry["source"])
    made = os.path.join(place, "made.gguf" if "entries" in entry else "made")
    (build_gguf if "entries" in entry else build_folder)(entry, source, made)
    program = os.path.join(place, "program")
    done = subprocess.run([a.gemmac, "-q", made, "--quant=f32", "--target=" + a.target, "-o", program], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if "refused" in entry:
        code, word = entry["refused"]
        right = done.returncode == code and word.lower() in done.stdout.lower()
        return "" if right else f"expects a refusal with {code} that says '{word}', got {done.returncode}: {done.stdout[-300:]}"
    if done.returncode:
        return f"ended with {done.returncode}: {done.stdout[-300:]}"
    prompt, expected = question(entry["source"])
    with open(os.path.join(place, "ids"), "w") as f:
        f.write(" ".join(map(str, prompt)))
    got = subprocess.run([program, "run", "--tokens", f.name, "--temp", "0", "--print-tokens", "-n", str(len(expected))],
                         stdout=subprocess.PIPE, text=True).stdout
    if list(map(int, got.split())) != expected:
        return f"ids {got.strip()}, transformers {expected}"
    if "chat_template.jinja" in entry.get("files", ()) and "tokenizer.json" in entry["files"] and "template" in done.stdout:
        return f"the template was not known: {done.stdout}"
    return ""


def check(a):
    with open(TABLE) as f:
        table = json.load(f)
    bad = done = 0
    for key, entry in table.items():
        if a.words and not any(word in key for word in a.words):
            continue
        with tempfile.TemporaryDirectory() as place:
            wrong = check_entry(entry, place, a)
        done += 1
        bad += bool(wrong)
        print(f"{'FAIL' if wrong else 'ok'} {key}{': ' + wrong if wrong else ''}", flush=True)
    print(f"{done - bad} of {done} good")
    sys.exit(1 if bad or not done else 0)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["check", "record"])
    p.add_argument("words", nargs="*")
    p.add_argument("--refused", nargs=2, help="of record: what is right, exit code and a word")
    p.add_argument("--gemmac", default="gemmac-cached")
    p.add_argument("--target", default="x86-avx512")
    p.add_argument("--code", help="folder where machine code is kept for the next run")
    a = p.parse_args()
    if a.code:
        keep_code(a.gemmac, a.code)
    (check if a.what == "check" else record)(a)


if __name__ == "__main__":
    main()
