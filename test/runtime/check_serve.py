"""Checks `PROGRAM serve` over sockets of this machine: answers, streams, limits,
and that nothing a client does ends it.

check_serve.py PROGRAM [NAME...]

PROGRAM is nano-e. Works in the current folder; runs the checks check_NAME.
MACHINE_FLAGS: of every run, "-t 1" unless said."""
import base64
import contextlib
import http.client
import json
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import checks
from checks import expect, fail

PROGRAM = sys.argv[1]
MACHINE = os.environ.get("MACHINE_FLAGS", "-t 1").split()
JSON = {"content-type": "application/json"}
HELLO = [{"role": "user", "content": "What is the capital of France?"}]


class Server:
    """A running server; `flags` beside those that every test has."""

    def __init__(self, *flags, host="127.0.0.1"):
        self.process = subprocess.Popen([PROGRAM, "serve", "--host", host, "--port", "0", *MACHINE, *flags],
                                        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        line = self.process.stderr.readline()
        while line.startswith(("sandbox: ", "memory: ")):
            line = self.process.stderr.readline()
        found = re.fullmatch(r"listening on http://(.*):(\d+)\n", line)
        if not found:
            self.process.kill()
            raise RuntimeError(f"the server says {line + self.process.stderr.read()!r}")
        self.host, self.port = found[1].strip("[]"), int(found[2])

    def connect(self, timeout=20):
        return socket.create_connection((self.host, self.port), timeout=timeout)

    def ask(self, method, path, body=None, headers=JSON):
        """Status, headers and body."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        connection.request(method, path, data, headers)
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        return reply.status, reply.headers, text

    def post(self, path, body, headers=JSON):
        status, _, text = self.ask("POST", path, body, headers)
        return status, json.loads(text)

    def chat(self, **more):
        status, reply = self.post("/v1/chat/completions", {"messages": HELLO, "temperature": 0, "max_tokens": 24} | more)
        expect(status == 200, f"chat gives {status}: {reply}")
        return reply

    def events(self, path, body, end=()):
        """The events of a stream, without what it ends with."""
        status, headers, text = self.ask("POST", path, body | {"stream": True})
        expect(status == 200 and headers["content-type"] == "text/event-stream", f"stream: {status} {headers} {text[:200]}")
        events = text.decode().split("\n\n")
        end = [*end, ""]
        expect(events[-len(end):] == end, f"the stream ends in {events[-len(end):]}")
        return [json.loads(e.removeprefix("data: ")) for e in events[:-len(end)]]

    def stream(self, path, body):
        """The events of a stream, without [DONE]."""
        return self.events(path, body, ["data: [DONE]"])

    def metric(self, name):
        text = self.ask("GET", "/metrics")[2].decode()
        return int(re.search(rf"^gemmac_{name} (\d+)$", text, re.M)[1])

    def raw(self, data, close=True, timeout=20):
        """What comes back for bytes."""
        with self.connect(timeout) as s:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                s.sendall(data)
            got = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := s.recv(65536):
                    got += piece
            return got

    def alive(self):
        expect(self.process.poll() is None, f"the server is gone: {self.process.poll()}")
        expect(self.ask("GET", "/health")[0] == 200, "health is not 200")

    def end(self, number=signal.SIGTERM, wait=30):
        self.process.send_signal(number)
        code = self.process.wait(wait)
        text = self.process.stderr.read()
        self.process.stderr.close()
        return code, text


@contextlib.contextmanager
def serving(*flags, **more):
    server = Server(*flags, **more)
    try:
        yield server
        server.alive()
        code, text = server.end()
        expect(code == -signal.SIGTERM, f"the server ends with {code}: {text}")
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def has_error(reply, status, *words, got=None):
    if got is not None:
        expect(got == status, f"expected {status} for {words}, got {got}: {reply}")
    error = reply.get("error") or {}
    expect(set(error) == {"message", "type", "param", "code"}, f"no error of OpenAI's form: {reply}")
    for word in words:
        expect(word in json.dumps(error, ensure_ascii=False), f"the error does not say {word!r}: {error}")


def check_chat():
    run = subprocess.run([PROGRAM, "run", "-p", HELLO[0]["content"], "--temp", "0", *MACHINE], capture_output=True, text=True,
                         stdin=subprocess.DEVNULL)
    with serving() as s:
        whole = s.chat(max_tokens=100)
        for key in "id", "object", "created", "model", "choices", "usage":
            expect(key in whole, f"no {key} in {whole}")
        choice = whole["choices"][0]
        text = choice["message"]["content"]
        expect(text + "\n" == run.stdout, f"serve says {text!r}, run {run.stdout!r}")
        expect(choice["finish_reason"] == "stop" and choice["message"]["role"] == "assistant", str(choice))
        usage = whole["usage"]
        expect(usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"], str(usage))
        # Parts, other roles, another name for the same limit, null and unknown keys.
        parts = [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
                 {"role": "user", "content": [{"type": "text", "text": HELLO[0]["content"]}]}]
        s.chat(messages=parts, max_tokens=None, max_completion_tokens=3, user="x", store=False, nothing_known={"a": 1})
        expect(s.chat(max_tokens=3)["usage"]["completion_tokens"] == 3, "max_tokens is not 3 tokens")
        expect(s.chat(max_tokens=3)["choices"][0]["finish_reason"] == "length", "no length")
        expect(s.chat(max_tokens=128000)["choices"][0]["finish_reason"] == "stop", "128000 tokens are refused")

        events = s.stream("/v1/chat/completions", {"messages": HELLO, "temperature": 0, "stream_options": {"include_usage": True}})
        deltas = [e["choices"][0]["delta"] for e in events if e["choices"]]
        expect("".join(d.get("content", "") for d in deltas) == text, f"the stream says something else: {deltas}")
        expect([d.get("role") for d in deltas].count("assistant") == 1, "the role is not given once")
        expect(events[-1]["choices"] == [] and all(events[-1]["usage"][k] == usage[k] for k in ("prompt_tokens", "completion_tokens")), f"usage: {events[-1]}")
        expect([e["choices"][0]["finish_reason"] for e in events if e["choices"]][-1] == "stop", "no finish_reason")
        expect(len(events) > 4, "the stream came in one piece")
        more = s.chat(ignore_eos=True, max_tokens=40)
        expect(more["choices"][0]["message"]["content"] != text and more["choices"][0]["finish_reason"] == "length", f"ignore_eos: {more}")


def check_sampling():
    with serving() as s:
        hot = {"temperature": 4, "top_p": 1, "max_tokens": 8, "seed": 7}
        texts = [s.chat(**hot)["choices"][0]["message"]["content"] for _ in range(2)]
        expect(texts[0] == texts[1], f"one seed, two answers: {texts}")
        three = s.chat(**hot, n=3)
        made = [c["message"]["content"] for c in three["choices"]]
        expect([c["index"] for c in three["choices"]] == [0, 1, 2] and made[0] == texts[0], f"n: {made}")
        expect(len(set(made)) > 1, f"n gives the same answer: {made}")
        text = s.chat()["choices"][0]["message"]["content"]
        # Stop strings: inside a token, across tokens, none of it in the answer.
        for stop in "capital", "l of", "pi", [text[5:9], "never"]:
            first = stop if isinstance(stop, str) else stop[0]
            got = s.chat(stop=stop)["choices"][0]
            wanted = text.split(first)[0]
            expect(got["message"]["content"] == wanted, f"stop {stop!r}: {got['message']['content']!r}, expected {wanted!r}")
            expect(got["finish_reason"] == "stop", str(got))
            events = s.stream("/v1/chat/completions", {"messages": HELLO, "temperature": 0, "stop": stop})
            streamed = "".join(e["choices"][0]["delta"].get("content", "") for e in events)
            expect(streamed == wanted, f"stop {stop!r} in a stream: {streamed!r}")
        probable = s.chat(logprobs=True, top_logprobs=2, max_tokens=4)["choices"][0]
        tokens = probable["logprobs"]["content"]
        expect("".join(t["token"] for t in tokens) == probable["message"]["content"], f"tokens: {tokens}")
        for t in tokens:
            expect(t["top_logprobs"][0]["token"] == t["token"] and t["logprob"] == t["top_logprobs"][0]["logprob"] <= 0
                   and len(t["top_logprobs"]) == 2 and bytes(t["bytes"]).decode() == t["token"], str(t))
        ids = s.post("/tokenize", {"content": text})[1]["tokens"]
        biased = s.chat(logit_bias={str(ids[0]): -1000})["choices"][0]["message"]["content"]
        expect(biased != text, "a bias changes nothing")


def check_forms():
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}, "big": {"type": "boolean"}}, "required": ["city", "big"],
              "additionalProperties": False}
    tool = {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "maxLength": 8}}, "required": ["city"]}}}
    other = {"type": "function", "function": {"name": "stop-it", "parameters": {"type": "object", "properties": {}}}}
    with serving("--parallel", "2") as s:
        for form in ({"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}, {"type": "json_object", "value": schema}):
            for more in {}, {"n": 2, "temperature": 3, "top_p": 1}, {"reasoning_effort": "high"}:
                for choice in s.chat(response_format=form, max_tokens=200, **more)["choices"]:
                    made = json.loads(choice["message"]["content"])
                    expect(set(made) == {"city", "big"} and isinstance(made["big"], bool) and len(made["city"]) <= 8, str(choice))
                    expect(choice["finish_reason"] == "stop", str(choice))
        events = s.stream("/v1/chat/completions", {"messages": HELLO, "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}})
        json.loads("".join(e["choices"][0]["delta"].get("content", "") for e in events))
        for choice, name in (("required", None), ({"type": "function", "function": {"name": "stop-it"}}, "stop-it")):
            done = s.chat(tools=[tool, other], tool_choice=choice, max_tokens=200, parallel_tool_calls=False)["choices"][0]
            calls = done["message"]["tool_calls"]
            expect(len(calls) == 1 and done["finish_reason"] == "tool_calls" and calls[0]["function"]["name"] in ([name] if name else ["get_weather", "stop-it"]),
                   f"{choice}: {done}")
            json.loads(calls[0]["function"]["arguments"])
        expect("tool_calls" not in s.chat(tools=[tool], tool_choice="none")["choices"][0]["message"], "none calls")
        for more in ({"response_format": {"type": "xml"}}, {"response_format": {"type": "json_schema"}},
                     {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "strange"}}}},
                     {"tools": [tool], "tool_choice": {"type": "function", "function": {"name": "nix"}}}, {"tools": [tool], "tool_choice": "perhaps"}):
            status, reply = s.post("/v1/chat/completions", {"messages": HELLO} | more)
            has_error(reply, 400, list(more)[-1], got=status)


def check_text():
    with serving() as s:
        def complete(**more):
            status, reply = s.post("/v1/completions", {"temperature": 0, "max_tokens": 4} | more)
            expect(status == 200, f"{more}: {reply}")
            return reply
        ids = s.post("/tokenize", {"content": "The capital", "add_special": True})[1]["tokens"]
        same = [complete(prompt=p)["choices"][0]["text"] for p in ("The capital", ids, [ids])]
        expect(len(set(same)) == 1, f"one prompt, several answers: {same}")
        both = complete(prompt=["The capital", "A yellow"], n=2)["choices"]
        expect([c["index"] for c in both] == [0, 1, 2, 3] and both[0]["text"] == same[0] != both[2]["text"], str(both))
        expect(len(complete(prompt=[ids, ids[:2]])["choices"]) == 2, "two lists of ids are not two prompts")
        expect(complete(prompt="The capital", echo=True)["choices"][0]["text"] == "The capital" + same[0], "echo")
        expect(complete(prompt="The capital", echo=True, max_tokens=0)["choices"][0]["text"] == "The capital", "echo alone")
        log = complete(prompt=ids, logprobs=1, max_tokens=2)["choices"][0]["logprobs"]
        expect(all(len(log[k]) == 2 for k in ("tokens", "token_logprobs", "top_logprobs", "text_offset")), str(log))
        events = s.stream("/v1/completions", {"prompt": "The capital", "temperature": 0, "max_tokens": 4, "echo": True})
        expect("".join(e["choices"][0]["text"] for e in events) == "The capital" + same[0], f"stream: {events}")
        for prompt, word in ((None, "got none"), ([], "a list"), ([[]], "a list in the list"), ({"a": 1}, "an object"), ([1, "a"], "ids"),
                             ([10**9], "1000000000"), ([-1], "-1"), ("", "at least one token") if False else ([1.5], "1.5")):
            status, reply = s.post("/v1/completions", {"prompt": prompt})
            has_error(reply, 400, "prompt", word, got=status)


def check_demands():
    """Schemas and grammars outside response_format, and what must not be ignored."""
    with serving() as s:
        for path, body in (("/v1/chat/completions", {"messages": HELLO}), ("/v1/completions", {"prompt": "A"})):
            body = body | {"max_tokens": 60, "temperature": 0}

            def text(**more):
                status, reply = s.post(path, body | more)
                expect(status == 200, f"{more}: {reply}")
                choice = reply["choices"][0]
                return choice["message"]["content"] if "message" in choice else choice["text"]

            expect(text(grammar='root ::= "a"{5,5}') == "aaaaa", "grammar")
            expect(text(json_schema={"const": "42"}) == '"42"', "json_schema")
            expect(text(response_format={"type": "json_schema", "json_schema": {"schema": {"enum": [7]}}}) == "7", "response_format")
            for more, word in (({"grammar": "root ::= ("}, "grammar"), ({"grammar": 5}, "grammar"), ({"json_schema": {"type": "x"}}, "type"), ({"guided_json": {}}, "guided_json"),
                               ({"structured_outputs": {"regex": "a"}}, "structured_outputs"), ({"json_schema": {}, "grammar": 'root ::= "a"'}, "exclude"),
                               ({"json_schema": {}, "ignore_eos": True}, "ignore_eos")):
                status, reply = s.post(path, body | more)
                has_error(reply, 400, word, got=status)


def check_auto_calls():
    """A call that nobody demands is one of the declared tools; text is free."""
    city = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"]}
    tool = lambda name, parameters, **more: {"type": "function", "function": {"name": name, "parameters": parameters} | more}
    ask = {"messages": [{"role": "user", "content": "What is the weather in Paris?"}], "max_tokens": 100}
    odd = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    with serving() as s:
        called = 0
        for seed in range(30):
            status, reply = s.post("/v1/chat/completions", ask | {"tools": [tool("get_weather", city)], "seed": seed, "temperature": 1.3})
            expect(status == 200, f"{reply}")
            choice = reply["choices"][0]
            for call in choice["message"].get("tool_calls", []):
                called += 1
                expect(call["function"]["name"] == "get_weather", f"{call}")
                if choice["finish_reason"] == "tool_calls":
                    expect(json.loads(call["function"]["arguments"]) in ({"city": "Oslo"}, {"city": "Rome"}), f"{call}")
        expect(called > 5, f"{called} calls")
        free = s.chat(tools=[tool("get_weather", city)])
        expect("Paris" in free["choices"][0]["message"]["content"], f"{free}")
        # What cannot be enforced is free where nobody demands it, else an error.
        expect(s.post("/v1/chat/completions", ask | {"tools": [tool("f", odd)]})[0] == 200, "a tool whose schema is not enforced")
        for more in ({"tools": [tool("f", odd)], "tool_choice": "required"}, {"tools": [tool("f", odd, strict=True)]}):
            status, reply = s.post("/v1/chat/completions", ask | more)
            has_error(reply, 400, "uniqueItems", "tools", got=status)


def check_thoughts():
    """A budget of thoughts: they end there, and the answer comes."""
    with serving() as s:
        free = s.chat(reasoning_effort="low", max_tokens=400)
        n = free["usage"]["completion_tokens_details"]["reasoning_tokens"]
        expect(n > 8, f"{free}")
        for budget in (0, 1, 4):
            for key in ("reasoning_budget_tokens", "thinking_budget_tokens"):
                got = s.chat(reasoning_effort="low", max_tokens=400, **{key: budget})
                message = got["choices"][0]["message"]
                expect(message["content"] and free["choices"][0]["message"]["reasoning_content"].startswith(message.get("reasoning_content", "")), f"{budget}: {got}")
                expect(got["usage"]["completion_tokens_details"]["reasoning_tokens"] <= budget + 4, f"{budget}: {got['usage']}")
        expect(strip_answer(s.chat(reasoning_effort="low", max_tokens=400, reasoning_budget_tokens=1000)) == strip_answer(free), "a large budget changes the answer")
        schema = {"response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": [5]}}}}
        got = s.chat(reasoning_effort="low", max_tokens=400, reasoning_budget_tokens=3, **schema)
        expect(got["choices"][0]["message"]["content"] == "5", f"{got}")
        _, m = s.post("/v1/messages", {"messages": HELLO, "max_tokens": 400, "temperature": 0, "thinking": {"type": "enabled", "budget_tokens": 4}})
        expect([b["type"] for b in m["content"]] == ["thinking", "text"] and m["usage"]["output_tokens"] < 40, f"{m}")


def strip_answer(reply):
    return [c["message"] for c in reply["choices"]]


def check_scored():
    """echo with logprobs: what the model gives the prompt's own tokens."""
    with serving("--parallel", "3", "-c", "512") as s:
        encode = lambda text: s.post("/tokenize", {"content": text, "add_special": True})[1]["tokens"]
        text = "The capital of France is"
        start = encode(text)
        _, made = s.post("/v1/completions", {"prompt": start, "max_tokens": 40, "temperature": 0, "logprobs": 3, "ignore_eos": True})
        own = made["choices"][0]["logprobs"]
        expect(len(own["tokens"]) == 40 and any("turn|>" in t for t in own["tokens"]), f"{own}")
        ids = start + [i for t in own["tokens"] for i in encode(t)[1:]]
        scored = {"prompt": ids, "echo": True, "logprobs": 3, "max_tokens": 1, "temperature": 0}
        # Others meanwhile, whose rows stand in the same steps.
        others = [begin_stream(s, max_tokens=300, ignore_eos=True) for _ in range(2)]
        _, reply = s.post("/v1/completions", scored)
        got = reply["choices"][0]["logprobs"]
        for each in others:
            each.close()
        expect(len(got["tokens"]) == len(ids) + 1 and got["token_logprobs"][0] is None and got["top_logprobs"][0] is None, f"{got}")
        if len(ids) == len(start) + 40:
            for key in ("tokens", "token_logprobs", "top_logprobs"):
                expect(got[key][len(start):-1] == own[key], f"{key}: {got[key][len(start):-1]} {own[key]}")
        else:
            fail(f"the text has other tokens: {own['tokens']}")
        whole = reply["choices"][0]["text"]
        expect(all(whole[o:].startswith(t) for o, t in zip(got["text_offset"][:-1], got["tokens"])), "offsets")
        expect(reply["usage"]["prompt_tokens_details"]["cached_tokens"] == 0, "a scored prompt was not computed")
        events = s.stream("/v1/completions", scored)
        streamed = [p for e in events for c in e["choices"] if c["logprobs"] for p in c["logprobs"]["token_logprobs"]]
        expect(streamed == got["token_logprobs"], f"{streamed}")
        # A text: <bos> is ours and not shown. The prompt alone; and a turn that ends at once keeps its token.
        _, reply = s.post("/v1/completions", scored | {"prompt": text, "max_tokens": 0})
        choice = reply["choices"][0]
        expect(choice["text"] == text and choice["logprobs"]["token_logprobs"] == got["token_logprobs"][1:len(start)] and choice["finish_reason"] == "length"
               and reply["usage"]["completion_tokens"] == 0, f"{reply}")
        _, reply = s.post("/v1/completions", scored | {"prompt": text + " Paris.", "logit_bias": {str(encode("<turn|>")[1]): 100}})
        choice = reply["choices"][0]
        expect(choice["finish_reason"] == "stop" and len(choice["logprobs"]["tokens"]) == len(start) + 2, f"{reply}")
        long = encode(" ".join(["word"] * 300))
        _, reply = s.post("/v1/completions", scored | {"prompt": long})
        expect(len(reply["choices"][0]["logprobs"]["tokens"]) == len(long) + 1, "a prompt of several steps")


def named_events(s, path, body):
    """Names and data of a stream whose events have names."""
    status, headers, text = s.ask("POST", path, body | {"stream": True})
    expect(status == 200 and headers["content-type"] == "text/event-stream", f"{path}: {status} {text[:200]}")
    out = []
    for event in text.decode().removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        out.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    expect(all(name == data["type"] for name, data in out), f"{path}: {out}")
    return out


# One conversation with a call and its result, as the three APIs have it.
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL_CHAT = {"messages": [
    {"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "The weather in Paris?"}]},
    {"role": "assistant", "content": "I look.", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "15 degrees"}, {"role": "user", "content": "And?"}],
    "tools": [{"type": "function", "function": {"name": "get_weather", "description": "Weather.", "parameters": CITY}}], "temperature": 0, "max_tokens": 20}
CALL_MESSAGES = {"system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}], "messages": [
    {"role": "user", "content": "The weather in Paris?"},
    {"role": "assistant", "content": [{"type": "text", "text": "I look."}, {"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Paris"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "15 degrees"}]}, {"type": "text", "text": "And?"}]}],
    "tools": [{"name": "get_weather", "description": "Weather.", "input_schema": CITY}], "temperature": 0, "max_tokens": 20}
