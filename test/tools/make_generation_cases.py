#!/usr/bin/env python3
"""Records how transformers takes what checkpoints say of generation.

  make_generation_cases.py OUT_JSONL

Needs the PyPI package `transformers`; of its module generation.utils, which
wants torch, only the text of two functions is used: those that complete a
GenerationConfig and that choose the steps of sampling. One object a line:
`config` and `generation` (texts of config.json and generation_config.json, null:
no such file), then `refused` (why transformers stops) or what it does in
effect: `temperature` (0: the most likely token), `top_k` (0: all), `top_p`,
`min_p`, `suppress` (ids of the vocabulary) and `other` (its further steps).
"""
import ast
import copy
import json
import os
import sys
import tempfile
from types import SimpleNamespace

import transformers
from transformers.generation.configuration_utils import GenerationConfig, GenerationMode

VOCAB = 200
SAMPLED = {"do_sample": True, "temperature": 0.7, "top_k": 40, "top_p": 0.9}
CONFIG = {"model_type": "gemma4", "eos_token_id": [1, 106],
          "text_config": {"model_type": "gemma4_text", "vocab_size": VOCAB, "eos_token_id": 1}}

# Values that trainers, converters and people leave, by key.
VALUES = {
    "do_sample": [None, False, True, 0, 1, "", "true"],
    "temperature": [None, 0, 0.0, 1, 1.0, 0.1, 0.6, 1.5, 1e-05, 2, 2.0, -1, -1.0, True, False],
    "top_k": [None, 0, 0.0, -1, 1, 20, 50, 64, 199, 200, 1000, 262144, 40.0, True, False],
    "top_p": [None, 0, 0.0, 1, 1.0, 0.5, 0.95, 1.5, -1, -1.0, 1e-06, True, False],
    "min_p": [None, 0, 0.0, 0.05, 0.1, 1, 1.0, -1, 2],
    "suppress_tokens": [None, [], [7], [9, 7, 9], [199, 200, 262144], [-1, 3], [5.0]],
    "eos_token_id": [None, 1, 106, [1, 106, 50], [], [200], -1, [1, -1], 1.0],
    "pad_token_id": [None, 0, -1, 262144],
    "bos_token_id": [None, 2, 262144],
    "repetition_penalty": [None, 1, 1.0, 1.1],
    "num_beams": [None, 1, 4],
    "typical_p": [None, 1.0, 0.9],
    "epsilon_cutoff": [0.0, 0.0003],
    "eta_cutoff": [0.0, 0.002],
    "top_h": [None, 0.4],
    "no_repeat_ngram_size": [0, 3],
    "guidance_scale": [None, 1, 1.5],
    "bad_words_ids": [None, [[7]]],
    "min_new_tokens": [None, 4],
    "begin_suppress_tokens": [None, [7]],
    "penalty_alpha": [None, 0.6],
    "max_length": [20, 8192],
    "max_new_tokens": [1, 2048],
    "cache_implementation": ["hybrid", "static"],
    "transformers_version": ["4.57.0"],
    "trust_remote_code": [False],
}


def texts():
    """(config, generation) of every case."""
    released = {"bos_token_id": 2, "eos_token_id": [1, 106, 50], "pad_token_id": 0, "top_k": 64, "top_p": 0.95,
                "temperature": 1.0, "do_sample": True, "transformers_version": "5.5.0.dev0"}
    yield CONFIG, released
    yield CONFIG, {**released, "suppress_tokens": [183, 182]}
    yield CONFIG, {}
    yield CONFIG, {"do_sample": True}
    for base in ({}, {"do_sample": True}, SAMPLED, {**SAMPLED, "do_sample": False}):
        for key, values in VALUES.items():
            small = key not in ("temperature", "top_k", "top_p", "min_p", "suppress_tokens", "do_sample")
            if small and base not in ({"do_sample": True}, {}):
                continue
            if base.get("do_sample") is False and key != "do_sample":
                values = values[:4]
            for value in values:
                yield CONFIG, {**base, key: value}
    for gone in SAMPLED:
        yield CONFIG, {k: v for k, v in SAMPLED.items() if k != gone}
        yield CONFIG, {k: v if k != gone else None for k, v in SAMPLED.items()}
    # No file of its own: config.json says it, its top level first.
    yield CONFIG, None
    for top, text in ((SAMPLED, {}), ({}, SAMPLED), ({"do_sample": True}, {"top_k": 5, "top_p": 0.5}),
                      ({"top_k": 7, "do_sample": None}, SAMPLED), ({"temperature": 0.5}, {"do_sample": True}),
                      ({"do_sample": False}, SAMPLED), ({"suppress_tokens": [3, 400]}, {}),
                      ({}, {"suppress_tokens": [4]}), ({"top_p": 0.0, "do_sample": True}, {"top_p": 0.4})):
        yield {**CONFIG, **top, "text_config": {**CONFIG["text_config"], **text}}, None
    # With one, config.json says nothing.
    yield {**CONFIG, **SAMPLED}, {}
    yield {**CONFIG, **SAMPLED}, {"do_sample": True}


