"""Sends `PROGRAM serve` what nobody should: it must stay alive and answer.

check_serve_abuse.py PROGRAM [--count N] [--seed N] [--flags "..."]

N requests (SEED in the environment: others) whose JSON, HTTP or bytes are altered,
several on a connection. Behind each batch a good request must get its answer, and
memory must stay inside the plan (not for programs that sanitizers watch)."""
import argparse
import copy
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import checks
from checks import expect, fail

CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 5}}, "required": ["city"]}
CHAT = {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hello."}]},
                                   {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
                                   {"role": "tool", "tool_call_id": "c", "content": "x"}, {"role": "user", "content": "And?"}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": CITY}}], "tool_choice": "auto", "temperature": 0.5, "top_p": 0.9,
        "seed": 3, "stop": ["x"], "n": 1, "logit_bias": {"5": 1}, "logprobs": True, "top_logprobs": 1, "stream": True, "stream_options": {"include_usage": True},
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": 3}, {"enum": ["a", None]}]}}}},
        "reasoning_effort": "low", "max_tokens": 2}
PICTURE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
SOUND = "UklGRiwAAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YQgAAAAAAAEAAgADAA=="
SEEN = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}, {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}},
                                                  {"type": "text", "text": "?"}]}], "max_tokens": 1}
TEXT = {"prompt": "A", "max_tokens": 2, "logprobs": 2, "echo": True, "stop": "b", "grammar": 'root ::= "a" [b-d]+ | "\\n" root'}
INPUT = {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}, {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}]},
                   {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, {"type": "function_call_output", "call_id": "c", "output": "o"}],
         "tools": [{"type": "function", "name": "f", "parameters": CITY}], "text": {"format": {"type": "json_schema", "schema": CITY}}, "max_output_tokens": 2, "include": ["x"]}
CLAUDE = {"system": [{"type": "text", "text": "s"}], "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "x"}, {"type": "text", "text": "y"}]},
                                                                 {"role": "assistant", "content": [{"type": "thinking", "thinking": "t"}, {"type": "tool_use", "id": "c", "name": "f", "input": {}}]}],
          "tools": [{"name": "f", "input_schema": CITY}], "tool_choice": {"type": "any"}, "thinking": {"type": "enabled", "budget_tokens": 4}, "max_tokens": 2, "stop_sequences": ["z"]}
LLAMA = {"prompt": [5, "a"], "n_predict": 2, "n_probs": 2, "logit_bias": [[5, 1], ["b", False]], "return_tokens": True, "response_fields": ["content", "generation_settings/seed"], "id_slot": 0, "stream": True}
GOOD = [("POST", "/v1/chat/completions", CHAT), ("POST", "/v1/completions", TEXT), ("POST", "/v1/responses", INPUT), ("POST", "/v1/messages", CLAUDE),
        ("POST", "/v1/messages/count_tokens", CLAUDE), ("POST", "/tokenize", {"content": "a", "add_special": True, "with_pieces": True}), ("POST", "/detokenize", {"tokens": [2, 5]}),
        ("POST", "/apply-template", CHAT), ("POST", "/completion", LLAMA), ("POST", "/slots/0?action=save", {"filename": "x"}), ("POST", "/v1/chat/completions", SEEN), ("GET", "/v1/models", None), ("GET", "/props", None), ("GET", "/metrics", None)]
VALUES = [None, True, False, 0, -1, 1, 2 ** 31, -2 ** 63, 2 ** 64, 1e308, 0.1, "", "a", "\u0000", "\ud83d\ude00" * 3, "<|turn>", "x" * 3000, [], {}, [[]], [None], {"a": {}}, "9" * 400,
          {"type": "string", "pattern": "(a*)*b{3,900}"}, {"$ref": "#"}, {"type": "object", "properties": {str(i): {} for i in range(70)}}, {"enum": list(range(300))},
          {"anyOf": [{"type": "string", "minLength": 10 ** 9}] * 5}, {"type": "array", "items": {"$ref": "#/items"}, "minItems": 10 ** 6}, 'root ::= root | "a" root']
KEYWORDS = ["type", "properties", "items", "enum", "const", "anyOf", "allOf", "oneOf", "not", "pattern", "minLength", "maxLength", "minimum", "maximum", "multipleOf", "minItems", "maxItems", "required",
            "additionalProperties", "patternProperties", "$ref", "$defs", "format", "uniqueItems", "prefixItems", "if", "contains"]


def places(tree, found):
    """All (container, key) of a tree."""
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        found.append((tree, key))
        if isinstance(tree[key], (dict, list)):
            places(tree[key], found)
    return found


def altered(rng, body):
    body = json.loads(json.dumps(body))
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        found = places(body, [])
        if not found:
            break
        tree, key = rng.choice(found)
        way = rng.randrange(6)
        if way == 0:
            tree[key] = copy.deepcopy(rng.choice(VALUES))
        elif way == 1 and isinstance(tree, dict):
            tree[rng.choice(KEYWORDS)] = copy.deepcopy(rng.choice(VALUES))
        elif way == 2:
            other, name = rng.choice(found)
            tree[key] = copy.deepcopy(other[name])
        elif way == 3 and isinstance(tree, dict):
            del tree[key]
        elif way == 4 and isinstance(tree, list):
            tree.extend(copy.deepcopy(tree[key]) for _ in range(rng.choice((1, 3, 40))))
        elif isinstance(tree[key], str):
            at = rng.randrange(len(tree[key]) + 1)
            if at > 22 and rng.random() < 0.7:  # another letter of a picture or a sound
                tree[key] = tree[key][:at - 1] + rng.choice("AQgw/+9z") + tree[key][at:]
                continue
            tree[key] = tree[key][:at] + rng.choice(("\\", '"', "\n", "\ufffd", "<|tool_call>", "{", "a" * 50)) + tree[key][at:]
    return body