CALL_INPUT = {"instructions": "Be brief.", "input": [
    {"role": "user", "content": [{"type": "input_text", "text": "The weather in Paris?"}]},
    {"type": "message", "id": "m", "status": "completed", "role": "assistant", "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
    {"type": "function_call", "id": "f", "call_id": "c1", "name": "get_weather", "arguments": '{"city": "Paris"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "15 degrees"}, {"type": "message", "role": "user", "content": "And?"}],
    "tools": [{"type": "function", "name": "get_weather", "description": "Weather.", "parameters": CITY, "strict": True}], "temperature": 0, "max_output_tokens": 20}


def check_same_conversation():
    """What is said is the same, whichever API says it."""
    with serving() as s:
        status, chat = s.post("/v1/chat/completions", CALL_CHAT)
        expect(status == 200, str(chat))
        status, message = s.post("/v1/messages", CALL_MESSAGES)
        expect(status == 200, str(message))
        status, response = s.post("/v1/responses", CALL_INPUT)
        expect(status == 200, str(response))
        text = chat["choices"][0]["message"]["content"]
        expect([b["text"] for b in message["content"] if b["type"] == "text"] == [text], f"{message} {text!r}")
        expect([i["content"][0]["text"] for i in response["output"] if i["type"] == "message"] == [text], f"{response} {text!r}")
        n = chat["usage"]["prompt_tokens"]
        used = message["usage"]
        expect(used["input_tokens"] + used["cache_read_input_tokens"] == n == response["usage"]["input_tokens"], f"{n} {used} {response['usage']}")
        body = {k: v for k, v in CALL_MESSAGES.items() if k != "max_tokens"}
        expect(s.post("/v1/messages/count_tokens", body) == (200, {"input_tokens": n}), "count_tokens")


def check_messages():
    hello = {"messages": HELLO, "max_tokens": 24, "temperature": 0}
    with serving("--api-key", "k") as s:
        keys = {**JSON, "x-api-key": "k", "anthropic-version": "2023-06-01"}
        status, m = s.post("/v1/messages", hello, keys)
        expect(status == 200 and m["type"] == "message" and m["role"] == "assistant" and m["stop_reason"] == "end_turn" and m["stop_sequence"] is None,
               f"{status} {m}")
        status, error = s.post("/v1/messages", hello)
        expect(status == 401 and error["type"] == "error" and error["error"]["type"] == "authentication_error", f"{status} {error}")
    with serving() as s:
        events = named_events(s, "/v1/messages", hello)
        names = [n for n, _ in events]
        expect(names[:2] == ["message_start", "content_block_start"] and names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
               and set(names[2:-3]) == {"content_block_delta"}, f"{names}")
        text = "".join(d["delta"]["text"] for n, d in events if n == "content_block_delta")
        expect([{"type": "text", "text": text}] == m["content"], f"{text!r} {m}")
        expect(events[-2][1]["usage"]["output_tokens"] == m["usage"]["output_tokens"] and events[0][1]["message"]["usage"]["input_tokens"] > 0, str(events))
        _, m = s.post("/v1/messages", hello | {"stop_sequences": ["capital"]})
        expect(m["stop_reason"] == "stop_sequence" and m["stop_sequence"] == "capital" and m["content"] == [{"type": "text", "text": "The "}], str(m))
        _, m = s.post("/v1/messages", hello | {"max_tokens": 2})
        expect(m["stop_reason"] == "max_tokens" and m["usage"]["output_tokens"] == 2, str(m))
        _, m = s.post("/v1/messages", hello | {"messages": HELLO + [{"role": "assistant", "content": "The capital of"}]})
        expect(m["content"] == [{"type": "text", "text": " France is Paris."}], f"an answer that is begun: {m}")
        tools = {"tools": CALL_MESSAGES["tools"], "tool_choice": {"type": "any"}, "max_tokens": 200}
        _, m = s.post("/v1/messages", hello | tools)
        call = m["content"][-1]
        expect(m["stop_reason"] == "tool_use" and call["type"] == "tool_use" and isinstance(call["input"]["city"], str), str(m))
        events = named_events(s, "/v1/messages", hello | tools)
        pieces = "".join(d["delta"]["partial_json"] for n, d in events if n == "content_block_delta")
        expect(json.loads(pieces) == call["input"] and events[-2][1]["delta"]["stop_reason"] == "tool_use", str(events))
        _, m = s.post("/v1/messages", hello | {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 400})
        expect(m["content"][0]["type"] == "thinking" and "signature" in m["content"][0], str(m))
        kinds = [d["delta"]["type"] for n, d in named_events(s, "/v1/messages", hello | {"thinking": {"type": "adaptive"}, "max_tokens": 400}) if n == "content_block_delta"]
        expect(kinds[0] == "thinking_delta" and kinds.count("signature_delta") == 1 and kinds[-1] == "text_delta", str(kinds))
        schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["n"], "additionalProperties": False}
        _, m = s.post("/v1/messages", hello | {"output_config": {"format": {"type": "json_schema", "schema": schema}}, "max_tokens": 60})
        expect(json.loads(m["content"][0]["text"])["n"] in range(10), str(m))
        for body, word in (({"messages": HELLO}, "max_tokens"), (hello | {"messages": []}, "messages"), (hello | {"messages": [{"role": "x", "content": "y"}]}, "role"),
                           (hello | {"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "document"), (hello | {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
                           (hello | {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"), (hello | {"tool_choice": {"type": "x"}}, "tool_choice"),
                           (hello | {"thinking": {"type": "x"}}, "thinking"), (hello | {"stop_sequences": [1]}, "stop_sequences"), (hello | {"temperature": "hot"}, "temperature"),
                           (hello | {"output_config": {"format": {"type": "x"}}}, "output_config"), (hello | {"system": 1}, "system"), (hello | {"messages": HELLO + ["x"]}, "messages[1]")):
            status, reply = s.post("/v1/messages", body)
            has_error(reply, 400, word, got=status)


def check_responses():
    hello = {"input": "What is the capital of France?", "temperature": 0}
    with serving() as s:
        status, r = s.post("/v1/responses", hello | {"metadata": {"a": "b"}})
        expect(status == 200 and r["object"] == "response" and r["status"] == "completed" and r["metadata"] == {"a": "b"} and r["store"] is False, f"{status} {r}")
        expect(r["output"][0]["content"][0]["text"] == "The capital of France is Paris.", str(r))
        events = named_events(s, "/v1/responses", hello | {"include": ["message.output_text.logprobs"], "top_logprobs": 2})
        names = [n.removeprefix("response.") for n, _ in events]
        expect(names[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
               and names[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"] and set(names[4:-4]) == {"output_text.delta"}, str(names))
        expect([d["sequence_number"] for _, d in events] == list(range(len(events))), "events are numbered")
        deltas = [d for n, d in events if n.endswith("delta")]
        expect("".join(d["delta"] for d in deltas) == r["output"][0]["content"][0]["text"], str(deltas))
        expect(sum(len(d["logprobs"]) for d in deltas) == len(events[-1][1]["response"]["output"][0]["content"][0]["logprobs"]) > 0
               and len(deltas[0]["logprobs"][0]["top_logprobs"]) == 2, str(deltas))
        _, r = s.post("/v1/responses", hello | {"max_output_tokens": 2})
        expect(r["status"] == "incomplete" and r["incomplete_details"] == {"reason": "max_output_tokens"}, str(r))
        expect(named_events(s, "/v1/responses", hello | {"max_output_tokens": 2})[-1][0] == "response.incomplete", "a cut stream")
        tools = {"tools": CALL_INPUT["tools"], "tool_choice": {"type": "function", "name": "get_weather"}}
        _, r = s.post("/v1/responses", hello | tools)
        call = r["output"][-1]
        expect(call["type"] == "function_call" and call["name"] == "get_weather" and isinstance(json.loads(call["arguments"])["city"], str), str(r))
        events = named_events(s, "/v1/responses", hello | tools)
        expect("".join(d["delta"] for n, d in events if n.endswith("arguments.delta")) == call["arguments"], str(events))
        _, r = s.post("/v1/responses", hello | {"reasoning": {"effort": "low"}, "max_output_tokens": 400})
        expect([i["type"] for i in r["output"]] == ["reasoning", "message"] and r["usage"]["output_tokens_details"]["reasoning_tokens"] > 0, str(r))
        again = [{"role": "user", "content": hello["input"]}, *r["output"], {"role": "user", "content": "Sure?"}]
        expect(s.post("/v1/responses", hello | {"input": again})[0] == 200, "items that come back")
        schema = {"type": "object", "properties": {"n": {"enum": [3, 4]}}, "required": ["n"], "additionalProperties": False}
        _, r = s.post("/v1/responses", hello | {"text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}})
        expect(json.loads(r["output"][0]["content"][0]["text"])["n"] in (3, 4), str(r))
        for body, word in (({}, "input"), ({"input": []}, "input"), ({"input": 5}, "input"), (hello | {"previous_response_id": "r"}, "previous_response_id"), (hello | {"background": True}, "background"),
                           ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"), ({"input": [{"role": "x", "content": "y"}]}, "input[0].role"), ({"input": [{"role": "user"}]}, "input[0].content"),
                           ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input_file"), (hello | {"tools": [{"type": "web_search"}]}, "web_search"), ({"input": [7]}, "input[0]"),
                           (hello | {"tool_choice": {"type": "mcp"}}, "tool_choice"), (hello | {"text": {"format": {"type": "json_schema"}}}, "text.format"), (hello | {"max_output_tokens": 0}, "max_output_tokens")):
            status, reply = s.post("/v1/responses", body)
            has_error(reply, 400, word, got=status)


def check_openapi():
    """The description of the API against the code and its answers."""
    import jsonschema
    sources = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../runtime/serve")

    def read(name):
        with open(os.path.join(sources, name)) as f:
            return f.read()

    def requests_of(path):
        return resolve(document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"])

    def resolve(schema):
        return document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema

    def answers(path, method, reply, chunk=None):
        if chunk:
            schema = {"$ref": f"#/components/schemas/{chunk}"}
        else:
            schema = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
        # Beside the components, to which it refers.
        jsonschema.Draft202012Validator({"components": document["components"], "allOf": [schema]}).validate(reply)

    with tempfile.TemporaryDirectory() as folder, serving("--parallel", "2", "--slot-save-path", folder) as s:
        document = json.loads(s.ask("GET", "/openapi.json")[2])
        for schema in document["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)
        # The same paths and methods.
        told = {(m.upper(), re.sub(r"\{.*", "", p)) for p, methods in document["paths"].items() for m in methods if m != "parameters"}
        routes = set(re.findall(r'\{"(GET|POST)", "([^"]+)"', read("api.cpp")))
        expect(told == routes and len(routes) > 15, f"only told or only there: {told ^ routes}")
        # Every key that is read is told, and none else; a wrong type is an error that names it.
        keys = {}
        for name in ("generation", "chat_request", "demand", "openai_text", "responses_request", "anthropic_request", "endpoints", "llama_completion", "slots"):
            keys[name] = set(re.findall(r'\bfields\.(?:find|text|texts|truth|number|integer|map|list)\(\s*"(\w+)"', read(name + ".cpp")))
        keys["demand"] -= {"tools"} # of chats
        sampling = {"temperature", "top_p", "top_k", "min_p", "seed", "stream"}
        forms = {"/v1/chat/completions": keys["generation"] | keys["chat_request"] | keys["demand"] | {"messages", "tools", "reasoning_budget_tokens", "thinking_budget_tokens", "max_tokens", "max_completion_tokens", "repeat_penalty", "repetition_penalty"},
                 "/v1/completions": keys["generation"] | keys["openai_text"] | keys["demand"] - {"tool_choice"} | {"max_tokens", "max_completion_tokens", "repeat_penalty", "repetition_penalty"},
                 "/completion": keys["generation"] | keys["llama_completion"] | keys["demand"] - {"tool_choice"} | {"max_tokens", "max_completion_tokens", "repeat_penalty", "repetition_penalty"},
                 "/v1/responses": keys["responses_request"] | sampling | {"previous_response_id", "conversation", "prompt", "parallel_tool_calls", "presence_penalty", "frequency_penalty", "metadata"},
                 "/v1/messages": keys["anthropic_request"] | sampling | {"max_tokens"}}
        for path, read_keys in forms.items():
            properties = requests_of(path)["properties"]
            expect(set(properties) == read_keys, f"{path}: only told or only read: {set(properties) ^ read_keys}")
            good = {"/v1/chat/completions": {"messages": HELLO, "tools": CALL_CHAT["tools"]}, "/v1/completions": {"prompt": "a"}, "/completion": {"prompt": "a"}, "/v1/responses": {"input": "a"},
                    "/v1/messages": {"messages": HELLO, "max_tokens": 1}}[path]
            for key in set(properties) - {"metadata", "json_schema"}:
                for wrong in ({"no such": {}}, ["x", 5], "no such", -2, 5.5, True):
                    if jsonschema.Draft202012Validator({"components": document["components"], "allOf": [properties[key]]}).is_valid(wrong):
                        continue
                    status, reply = s.post(path, {**good, "max_output_tokens" if path == "/v1/responses" else "max_tokens": 1, key: wrong})
                    if status == 200: # what the description does not promise may work
                        fail(f"{path}: {key} {wrong} is answered")
                        break
                    expect(status == 400 and key.split("_")[0] in json.dumps(reply["error"]), f"{path}: {key} {wrong}: {status} {reply}")
                    answers(path, "post", reply, "Error")
                    break
        # What is answered is what is told.
        tools = {"tools": CALL_CHAT["tools"], "tool_choice": "required", "max_tokens": 200}
        for body in ({}, {"logprobs": True, "top_logprobs": 2, "n": 2}, {"reasoning_effort": "low", "max_tokens": 300}, tools):
            body = {"messages": HELLO, "temperature": 0, "max_tokens": 20} | body
            answers("/v1/chat/completions", "post", s.post("/v1/chat/completions", body)[1])
            for event in s.stream("/v1/chat/completions", body | {"stream_options": {"include_usage": True}}):
                answers("/v1/chat/completions", "post", event, "ChatChunk")
        for body in ({}, {"logprobs": 2, "echo": True}):
            body = {"prompt": [2, 5, 6], "temperature": 0} | body
            answers("/v1/completions", "post", s.post("/v1/completions", body)[1])
            for event in s.stream("/v1/completions", body):
                answers("/v1/completions", "post", event)
        for body in (CALL_INPUT, {"input": "a", "reasoning": {"effort": "low"}}):
            answers("/v1/responses", "post", s.post("/v1/responses", body)[1])
        for body in ({"return_tokens": True}, {"n_probs": 2, "n": 2}):
            body = {"prompt": "a", "temperature": 0, "n_predict": 12} | body
            answers("/completion", "post", s.post("/completion", body)[1])
            for event in s.events("/completion", body):
                answers("/completion", "post", event)
        answers("/slots", "get", json.loads(s.ask("GET", "/slots")[2]))
        for action in "save", "restore", "erase":
            answers("/slots/{id}", "post", s.post(f"/slots/0?action={action}", {"filename": "a"})[1])
        answers("/v1/messages", "post", s.post("/v1/messages", CALL_MESSAGES)[1])
        answers("/v1/responses/input_tokens", "post", s.post("/v1/responses/input_tokens", CALL_INPUT)[1])
        answers("/v1/messages/count_tokens", "post", s.post("/v1/messages/count_tokens", CALL_MESSAGES)[1])
        answers("/tokenize", "post", s.post("/tokenize", {"content": "a b"})[1])
        answers("/detokenize", "post", s.post("/detokenize", {"tokens": [5]})[1])
        answers("/apply-template", "post", s.post("/apply-template", {"messages": HELLO})[1])
        for path in ("/health", "/props", "/v1/models", "/openapi.json"):
            answers(path, "get", json.loads(s.ask("GET", path)[2]))


def check_llama():
    """llama.cpp's /completion beside OpenAI's."""
    prompt = "<bos><|turn>user\nWhat is the capital of France?<turn|>\n<|turn>model\n"
    with serving("--parallel", "2") as s:
        text = s.post("/v1/completions", {"prompt": prompt, "temperature": 0, "max_tokens": 40, "logprobs": 2})[1]["choices"][0]
        body = {"prompt": prompt, "temperature": 0, "n_predict": 40}
        status, r = s.post("/completion", body | {"return_tokens": True, "n_probs": 2})
        expect(status == 200 and r["content"] == text["text"], f"{status} {r}")
        expect(r["stop"] and r["stop_type"] == "eos" and r["stopping_word"] == "" and not r["truncated"], str(r))
        back = s.post("/detokenize", {"tokens": r["tokens"]})[1]["content"]
        expect(back == r["content"], f"tokens are {back!r}")
        expect([p["logprob"] for p in r["completion_probabilities"]] == text["logprobs"]["token_logprobs"], "logprobs differ")
        expect(all(len(p["top_logprobs"]) == 2 and p["top_logprobs"][0]["id"] == p["id"] for p in r["completion_probabilities"]), "ids of logprobs")
        expect(r["tokens_evaluated"] == len(s.post("/tokenize", {"content": prompt})[1]["tokens"]) and r["id_slot"] in (0, 1), str(r))
        events = s.events("/completion", body)
        expect("".join(e["content"] for e in events) == r["content"] and [e["stop"] for e in events] == [False] * (len(events) - 1) + [True], str(events))
        expect([i for e in events for i in e["tokens"]] == r["tokens"], "tokens of a stream")
        # Other ends, prompts and sizes.
        word = r["content"].split()[1]
        stopped = s.post("/completion", body | {"stop": [word]})[1]
        expect(stopped["stop_type"] == "word" and stopped["stopping_word"] == word and stopped["content"] == r["content"][:r["content"].index(word)], str(stopped))
        short = s.post("/completions", body | {"n_predict": 2})[1]
        expect(short["stop_type"] == "limit" and short["tokens_predicted"] == 2, str(short))
        none = s.post("/completion", body | {"n_predict": 0})[1]
        expect(none["content"] == "" and none["tokens_predicted"] == 0 and none["tokens_evaluated"] == r["tokens_evaluated"], str(none))
        ids = s.post("/tokenize", {"content": prompt})[1]["tokens"]
        middle = s.post("/detokenize", {"tokens": ids[4:7]})[1]["content"]
        if s.post("/tokenize", {"content": middle})[1]["tokens"] == ids[4:7]:
            mixed = s.post("/completion", body | {"prompt": [*ids[:4], middle, *ids[7:]]})[1]
            expect(mixed["content"] == r["content"], f"ids and texts: {mixed}")
        several = s.post("/completion", body | {"prompt": [prompt, ids]})[1]
        expect([e["content"] for e in several] == [r["content"]] * 2 and [e["index"] for e in several] == [0, 1], str(several))
        fields = s.post("/completion", body | {"response_fields": ["content", "generation_settings/n_predict", "none", "content/none"]})[1]
        expect(fields == {"content": r["content"], "n_predict": 40}, str(fields))
        # A token that is never drawn, by id and by text.
        first = r["tokens"][0]
        for of in (first, s.post("/detokenize", {"tokens": [first]})[1]["content"]):
            other = s.post("/completion", body | {"return_tokens": True, "logit_bias": [[of, False]]})[1]
            expect(first not in other["tokens"] and other["tokens"], f"{of!r} never: {other}")
        bound = s.post("/completion", body | {"json_schema": {"enum": ["x y"]}})[1]
        expect(json.loads(bound["content"]) == "x y", str(bound))
        for wrong, words in (({}, "prompt"), ({"prompt": []}, "prompt"), ({"prompt": ["a", {}]}, "prompt"), (body | {"n_probs": 21}, "n_probs"), (body | {"post_sampling_probs": True}, "post_sampling_probs"),
                             (body | {"logit_bias": [[5]]}, "logit_bias"), (body | {"id_slot": 2}, "id_slot"), ({"prompt": [5, 1 << 30]}, "prompt")):
            status, reply = s.post("/completion", wrong)
            has_error(reply, 400, words, got=status)


def check_slots():
    """States of slots in files: exact, found again by a later process, and nothing but files of one folder."""
    with serving() as s:
        for path in "/slots", "/slots/0?action=save":
            status, _, text = s.ask("GET" if "?" not in path else "POST", path, None if "?" not in path else {"filename": "a"})
            has_error(json.loads(text), 501, "--slot-save-path", got=status)
    with tempfile.TemporaryDirectory() as folder:
        talk = [*HELLO, {"role": "assistant", "content": "Paris."}, {"role": "user", "content": "And of Italy?"}]
        ask = {"messages": talk, "temperature": 0, "max_tokens": 24}
        save = {"filename": "a talk.bin"}
        with serving("--parallel", "2", "--slot-save-path", folder) as s:
            alone = s.chat(messages=talk)
            s.post("/slots/0?action=erase", {})
            s.post("/slots/1?action=erase", {})
            first = s.chat(id_slot=1)
            held = json.loads(s.ask("GET", "/slots")[2])
            used = first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"] - 1
            expect([x["id"] for x in held] == [0, 1] and held[1]["n_held"] == used and not held[1]["is_processing"] and held[0]["n_held"] == 0, str(held))
            status, saved = s.post("/slots/1?action=save", save)
            size = os.path.getsize(os.path.join(folder, "a talk.bin"))
            expect(status == 200 and saved["n_saved"] == used and saved["n_written"] == size and saved["id_slot"] == 1, f"{status} {saved} {size}")
            # While somebody is answered.
            long = s.connect()
            body = json.dumps({"messages": HELLO, "max_tokens": 400, "ignore_eos": True, "stream": True, "id_slot": 0}).encode()
            long.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            long.recv(1000)
            expect(s.post("/slots/1?action=save", {"filename": "b"})[0] == 200, "saved beside an answer")
            long.close()
            status, erased = s.post("/slots/1?action=erase", {})
            expect(status == 200 and erased == {"id_slot": 1, "n_erased": used}, str(erased))
            expect(s.ask("POST", "/slots/1?action=erase", headers={})[0] == 200, "erase without a body")
            os.mkdir(os.path.join(folder, "folder"))
            os.symlink("/etc/hostname", os.path.join(folder, "link"))
            for name in ("", "../x", "a/b", "/x", ".", "..", ".hidden", "folder", "link", "x\n", "x" * 201, "a\\b"):
                for action in "save", "restore":
                    status, reply = s.post(f"/slots/0?action={action}", {"filename": name})
                    has_error(reply, 400, "filename", got=status)
            for query, status in (("0", 400), ("0?action=burn", 400), ("2?action=erase", 404), ("x?action=erase", 404), ("-1?action=erase", 404)):
                got, reply = s.post(f"/slots/{query}", save)
                has_error(reply, status, got=got)
            got, reply = s.post("/slots/0?action=restore", {"filename": "none"})
            has_error(reply, 400, "none", got=got)
            expect(sorted(os.listdir(folder)) == ["a talk.bin", "b", "folder", "link"], str(os.listdir(folder)))
        with serving("--slot-save-path", folder, "-b", "32") as s:
            status, restored = s.post("/slots/0?action=restore", save)
            expect(status == 200 and restored["n_restored"] == used and restored["n_read"] == size, f"{status} {restored}")
            again = s.post("/v1/chat/completions", ask)[1]
            expect(again["choices"] == alone["choices"], f"the answer is another: {again} {alone}")
            known = again["usage"]["prompt_tokens_details"]["cached_tokens"]
            expect(known >= first["usage"]["prompt_tokens"] - 4, f"{known} tokens are known")
            with open(os.path.join(folder, "b"), "r+b") as f:
                f.seek(size // 2)
                byte = f.read(1)
                f.seek(size // 2)
                f.write(bytes([byte[0] ^ 1]))
            got, reply = s.post("/slots/0?action=restore", {"filename": "b"})
            has_error(reply, 400, "damaged", got=got)
            expect(s.post("/v1/chat/completions", ask)[1]["choices"] == alone["choices"], "behind a damaged file")
        with serving("--slot-save-path", folder, "-c", "64") as s:
            with open(os.path.join(folder, "long"), "wb") as f, open(os.path.join(folder, "a talk.bin"), "rb") as g:
                head = bytearray(g.read())
                head[16:24] = struct.pack("<q", 65)
                f.write(head)
            got, reply = s.post("/slots/0?action=restore", {"filename": "long"})
            has_error(reply, 400, "-c", got=got)


def check_pages():
    with serving("--alias", "small one", "--metrics") as s:
        listed = json.loads(s.ask("GET", "/v1/models")[2])
        expect(listed["data"][0]["id"] == "small one", str(listed))
        expect(s.ask("GET", "/v1/models/small%20one")[0] == 200, "the model by its name")
        has_error(json.loads(s.ask("GET", "/v1/models/other")[2]), 404, "other", "model_not_found")
        expect(s.chat()["model"] == "small one", "alias")
        props = json.loads(s.ask("GET", "/props")[2])
        expect(props["total_slots"] == 1 and props["default_generation_settings"]["n_ctx"] == 8192, str(props))
        expect(s.ask("GET", "/slots")[0] == 501, "slots")
        expect(s.metric("sequences_total") == 1 and s.metric("tokens_generated_total") > 0, "metrics")
        pieces = s.post("/tokenize", {"content": "Hello", "with_pieces": True})[1]["tokens"]
        expect("".join(p["piece"] for p in pieces) == "Hello", str(pieces))
        back = s.post("/detokenize", {"tokens": [p["id"] for p in pieces]})[1]
        expect(back == {"content": "Hello"}, str(back))
        shown = s.post("/apply-template", {"messages": [{"role": "user", "content": "Hi"}]})[1]
        expect(shown == {"prompt": "<bos><|turn>user\nHi<turn|>\n<|turn>model\n"}, str(shown))
        status, headers, text = s.ask("HEAD", "/health")
        expect(status == 200 and text == b"" and headers["content-length"] == "15", f"HEAD: {status} {text}")
        status, headers, _ = s.ask("GET", "/health", headers={"x-request-id": "mine-1"})
        expect(headers["x-request-id"] == "mine-1", str(headers))
        expect(s.ask("GET", "/health", headers={"x-request-id": "no\tgood"})[1]["x-request-id"].startswith("req_"), "request id")
    with serving() as s:
        expect(s.ask("GET", "/metrics")[0] == 501, "metrics without --metrics")


def check_errors():
    with serving("-c", "256") as s:
        chat = "/v1/chat/completions"
        for method, path, status in (("GET", "/nothing", 404), ("GET", chat, 405), ("POST", "/health", 405), ("DELETE", chat, 405)):
            got, headers, text = s.ask(method, path)
            has_error(json.loads(text), status, path, got=got)
            expect(status != 405 or headers["allow"], "405 without allow")
        for kind in "text/plain", "", "multipart/form-data; boundary=x":
            status, reply = s.post(chat, {"messages": HELLO}, {"content-type": kind})
            has_error(reply, 415, "application/json", got=status)
        expect(s.post(chat, {"messages": HELLO, "max_tokens": 1}, {"content-type": "Application/JSON; charset=utf-8"})[0] == 200, "charset")
        for body, words in ((b"", ["no JSON"]), (b"{", ["no JSON", "column 2"]), (b"[]", ["object", "a list"]), (b"\xff", ["UTF-8", "byte 0"]),
                            (b'{"messages": [{"role": "user", "content": "\xc3"}]}', ["UTF-8"]), (b'{"a": "\\ud800"}', ["no JSON"]),
                            (b'{"messages": ' + b"[" * 10000 + b"]" * 10000 + b"}", ["nested", "64"]), (b"[" * 1000000, ["nested"]),
                            (b'{"a": [' + b"1," * 600000 + b"1]}", ["values"]), (b"{" + b'"a":1,' * 5000 + b'"b":1}', ["members"]),
                            (b'{"temperature": 1e999}', ["range"])):
            status, _, text = s.ask("POST", chat, body)
            has_error(json.loads(text), 400, *words, got=status)
        for more in ({"temperature": "hot"}, {"temperature": -1}, {"top_p": 2}, {"max_tokens": 1.5}, {"max_tokens": -2}, {"n": 0}, {"n": 1000},
                     {"stop": 5}, {"stop": ["a", 1]}, {"stream": "yes"}, {"logit_bias": {"x": 1}}, {"logit_bias": {"99999999": 1}},
                     {"logit_bias": [1]}, {"seed": "a"}, {"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 21}, {"tools": {}},
                     {"tools": [{"type": "function"}]}, {"stream_options": []}, {"stream_options": {"include_usage": 1}},
                     {"response_format": "json"}, {"chat_template_kwargs": {"enable_thinking": "no"}}):
            status, reply = s.post(chat, {"messages": HELLO} | more)
            has_error(reply, 400, list(more)[-1], "expects", got=status)
        for messages in (None, [], "Hi", [1], [{"content": "x"}], [{"role": "user", "content": 5}],
                         [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/etc/passwd"}}]}]):
            status, reply = s.post(chat, {"messages": messages})
            has_error(reply, 400, "messages", got=status)
            expect("root:" not in json.dumps(reply), "a file was read")
        for text in "word " * 400, "word " * 400000:
            status, reply = s.post(chat, {"messages": [{"role": "user", "content": text}]})
            has_error(reply, 400, "context_length_exceeded", "256", got=status)
        status, reply = s.post(chat, {"messages": HELLO, "max_tokens": 3, "tool_choice": "required"})
        expect(status == 200, f"a call without tools is demanded: {reply}")


def check_limits():
    with serving("--max-body", "1", "--timeout", "1", "--max-connections", "8", "--metrics") as s:
        post = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        got = s.raw(post + b"content-length: 100000000\r\n\r\n" + b"x" * 3000000)
        expect(got.startswith(b"HTTP/1.1 413"), f"a large body: {got[:200]}")
        got = s.raw(post + b"transfer-encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 20)
        expect(got.startswith(b"HTTP/1.1 413"), f"a large body in chunks: {got[:200]}")
        got = s.raw(b"GET /health HTTP/1.1\r\n" + b"x: y\r\n" * 10000 + b"\r\n")
        expect(got.startswith(b"HTTP/1.1 431"), f"a large header: {got[:200]}")
        got = s.raw(b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n")
        expect(got.startswith(b"HTTP/1.1 4"), f"a long path: {got[:200]}")
        for bad in (b"\0\1\2\3\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
                    post + b"content-length: -5\r\n\r\n", post + b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
                    post + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\nabcde", post + b"transfer-encoding: chunked\r\n\r\nzz\r\n"):
            got = s.raw(bad)
            expect(got.startswith(b"HTTP/1.1 400"), f"{bad[:60]!r} gives {got[:100]}")
        # Slow senders: a header, a body, a byte at a time or nothing.
        for begin in (b"", b"GET /hea", post + b"content-length: 50\r\n\r\n{"):
            with s.connect() as slow:
                slow.sendall(begin or b"G")
                start = time.time()
                got = b""
                while piece := slow.recv(4096):
                    got += piece
                expect(got.startswith(b"HTTP/1.1 408") and 0.5 < time.time() - start < 6, f"{begin!r}: {got[:60]} {time.time() - start}")
        # Idle connections make room for new ones; busy ones do not.
        idle = [s.connect() for _ in range(8)]
        time.sleep(0.3)
        s.alive()
        for each in idle:
            each.close()
        half = [s.connect() for _ in range(8)]
        for each in half:
            each.sendall(b"G")
        time.sleep(0.3)
        got = s.raw(b"GET /health HTTP/1.1\r\n\r\n")
        expect(got.startswith(b"HTTP/1.1 503"), f"beyond the limit: {got[:100]}")
        for each in half:
            each.close()
        time.sleep(0.3)
        # Two requests in one piece, and one after the other, on one connection.
        with s.connect() as two:
            two.sendall(b"GET /health HTTP/1.1\r\n\r\nGET /props HTTP/1.1\r\nconnection: close\r\n\r\n")
            got = b""
            while piece := two.recv(65536):
                got += piece
            expect(got.count(b"HTTP/1.1 200 OK") == 2 and b"total_slots" in got, f"two requests: {got}")
        got = s.raw(b"GET /health HTTP/1.0\r\n\r\n")
        expect(b'{"status":"ok"}' in got, f"HTTP/1.0: {got}")
        with s.connect() as expecting:
            expecting.sendall(post + b"content-length: 2\r\nexpect: 100-continue\r\n\r\n")
            expect(expecting.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n", "no 100 Continue")
            expecting.sendall(b"{}")
            got = b""
            while b"messages" not in got and (piece := expecting.recv(4096)):
                got += piece
            expect(b"messages" in got, f"no answer after 100 Continue: {got}")


def begin_stream(s, room=None, **more):
    """A connection, with so much room for what comes, on which a long answer has begun."""
    body = json.dumps({"messages": HELLO, "stream": True, "ignore_eos": True} | more).encode()
    c = socket.socket()
    c.settimeout(20)
    if room:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    c.connect((s.host, s.port))
    c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    got = b""
    while b"data: " not in got:
        got += c.recv(1024)
    return c


def wait_for(what, text, seconds=10):
    end = time.time() + seconds
    while not what():
        if time.time() > end:
            return fail(text)
        time.sleep(0.02)


def check_shared():
    """Instructions that several prompts begin with are computed once, however long ago that was."""
    system = {"role": "system", "content": " ".join(f"Rule {i}: be brief." for i in range(80))}

    def cached(s, word):
        question = " ".join([word] * 350) # longer than the ring of sliding layers
        reply = s.chat(messages=[system, {"role": "user", "content": question}], max_tokens=20, ignore_eos=True)
        return reply["usage"]["prompt_tokens_details"]["cached_tokens"], reply["usage"]["prompt_tokens"], reply["choices"][0]["message"]["content"]

    words = ["red", "cat", "sun"]
    with serving("-c", "2048", "-b", "64", "--cache-ram", "0") as s:
        alone = [cached(s, w) for w in words]
    with serving("-c", "2048", "-b", "64") as s:
        got = [cached(s, w) for w in words]
    expect([g[2] for g in got] == [a[2] for a in alone], "other answers")
    expect(got[0][0] < 10 and got[2][0] > 900, f"instructions are computed again: {got}")
    expect(alone[2][0] < 10, f"without room: {alone}")


def check_leaving():
    with serving("--metrics", "--timeout", "1") as s:
        quiet = lambda: s.metric("slots_busy") == 0 and s.metric("sequences_waiting") == 0
        # Closed, shut down on one side, reset; in a stream, in a whole answer, in the queue.
        begin_stream(s).close()
        wait_for(quiet, "a client that left is still answered")
        c = begin_stream(s)
        c.shutdown(socket.SHUT_WR)
        wait_for(quiet, "a client that has shut down its side is still answered")
        c.close()
        body = json.dumps({"messages": HELLO, "ignore_eos": True, "n": 3}).encode()
        c = s.connect()
        c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        wait_for(lambda: s.metric("slots_busy") > 0, "nothing begins")
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        c.close()
        wait_for(quiet, "a client that left before its answer is still answered")
        expect(s.metric("clients_left_total") >= 3, "clients that left are not counted")
        # One that reads nothing: its answer is ended, those of others are not.
        c = begin_stream(s, 8192, logprobs=True, top_logprobs=20)
        wait_for(quiet, "a client that reads nothing is still answered", 60)
        c.close()
        wait_for(lambda: s.metric("clients_left_total") >= 4, "a client that reads nothing has not left")
        s.chat()


MEDIA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/eval/media")
WHAT = "What is in the picture?"


def read_bytes(name):
    with open(os.path.join(MEDIA, name), "rb") as f:
        return f.read()


def base64_of(data):
    return base64.b64encode(data).decode()


def picture_part(data, kind="png"):
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{base64_of(data)}"}}


def sound_part(data, kind="wav"):
    return {"type": "input_audio", "input_audio": {"data": base64_of(data), "format": kind}}


def png(width, height, data=None, rows=None):
    """A PNG of that size; `data`: RGB of all of it, `rows`: how many of them there are."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = height if rows is None else rows
    data = data or bytes(3 * width * rows)
    lines = b"".join(b"\0" + data[3 * width * i:3 * width * (i + 1)] for i in range(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def seen(*parts, text=WHAT):
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def content_of(reply):
    return reply["choices"][0]["message"]["content"]


def cached_of(reply):
    return reply["usage"]["prompt_tokens_details"]["cached_tokens"]


def run_with(*flags):
    """What `run` says."""
    done = subprocess.run([PROGRAM, "run", "--temp", "0", *MACHINE, *flags], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    expect(done.returncode == 0, f"run {flags}: {done.stderr}")
    return done.stdout.rstrip("\n")


def check_media():
    """Pictures and sounds: answers are those of `run`, with several clients at once."""
    import threading
    pictures, sounds = [f"img{i:03}.png" for i in (3, 5, 6, 9)], [f"aud{i:03}.wav" for i in (0, 1)]
    cases = [([picture_part(read_bytes(f))], WHAT, run_with("--image", os.path.join(MEDIA, f), "-p", WHAT)) for f in pictures]
    cases += [([sound_part(read_bytes(f))], "Transcribe the audio.", run_with("--audio", os.path.join(MEDIA, f), "-p", "Transcribe the audio.")) for f in sounds]
    both = [part for f in pictures[:2] for part in ("--image", os.path.join(MEDIA, f))] + ["--audio", os.path.join(MEDIA, sounds[0])]
    cases.append(([picture_part(read_bytes(f)) for f in pictures[:2]] + [sound_part(read_bytes(sounds[0]))], WHAT, run_with(*both, "-p", WHAT)))
    expect(len({c[2] for c in cases}) > 4, f"the answers are too much alike: {cases}")
    plain = {"max_tokens": 100}
    with serving("--parallel", "3", "-c", "1024", "--metrics") as s:
        expect(json.loads(s.ask("GET", "/props")[2])["modalities"] == {"vision": True, "audio": True}, "modalities")
        wrong = []

        def client(number):
            for i in range(len(cases)):
                parts, text, wanted = cases[(i + 3 * number) % len(cases)]
                try:
                    got = content_of(s.chat(messages=seen(*parts, text=text), **plain))
                except Exception as e:
                    got = repr(e)
                if got != wanted:
                    wrong.append(f"{text}: {got!r}, run says {wanted!r}")

        clients = [threading.Thread(target=client, args=(i,)) for i in range(5)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        expect(not wrong, "\n".join(wrong))
        # A file that is known is reused with its rows, another one at its place is not.
        parts, text, wanted = cases[0]
        again = s.chat(messages=seen(*parts, text=text), **plain)
        rows = again["usage"]["prompt_tokens"]
        expect(content_of(again) == wanted and cached_of(again) > rows - 3, f"computed again: {again}")
        other = s.chat(messages=seen(picture_part(png(96, 96, bytes([200, 30, 30]) * 9216)), text=text), **plain)
        expect(cached_of(other) < 8, f"rows of another picture are reused: {other}")
        # The same in the other APIs; what counts tokens counts rows.
        source = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64_of(read_bytes(pictures[0]))}}
        message = {"messages": seen(source), "temperature": 0, "max_tokens": 100}
        status, reply = s.post("/v1/messages", message)
        expect(status == 200 and reply["content"][0]["text"] == wanted, f"/v1/messages: {reply}")
        expect(s.post("/v1/messages/count_tokens", {"messages": message["messages"]}) == (200, {"input_tokens": rows}), "count_tokens")
        parts = [{"type": "input_image", "image_url": parts[0]["image_url"]["url"]}, {"type": "input_text", "text": WHAT}]
        asked = {"input": [{"role": "user", "content": parts}], "temperature": 0}
        status, reply = s.post("/v1/responses", asked)
        expect(status == 200 and reply["output"][-1]["content"][0]["text"] == wanted, f"/v1/responses: {reply}")
        expect(s.post("/v1/responses/input_tokens", asked)[1]["input_tokens"] == rows, "input_tokens")
    # Few numbers for rows: they are given anew, and mean nothing of what they meant.
    with serving("--test-media-rows", "150", "-c", "1024") as s:
        for parts, text, wanted in cases[:4] + cases[:4]:
            expect(content_of(s.chat(messages=seen(*parts, text=text), **plain)) == wanted, "another answer after numbers were given anew")


def check_media_errors():
    """What is no picture or sound, or too much of it, is an error; nothing is opened."""
    def refused(s, status, *words, parts):
        got, reply = s.post("/v1/chat/completions", {"messages": seen(*parts), "max_tokens": 1})
        has_error(reply, status, *words, got=got)

    good = picture_part(read_bytes("img003.png"))
    noise = random.Random(1).randbytes(3 * 350 * 350)
    with serving("--media-ram", "1", "--image-pixels", "1000000", "-c", "512") as s:
        here = os.path.join(MEDIA, "img003.png")
        for url in here, "file://" + here, "http://127.0.0.1:1/x.png", "-", "FILE:" + here, "/dev/stdin":
            refused(s, 400, "data:", "not opened", parts=[good, {"type": "image_url", "image_url": {"url": url}}])
            refused(s, 400, "not opened", parts=[{"type": "input_audio", "input_audio": {"data": url, "format": "wav"}}])
        whole = read_bytes("img003.png")
        for data in whole[:300], b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(20), b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"no picture", png(30000, 30000, rows=1), png(0, 5), png(5, 5, rows=2), read_bytes("aud000.wav"):
            refused(s, 400, "picture or sound 2", parts=[good, picture_part(data)])
        for data in read_bytes("aud000.wav")[:30], b"RIFF", b"fLaC" + bytes(50), b"ID3\4" + bytes(80), whole, b"OggS" + bytes(60):
            refused(s, 400, "picture or sound 1", parts=[sound_part(data)])
        refused(s, 400, "empty", parts=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}])
        refused(s, 400, "base64", parts=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}}])
        refused(s, 400, "pixels", parts=[picture_part(png(2000, 1000))])
        refused(s, 400, "at most 64", parts=[good] * 65)
        refused(s, 400, "the context holds", parts=[good] * 60)
        refused(s, 400, "films", parts=[{"type": "video_url", "video_url": {"url": "data:image/gif;base64,R0lGODlh"}}])
        refused(s, 400, "--media-ram", parts=[picture_part(png(700, 700, random.Random(2).randbytes(3 * 700 * 700)))])
        # Each fits, both do not at once; those of earlier requests make room.
        two = [picture_part(png(350, 350, noise)), picture_part(png(350, 350, noise[::-1]))]
        refused(s, 503, "--media-ram", parts=two)
        for part in two:
            s.chat(messages=seen(part), max_tokens=1)
        s.chat(messages=seen(good), max_tokens=1)
    for flags in ["--no-media"], ["-c", "32"]:
        with serving(*flags) as s:
            expect(json.loads(s.ask("GET", "/props")[2])["modalities"]["vision"] is False, f"modalities with {flags}")
            refused(s, 400, flags[0] if len(flags) == 1 else "larger -c", parts=[good])


def check_load():
    """16 clients on 4 slots: answers are those of a client alone, memory stays inside the plan.

    LOAD_SECONDS: for how long (600 for a real one)."""
    import threading
    call = {"tools": CALL_CHAT["tools"], "tool_choice": "required", "max_tokens": 120}
    words = "the cat sat on a mat and saw a dog with red shoes in Paris while rain fell over seven towns".split()

    def requests(rng):
        for i in range(10):
            text = " ".join(rng.choice(words) for _ in range(rng.choice((3, 20, 150, 600))))
            chat = {"messages": [{"role": "system", "content": "Be brief." if i % 2 else "Answer in one word."}, {"role": "user", "content": text}], "seed": i, "max_tokens": rng.choice((1, 12, 60))}
            yield "/v1/chat/completions", chat
            yield "/v1/chat/completions", chat | {"temperature": 0, "logprobs": True, "top_logprobs": 3, "n": 2}
            yield "/v1/chat/completions", chat | {"temperature": 1.5, "presence_penalty": 0.5, "logit_bias": {"300": 2}}
            yield "/v1/chat/completions", chat | call
            yield "/v1/chat/completions", chat | {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array", "items": {"type": "integer"}, "maxItems": 3}}}}
            yield "/v1/chat/completions", chat | {"reasoning_effort": "low", "stop": ["."]}
            yield "/v1/completions", {"prompt": text, "seed": i, "max_tokens": 30, "echo": i % 3 == 0, "logprobs": 2}
            yield "/v1/messages", {"messages": [{"role": "user", "content": text}], "seed": i, "max_tokens": 30}
            yield "/v1/responses", {"input": text, "seed": i, "max_output_tokens": 30}

    def strip(value):
        """Without what differs from one answer to another."""
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items() if k not in ("id", "call_id", "created", "created_at", "completed_at", "timings", "cache_read_input_tokens", "input_tokens", "prompt_tokens_details", "input_tokens_details")}
        return [strip(v) for v in value] if isinstance(value, list) else value

    seconds = float(os.environ.get("LOAD_SECONDS", "4"))
    with serving("--parallel", "4", "-c", "2048", "--metrics") as s:
        asked = list(requests(random.Random(5)))
        alone = []
        for path, body in asked:
            status, reply = s.post(path, body)
            expect(status == 200, f"{path} {body}: {reply}")
            alone.append(strip(reply))
        end, wrong, done = time.time() + seconds, [], []

        def client(number):
            rng = random.Random(number)
            while time.time() < end and len(wrong) < 5:
                which = rng.randrange(len(asked))
                path, body = asked[which]
                try:
                    if rng.random() < 0.1: # one that leaves
                        with s.connect() as c:
                            data = json.dumps(body | {"stream": True}).encode()
                            c.sendall(f"POST {path} HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
                            c.recv(rng.choice((1, 300)))
                        continue
                    status, reply = s.post(path, body)
                    if status != 200 or strip(reply) != alone[which]:
                        wrong.append(f"{path} {body}: {status} {reply}\nalone: {alone[which]}")
                except Exception as e:
                    wrong.append(f"{path} {body}: {e!r}")
                done.append(which)

        clients = [threading.Thread(target=client, args=(i,)) for i in range(16)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        expect(not wrong, "\n".join(wrong)[:4000])
        expect(len(done) > 8 * seconds, f"{len(done)} answers")
        peak, planned = s.metric("memory_peak_bytes"), s.metric("memory_planned_bytes")
        plan = subprocess.run([PROGRAM, "info", "-np", "4", "-c", "2048", *MACHINE, "--json"], capture_output=True, text=True, check=True)
        own = json.loads(plan.stdout)["total_bytes"]
        print(f"load: {len(done)} answers, peak {peak >> 20} MiB of {planned >> 20}, the model's {own >> 20}")
        expect(peak <= planned and peak <= own + (64 << 20), f"peak {peak}, planned {planned}, for the model {own}")


def check_keys():
    with open("keys", "w", encoding="utf-8") as f:
        f.write("first-key\nsecond-key\r\n\n")
    with serving("--api-key-file", "keys", "--api-key", "third") as s:
        expect(s.ask("GET", "/health")[0] == 200, "health needs a key")
        for headers in {}, {"authorization": "Bearer wrong"}, {"x-api-key": "first-ke"}, {"authorization": "first-key"}, {"authorization": "Bearer "}:
            status, got, text = s.ask("GET", "/v1/models", headers=headers)
            has_error(json.loads(text), 401, "invalid_api_key", got=status)
        for headers in {"authorization": "Bearer first-key"}, {"authorization": "bearer second-key"}, {"x-api-key": "third"}:
            expect(s.ask("GET", "/v1/models", headers=headers)[0] == 200, f"{headers} is not let in")
    for flags, words in ((["--host", "0.0.0.0"], ["--api-key"]), (["--host", "::"], ["--api-key"]), (["--host", "example.com"], ["--host", "address"]),
                         (["--api-key", ""], ["--api-key"]), (["--port", "70000"], ["--port", "65535"])):
        done = subprocess.run([PROGRAM, "serve", "--port", "0", *flags], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        expect(done.returncode == 2 and all(w in done.stderr for w in words), f"{flags}: {done.returncode} {done.stderr}")
    with serving("--api-key", "k", host="0.0.0.0") as s:
        expect(s.ask("GET", "/v1/models", headers={"x-api-key": "k"})[0] == 200, "all addresses")
    if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6") and "00000001 01" in open("/proc/net/if_inet6").read():
        with serving(host="::1") as s:
            s.chat(max_tokens=1)


def check_browsers():
    with serving() as s:
        own = f"127.0.0.1:{s.port}"
        for headers, status in (({}, 200), ({"host": own, "origin": f"http://{own}"}, 200), ({"host": "localhost:1"}, 200),
                                ({"host": "evil.example"}, 403), ({"host": own, "origin": "http://evil.example"}, 403), ({"host": own, "origin": "null"}, 403)):
            got, answer, _ = s.ask("GET", "/v1/models", headers=headers)
            expect(got == status and "access-control-allow-origin" not in answer, f"{headers}: {got} {answer}")
    with serving("--cors", "http://page.example") as s:
        page = {"origin": "http://page.example"}
        got, answer, _ = s.ask("OPTIONS", "/v1/chat/completions", headers=page)
        expect(got == 204 and answer["access-control-allow-origin"] == "http://page.example" and "content-type" in answer["access-control-allow-headers"],
               f"preflight: {got} {answer}")
        got, answer, _ = s.ask("POST", "/v1/chat/completions", {"messages": HELLO, "max_tokens": 1}, JSON | page)
        expect(got == 200 and answer["access-control-allow-origin"] == "http://page.example", f"{got} {answer}")
        expect(s.ask("GET", "/v1/models", headers={"origin": "http://other.example"})[0] == 403, "another page is let in")


def check_drain():
    server = Server("--log-json")
    c = begin_stream(server, max_tokens=2000)
    idle = server.connect()
    server.process.send_signal(signal.SIGTERM)
    got = b""
    while piece := c.recv(65536):
        got += piece
    expect(got.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), f"an answer under way is cut off: {got[-100:]}")
    expect(idle.recv(10) == b"", "an idle connection stays open")
    code = server.process.wait(20)
    lines = [json.loads(line) for line in server.process.stderr]
    expect(code == -signal.SIGTERM, f"ends with {code}")
    expect(len(lines) == 1 and lines[0]["status"] == 200 and lines[0]["path"] == "/v1/chat/completions", f"log: {lines}")
    expect("capital" not in json.dumps(lines), "the log has the prompt")
    server = Server("--drain", "0.3")
    c = begin_stream(server)
    code, text = server.end(wait=20)
    expect(code == -signal.SIGTERM and "cut off" in text, f"a short drain: {code} {text}")
    c.close()


checks.run([value for name, value in list(globals().items()) if name.startswith("check_")], sys.argv[2:])