def functions():
    """The two functions, over stand-ins for the steps of sampling that keep
    what these check of their arguments."""
    folder = os.path.join(os.path.dirname(transformers.__file__), "generation")

    def read(name):
        with open(os.path.join(folder, name)) as f:
            return ast.parse(f.read())

    def run(nodes, names):
        tree = ast.Module(nodes, [])
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                node.decorator_list, node.returns = [], None
                for argument in [*node.args.args, *node.args.kwonlyargs, node.args.kwarg]:
                    if argument:
                        argument.annotation = None
        exec(compile(tree, folder, "exec"), names)

    class Quiet:
        def __getattr__(self, name):
            return lambda *a, **k: None

    names = {"GenerationConfig": GenerationConfig, "copy": copy, "logger": Quiet(), "warnings": Quiet(),
             "torch": SimpleNamespace(Tensor=int),
             "LogitsProcessor": object, "LogitsProcessorList": list}
    steps = []
    for node in read("logits_process.py").body:
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Warper", "Processor", "Normalization")):
            init = [f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
            sampling = node.name.split("Logits")[0] in ("Temperature", "TopK", "TopP", "MinP")
            if sampling:
                steps.append(ast.ClassDef(node.name, [], [], init, []))
            else:
                names[node.name] = type(node.name, (), {"__init__": lambda self, *a, **k: setattr(self, "args", a)})
    for step in steps:
        ast.fix_missing_locations(step)
    run(steps, names)
    mixin = next(n for n in read("utils.py").body if isinstance(n, ast.ClassDef) and n.name == "GenerationMixin")
    wanted = ("_prepare_generation_config", "_get_logits_processor")
    methods = [f for f in mixin.body if isinstance(f, ast.FunctionDef) and f.name in wanted]
    assert len(methods) == 2
    run(methods, names)
    return [names[name] for name in wanted]


def load(folder):
    """As GenerationMixin.adjust_generation_fn."""
    try:
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:
        return GenerationConfig.from_pretrained(folder, config_file_name="config.json", _from_model_config=True,
                                                local_files_only=True)


def effect(folder, prepare, choose):
    model = SimpleNamespace(generation_config=load(folder),
                            config=SimpleNamespace(_get_generation_parameters=lambda: {}, is_encoder_decoder=False),
                            _merge_criteria_processor_list=lambda own, more: own)
    full, _ = prepare(model, None)
    full._eos_token_tensor = [1]
    steps = {type(s).__name__: s for s in choose(model, full, input_ids_seq_length=4, logits_processor=[])}
    result = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "suppress": []}
    for key, step in (("temperature", "TemperatureLogitsWarper"), ("top_k", "TopKLogitsWarper"),
                      ("top_p", "TopPLogitsWarper"), ("min_p", "MinPLogitsWarper")):
        if step in steps:
            result[key] = getattr(steps.pop(step), key)
    if result["top_k"] >= VOCAB:
        result["top_k"] = 0
    if not full.do_sample:
        result.update(temperature=0.0)
    if "SuppressTokensLogitsProcessor" in steps:
        ids = steps.pop("SuppressTokensLogitsProcessor").args[0]
        result["suppress"] = sorted({int(i) for i in ids if 0 <= i < VOCAB and i == int(i)})
    mode = full.get_generation_mode()
    if mode not in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE):
        steps[mode.value] = None
    return {**result, "other": sorted(steps)}


def main():
    prepare, choose = functions()
    seen = set()
    with open(sys.argv[1], "w") as out:
        for config, generation in texts():
            case = {"config": json.dumps(config), "generation": generation and json.dumps(generation)}
            if generation == {}:
                case["generation"] = "{}"
            if str(case) in seen:
                continue
            seen.add(str(case))
            with tempfile.TemporaryDirectory() as folder:
                for name, text in (("config", case["config"]), ("generation_config", case["generation"])):
                    if text is not None:
                        with open(f"{folder}/{name}.json", "w") as f:
                            f.write(text)
                try:
                    case.update(effect(folder, prepare, choose))
                except (ValueError, TypeError) as error:
                    case["refused"] = str(error).split(" -- ")[0][:120]
            out.write(json.dumps(case) + "\n")
    print(f"{len(seen)} cases of transformers {transformers.__version__}")


main()
