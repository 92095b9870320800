"""Checks the APIs of `PROGRAM serve` (server.py) against each other, the program
and their description."""
import json
import os
import re
import struct
import tempfile

from server import CALL_CHAT, CITY, has_error, HELLO, JSON, serving, wait_for, run_checks
from checks import expect, fail


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
        middle = next((a, b) for a in range(1, len(ids)) for b in range(a + 1, len(ids))
                      if s.post("/tokenize", {"content": s.post("/detokenize", {"tokens": ids[a:b]})[1]["content"]})[1]["tokens"] == ids[a:b])
        between = s.post("/detokenize", {"tokens": ids[middle[0]:middle[1]]})[1]["content"]
        for mixed in [*ids[:middle[0]], between, *ids[middle[1]:]], [*ids[:-1], s.post("/detokenize", {"tokens": ids[-1:]})[1]["content"]]:
            answer = s.post("/completion", body | {"prompt": mixed})[1]
            expect(answer["content"] == r["content"] and answer["prompt"] == prompt, f"ids and texts: {answer}")
        count = lambda prompt: s.post("/completion", {"prompt": prompt, "n_predict": 0})[1]["tokens_evaluated"]
        expect((count([5, "a"]), count(["a", 5]), count([5, "<bos>a"]), count("a")) == (2, 3, 3, 2), "<bos> of mixed prompts")
        expect(s.post("/completion", body | {"prompt": [prompt]})[1]["content"] == r["content"], "a list of one prompt")
        several = s.post("/completion", body | {"prompt": [prompt, ids]})[1]
        expect([e["content"] for e in several] == [r["content"]] * 2 and [e["index"] for e in several] == [0, 1], str(several))
        fields = s.post("/completion", body | {"response_fields": ["content", "generation_settings/n_predict", "none", "content/none"]})[1]
        expect(fields == {"content": r["content"], "generation_settings/n_predict": 40}, str(fields))
        # A token that is never drawn, by id and by text.
        first = r["tokens"][0]
        for of in (first, s.post("/detokenize", {"tokens": [first]})[1]["content"]):
            other = s.post("/completion", body | {"return_tokens": True, "logit_bias": [[of, False]]})[1]
            expect(first not in other["tokens"] and other["tokens"], f"{of!r} never: {other}")
        # Digits are a text in a pair and an id as a key.
        plain = s.post("/completion", body | {"logit_bias": [[str(first), False]]})[1]
        keyed = s.post("/completion", body | {"logit_bias": {str(first): False}})[1]
        expect(plain["content"] == r["content"] != keyed["content"], f"digits: {plain} {keyed}")
        lines = s.events("/completion", body | {"grammar": 'root ::= "a\\n" "b"'})[-1]
        expect(lines["has_new_line"] and lines["tokens_cached"] == lines["tokens_evaluated"] + lines["tokens_predicted"] - 1, str(lines))
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
            show = lambda: json.loads(s.ask("GET", "/slots")[2])
            wait_for(lambda: not show()[1]["is_processing"], "the slot stays busy")
            held = show()
            used = first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"] - 1
            expect([x["id"] for x in held] == [0, 1] and held[1]["n_held"] == used and not held[1]["is_processing"] and held[0]["n_held"] == 0, str(held))
            status, saved = s.post("/slots/1?action=save", save)
            size = os.path.getsize(os.path.join(folder, "a talk.bin"))
            expect(status == 200 and saved["n_saved"] == used and saved["n_written"] == size and saved["id_slot"] == 1, f"{status} {saved} {size}")
            # While somebody is answered.
            long = s.connect()
            body = json.dumps({"messages": HELLO, "max_tokens": 8000, "ignore_eos": True, "stream": True, "id_slot": 0}).encode()
            long.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            long.recv(1000)
            expect(s.post("/slots/1?action=save", {"filename": "b"})[0] == 200, "saved beside an answer")
            expect(show()[0]["is_processing"], "the answer is over already")
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


run_checks(globals())