def request(rng):
    method, path, body = rng.choice(GOOD)
    data = b"" if body is None else json.dumps(altered(rng, body), ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    way = rng.randrange(20)
    if way == 0 and data:  # other bytes
        data = bytearray(data)
        for _ in range(rng.choice((1, 3, 30))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        data = bytes(data)
    elif way == 1:
        data = data[:rng.randrange(len(data) + 1)]
    elif way == 2:
        deep = rng.choice((60, 70, 10000))
        data = b'{"messages":' + rng.choice((b"[", b'{"a":')) * deep
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode()
    if way == 3:  # a head that is none
        head = bytearray(head)
        for _ in range(rng.choice((1, 2, 8))):
            head[rng.randrange(len(head))] = rng.choice(b"\0\r\n :/\xff09az%")
        head = bytes(head)
    elif way == 4:
        head = rng.choice((b"\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n", b"A" * 20000, b"GET /%00%ff/../../etc HTTP/1.1\r\n\r\n",
                           b"POST / HTTP/1.1\r\ncontent-length: -5\r\n\r\n", b"POST /tokenize HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", bytes(rng.randrange(256) for _ in range(60))))
    return head + data, way not in (3, 4)


class Abuser:
    def __init__(self, port, rng):
        self.port, self.rng, self.count = port, rng, 0

    def read(self, c, wait, answers):
        """What comes until `wait` seconds bring nothing, or so many answers have begun."""
        c.settimeout(wait)
        got = b""
        try:
            while got.count(b"HTTP/1.1 ") < answers and (piece := c.recv(1 << 16)):
                got += piece
        except (TimeoutError, ConnectionError):
            pass
        return got

    def batch(self):
        """Some requests on one connection, whose end closes it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as c:
            sent = b""
            answers = 0
            for _ in range(self.rng.choice((1, 4, 16, 64))):
                data, whole = request(self.rng)
                sent += data
                self.count += 1
                answers += 1
                if not whole:
                    break
            try:
                if self.rng.random() < 0.05:  # in small pieces
                    for i in range(0, min(len(sent), 3000), 100):
                        c.sendall(sent[i:i + 100])
                else:
                    c.sendall(sent)
                if self.rng.random() < 0.2:
                    return  # leaves
                self.read(c, self.rng.choice((0.002, 0.02, 0.2)), answers)
            except (ConnectionError, TimeoutError):
                pass

    def good(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as c:
            data = json.dumps({"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}).encode()
            c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data)
            got = self.read(c, 60, 2)
            expect(b"Paris" in got, f"behind what was sent a good request gets {got[-300:]}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")))
    parser.add_argument("--flags", default="")
    a = parser.parse_args()
    folder = tempfile.TemporaryDirectory() # for the life of the process
    process = subprocess.Popen([a.program, "serve", "--slot-save-path", folder.name, "--port", "0", "-t", "1", "--parallel", "4", "-c", "512", "--metrics", "--queue", "1000", *a.flags.split()], stderr=subprocess.PIPE, text=True)
    while not (line := process.stderr.readline()).startswith("listening on "):
        expect(line, "the server does not listen")
        if not line:
            sys.exit(1)
    port = int(line.rsplit(":", 1)[1])
    tail = []
    threading.Thread(target=lambda: tail.extend(list(process.stderr)[-60:]), daemon=True).start()
    abusers = [Abuser(port, random.Random(f"{a.seed} {i}")) for i in range(2)]
    begin = time.time()

    def work(abuser):
        while abuser.count < a.count / len(abusers) and process.poll() is None and not checks.failures:
            try:
                for _ in range(40):
                    abuser.batch()
                abuser.good()
            except Exception as e:
                if process.poll() is None:
                    fail(f"a client: {e!r}")

    threads = [threading.Thread(target=work, args=(x,)) for x in abusers]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    code = process.poll()
    time.sleep(0.2)
    expect(code is None, f"the server ended with {code} (seed {a.seed}): {''.join(tail)[-4000:]}")
    if code is None:
        with open(f"/proc/{process.pid}/status") as f:
            peak = int(next(line for line in f if line.startswith("VmHWM")).split()[1])
        with open(a.program, "rb") as f:
            watched = b"AddressSanitizer" in f.read()
        print(f"{sum(x.count for x in abusers)} requests in {time.time() - begin:.0f} s, peak {peak >> 10} MiB")
        expect(watched or peak < 200 << 10, f"peak {peak} KiB")
        process.send_signal(signal.SIGTERM)
        expect(process.wait(60) == -signal.SIGTERM, f"ends with {process.returncode}: {''.join(tail)[-4000:]}")
    print("FAIL" if checks.failures else "PASS")
    sys.exit(1 if checks.failures else 0)


main()
