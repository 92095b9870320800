#!/usr/bin/env python3
"""gemmac --inspect beside the files themselves and beside a compilation:

  check_inspect.py GEMMAC EXAMPLES GOLDEN CONFIGS WORK

What it says of a folder or a GGUF file is what is in them (read here anew), its
findings and warnings are those of `gemmac --remarks`, a refusal is that of the
compilation, and nothing is written.
"""

import json
import os
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import checks
from checks import expect

GEMMAC = shutil.which(sys.argv[1])
EXAMPLES, GOLDEN, CONFIGS, WORK = map(os.path.abspath, sys.argv[2:6])
TARGET = "--target=x86-avx512"


def call(*arguments):
    empty = f"{WORK}/empty"
    os.makedirs(empty, exist_ok=True)
    done = subprocess.run([GEMMAC, *arguments], capture_output=True, text=True, cwd=empty, timeout=300)
    if "--inspect" in arguments:
        expect(not os.listdir(empty), f"{arguments}: wrote {os.listdir(empty)}")
    return done


def inspect(path, *more, code=0):
    done = call("--inspect", "--json", path, TARGET, *more)
    expect(done.returncode == code, f"{path}: exit {done.returncode}: {done.stderr}")
    found = json.loads(done.stdout)
    expect(found["can_compile"] == (code == 0 and "tensors" in found), f"{path}: can_compile {found['can_compile']}")
    screen = call("--inspect", path, TARGET, *more)
    expect(screen.returncode == code, f"{path}: exit {screen.returncode} without --json")
    for line in screen.stdout.splitlines():
        expect(len(line) <= 80 or " " not in line[14:].strip(), f"a long line: {line}")
    words = " ".join(screen.stdout.split())
    quantised = sorted(set(found.get("tensors", {}).get("types", [])) - {"F32", "F16", "BF16"})
    told = "quantised " + ("tensors of type " + ", ".join(quantised) if quantised else "no tensor")
    expect(told in words or "tensors" not in found, f"the screen lacks: {told}")
    told = [f["text"] for f in found["findings"]] + found["warnings"]
    for text in told + ([found["error"]["message"]] if "error" in found else []):
        expect(" ".join(text.split()) in words, f"the screen lacks: {text}\n{screen.stdout}")
        expect(text not in done.stderr + screen.stderr or code, f"told twice: {text}")
    return found


