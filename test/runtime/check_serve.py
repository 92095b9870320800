"""Checks `PROGRAM serve` (server.py): answers, streams, limits, and that nothing a
client does ends it. Works in the current folder."""
import json
import os
import random
import signal
import socket
import subprocess
import time

from server import begin_stream, CALL_CHAT, has_error, HELLO, JSON, MACHINE, PROGRAM, Server, serving, wait_for, run_checks
from checks import expect, fail


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
        for prompt, word in ((None, "got none"), ([], "a list"), ([[]], "a list in the list"), ({"a": 1}, "an object"), ([1, {}], "ids"),
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
                     {"stop": 5}, {"stop": ["a", 1]}, {"stream": "yes"}, {"logit_bias": {"": 1}}, {"logit_bias": {"x": True}}, {"logit_bias": [["a " * 3000, 1]] * 2}, {"logit_bias": [["a" * 70000, 1]]}, {"stop": ["a" * 70000]}, {"logit_bias": {"99999999": 1}},
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


run_checks(globals())