def header(path):
    with open(path, "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        head = json.loads(f.read(size))
    head.pop("__metadata__", None)
    return head


def check_folder():
    for name in "nano-e", "nano-m":
        folder = f"{EXAMPLES}/{name}"
        found = inspect(folder)
        with open(f"{folder}/config.json") as f:
            config = json.load(f)
        text = config["text_config"]
        model = found["model"]
        for ours, theirs in ("layers", "num_hidden_layers"), ("hidden", "hidden_size"), ("vocab", "vocab_size"), \
                ("heads", "num_attention_heads"), ("window", "sliding_window"), ("max_context", "max_position_embeddings"):
            expect(model[ours] == text[theirs], f"{name}: {ours} {model[ours]}, {theirs} {text[theirs]}")
        expect([t + "_attention" for t in model["layer_types"]] ==
               [t.replace("full", "global") for t in text["layer_types"]], f"{name}: {model['layer_types']}")
        files = sorted(f"{folder}/{name}" for name in os.listdir(folder) if name.endswith(".safetensors"))
        tensors = {n: t for file in files for n, t in header(file).items()}
        types = {}
        for tensor in tensors.values():
            share = types.setdefault(tensor["dtype"], {"tensors": 0, "bytes": 0})
            share["tensors"] += 1
            share["bytes"] += tensor["data_offsets"][1] - tensor["data_offsets"][0]
        expect(found["tensors"]["types"] == types, f"{name}: {found['tensors']['types']} for {types}")
        expect([f["bytes"] for f in found["tensors"]["files"]] == list(map(os.path.getsize, files)), "sizes of files")
        with open(f"{folder}/generation_config.json") as f:
            generation = json.load(f)
        for key in "temperature", "top_k", "top_p":
            expect(found["generation"][key] == generation[key], f"{name}: {key} {found['generation'][key]}")
        expect(set(found["generation"]["stop"]) >= set(generation["eos_token_id"]), "stop")
        expect(found["chat"]["template"].endswith("chat_template.jinja"), f"{found['chat']}")
        expect(found["tokenizer"]["tokens"] == text["vocab_size"], "tokens")


def check_formats():
    """What --quant makes of the matrices, and how large the program's weights are."""
    sizes = {}
    for quant, format in ("auto", "bf16"), ("f32", "f32"), ("q8", "q8_0"), ("q4", "q4_bf"):
        found = inspect(f"{EXAMPLES}/nano-e", f"--quant={quant}")
        formats = {f["format"] for f in found["tensors"]["formats"]}
        expect(format in formats, f"{quant}: {formats}")
        sizes[quant] = found["program"]["weights_bytes"]
        if quant != "q4":
            continue
        program = f"{WORK}/{quant}"
        subprocess.run([GEMMAC, f"{EXAMPLES}/nano-e", TARGET, f"--quant={quant}", "-o", program, "-q"], check=True)
        info = json.loads(subprocess.run([program, "info", "--json"], capture_output=True, check=True).stdout)
        expect(found["program"] == {"target": "x86-avx512", "weights_bytes": info["weights_bytes"]},
               f"{quant}: {found['program']}, the program has {info['weights_bytes']}")
    expect(sizes["q4"] < sizes["q8"] < sizes["auto"] < sizes["f32"], f"{sizes}")


def compare_remarks(path):
    found = inspect(path)
    done = call(path, TARGET, "--remarks", "-q", "-o", f"{WORK}/program")
    lines = done.stderr.splitlines()
    for finding in found["findings"]:
        expect(f"gemmac: remark: {finding['text']}" in lines, f"{path}: no remark {finding}\n{done.stderr}")
    for warning in found["warnings"]:
        expect(f"gemmac: warning: {warning}" in lines, f"{path}: no warning {warning}")
    return found


def check_remarks():
    compare_remarks(f"{GOLDEN}/gguf/nano-m-Q4_0.gguf")
    # Nothing that helps: no template, no file on generation, and a broken one.
    folder = f"{WORK}/left-out"
    shutil.copytree(f"{EXAMPLES}/nano-e", folder)
    for name in "generation_config.json", "chat_template.jinja":
        os.remove(f"{folder}/{name}")
    open(f"{folder}/added_tokens.json", "w").close()
    found = compare_remarks(folder)
    expect(any("added_tokens.json" in w and "ignored" in w for w in found["warnings"]), f"{found['warnings']}")
    expect(found["chat"]["protocol"] == "small" and found["chat"]["template"] == "", f"{found['chat']}")
    expect(any("has no chat template" in w for w in found["warnings"]), f"{found['warnings']}")
    expect({f["about"] for f in found["findings"]} >= {"template", "sampling", "end tokens"}, f"{found['findings']}")


def check_gguf():
    found = inspect(f"{GOLDEN}/gguf/nano-e-Q4_0.gguf")
    formats = {(f["type"], f["format"]) for f in found["tensors"]["formats"]}
    expect(found["kind"] == "gguf" and {("Q4_0", "q4_0"), ("Q8_0", "q8_0")} <= formats, f"{formats}")


def check_configuration_alone():
    found = inspect(f"{CONFIGS}/E2B")
    expect("tensors" not in found and found["model"]["variant"] == "E2B", f"{found}")
    expect(found["model"]["towers"] == ["vision", "audio"], f"{found['model']['towers']}")
    kinds = {}
    for model in "E2B", "E4B", "12B", "26B-A4B", "31B":
        kinds[model] = [t["kind"] for t in inspect(f"{CONFIGS}/{model}")["towers"]]
    expect(kinds == {"E2B": ["small", "conformer"], "E4B": ["small", "conformer"], "12B": ["without layers", "raw frames"],
                     "26B-A4B": ["large"], "31B": ["large"]}, f"{kinds}")


def check_towers():
    """Sizes and tensors of towers in folders and in files of their own, and what flags leave out."""
    folder = f"{GOLDEN}/tiny-e-mm"
    with open(f"{folder}/config.json") as f:
        config = json.load(f)
    types = {"vision": {}, "audio": {}}
    for name, tensor in header(f"{folder}/model.safetensors").items():
        if "language_model" not in name:
            share = types["audio" if "audio" in name else "vision"].setdefault(tensor["dtype"], {"tensors": 0, "bytes": 0})
            share["tensors"] += 1
            share["bytes"] += tensor["data_offsets"][1] - tensor["data_offsets"][0]
    vision, audio = inspect(folder)["towers"]
    expect([vision["medium"], audio["medium"]] == ["vision", "audio"], f"{vision} {audio}")
    expect(vision["types"] == types["vision"] and audio["types"] == types["audio"], f"{vision['types']} {audio['types']}")
    for tower, ours, theirs in (vision, "width", "hidden_size"), (vision, "layers", "num_hidden_layers"), \
            (vision, "positions", "position_embedding_size"), (vision, "clipped", "use_clipped_linears"), \
            (audio, "width", "hidden_size"), (audio, "heads", "num_attention_heads"), (audio, "output", "output_proj_dims"):
        expected = config[tower["medium"] + "_config"][theirs]
        expect(tower["sizes"][ours] == expected, f"{ours} {tower['sizes'][ours]}, {theirs} {expected}")
    # The budget of the example is that of its processor_config.json.
    sizes = inspect(f"{EXAMPLES}/nano-e")["towers"][0]["sizes"]
    expect((sizes["budget"], sizes["video_budget"]) == (70, 70), f"{sizes}")
    expect((vision["sizes"]["budget"], vision["sizes"]["video_budget"]) == (280, 70), f"{vision['sizes']}")
    without = inspect(folder, "--no-audio")["towers"]
    expect(without[0]["sizes"] == vision["sizes"] and "sizes" not in without[1], f"{without}")
    expect(without[1]["left_out"] == "--no-audio" and not without[1]["compiled"], f"{without}")
    model, towers = f"{WORK}/m.gguf", f"{WORK}/towers.gguf"
    subprocess.run([sys.executable, os.path.join(os.path.dirname(checks.__file__), "make_mmproj.py"), folder, f"--model={model}",
                    f"--towers={towers}", "--type=q8_0"], check=True)
    expect(inspect(model)["towers"] == [], "towers that are not there")
    found = inspect(model, f"--mmproj={towers}")
    files = {os.path.basename(f["path"]) for f in found["tensors"]["files"]}
    expect(files == {"m.gguf", "towers.gguf"}, f"{files}")
    expect([t["sizes"] for t in found["towers"]] == [vision["sizes"], audio["sizes"]], f"{found['towers']}")
    expect(found["towers"][1]["types"]["Q8_0"]["tensors"] > 10, f"{found['towers'][1]['types']}")
    expect(any(f["about"] == "towers" and towers in f["text"] for f in found["findings"]), f"{found['findings']}")


def check_refusals():
    """The code and sentence of the compilation, and what was known before."""

    def altered(name, change):
        folder = f"{WORK}/{name}"
        shutil.copytree(f"{EXAMPLES}/nano-e", folder)
        change(folder)
        return folder

    def pointer(folder):
        with open(f"{folder}/model.safetensors", "w") as f:
            f.write("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12\n")

    def cut(folder):
        with open(f"{folder}/model.safetensors", "r+b") as f:
            f.truncate(5000)

    def other_model(folder):
        with open(f"{folder}/config.json", "w") as f:
            json.dump({"model_type": "llama"}, f)

    def no_config(folder):
        os.remove(f"{folder}/config.json")

    for name, change, code, known in ("pointer", pointer, 3, True), ("cut", cut, 3, True), \
            ("other", other_model, 4, False), ("no-config", no_config, 3, False):
        path = altered(name, change)
        found = inspect(path, code=code)
        error = call(path, TARGET, "-q", "-o", f"{WORK}/none").stderr.strip().splitlines()[-1]
        expect(found["error"]["code"] == code and error == "gemmac: error: " + found["error"]["message"],
               f"{name}: {found['error']}, compiling says {error}")
        expect(("model" in found) == known, f"{name}: {sorted(found)}")
    found = inspect(f"{WORK}/nowhere", code=3)
    expect("nowhere" in found["error"]["message"], f"{found}")


def check_usage():
    for flags in ["-o", "x"], ["--compile-to=plan"], ["--emit=asm"], ["--dump-to=d"], ["--verify=f"], ["--compile-from=f"]:
        done = call("--inspect", f"{EXAMPLES}/nano-e", *flags)
        expect(done.returncode == 2 and "--inspect" in done.stderr, f"{flags}: {done.returncode} {done.stderr}")
    expect(call("--json", f"{EXAMPLES}/nano-e").returncode == 2, "--json alone")
    done = call("--inspect", f"{EXAMPLES}/nano-e", "--target=z80")
    expect(done.returncode == 2 and not done.stdout, f"{done}")


shutil.rmtree(WORK, ignore_errors=True)
os.makedirs(WORK)
checks.run([check_folder, check_formats, check_remarks, check_gguf, check_configuration_alone, check_towers, check_refusals,
            check_usage], sys.argv[6:])
