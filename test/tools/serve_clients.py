"""Talks to `PROGRAM serve` with the official clients: serve_clients.py PROGRAM.

Needs PyPI's `openai` and `anthropic` (newest), which no build or test installs;
without them the run is skipped. PROGRAM is nano-e."""
import subprocess
import sys

try:
    import anthropic
    import openai
    import pydantic  # which both need
except ImportError as e:
    print(f"SKIP: {e}")
    sys.exit(0)

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import checks
from checks import expect, fail

PROGRAM = sys.argv[1]
HELLO = [{"role": "user", "content": "What is the capital of France?"}]
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "The weather of a city.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "description": "The city."}}, "required": ["city"]}}}


def refuses(kind, call):
    try:
        call()
    except kind as e:
        return e
    fail(f"no {kind.__name__}")


def check_models():
    names = [m.id for m in client.models.list()]
    expect(len(names) == 1 and client.models.retrieve(names[0]).owned_by == "gemmac", str(names))
    refuses(openai.NotFoundError, lambda: client.models.retrieve("other"))


def check_chat():
    whole = client.chat.completions.create(model="any", messages=HELLO, temperature=0)
    choice = whole.choices[0]
    expect("Paris" in choice.message.content and choice.finish_reason == "stop", str(choice))
    expect(whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens, str(whole.usage))
    text, last = "", None
    for chunk in client.chat.completions.create(model="any", messages=HELLO, temperature=0, stream=True, stream_options={"include_usage": True}):
        text += chunk.choices[0].delta.content or "" if chunk.choices else ""
        last = chunk
    expect(text == choice.message.content and last.usage.total_tokens == whole.usage.total_tokens, f"{text!r} {last}")
    several = client.chat.completions.create(model="any", messages=HELLO, n=2, seed=3, max_tokens=5, logprobs=True, top_logprobs=3)
    expect(len(several.choices) == 2 and len(several.choices[0].logprobs.content[0].top_logprobs) == 3, str(several))


def check_stream_helper():
    with client.chat.completions.stream(model="any", messages=HELLO, temperature=0) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    expect("Paris" in final.choices[0].message.content, str(final))
    expect(final.choices[0].message.role == "assistant" and final.choices[0].finish_reason == "stop", str(final))


def check_tools():
    ask = [{"role": "user", "content": "What is the weather in Paris?"}]
    whole = client.chat.completions.create(model="any", messages=ask, tools=[TOOL], temperature=0, max_tokens=60)
    with client.chat.completions.stream(model="any", messages=ask, tools=[TOOL], temperature=0, max_tokens=60) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    a, b = whole.choices[0], final.choices[0]
    calls = [[(c.function.name, c.function.arguments, c.type) for c in x.message.tool_calls or []] for x in (a, b)]
    expect(calls[0] == calls[1] and a.finish_reason == b.finish_reason and (a.message.content or "") == (b.message.content or ""),
           f"whole and stream differ: {a} {b}")
    print("tools:", a.finish_reason, calls[0])
    if calls[0]:
        call = a.message.tool_calls[0]
        answer = {"role": "tool", "tool_call_id": call.id, "content": "15 degrees"}
        more = client.chat.completions.create(model="any", messages=ask + [a.message.model_dump(exclude_none=True), answer], tools=[TOOL],
                                              temperature=0, max_tokens=40)
        expect(more.choices[0].message.content, str(more))


def check_parse():
    done = client.chat.completions.parse(model="any", messages=HELLO, response_format=Place, temperature=0, max_tokens=200)
    expect(isinstance(done.choices[0].message.parsed, Place), str(done))
    forced = client.chat.completions.create(model="any", messages=HELLO, tools=[TOOL], tool_choice="required", temperature=0, max_tokens=200)
    expect(forced.choices[0].message.tool_calls and forced.choices[0].finish_reason == "tool_calls", str(forced))


def check_text():
    done = client.completions.create(model="any", prompt=["The capital", "A"], max_tokens=4, temperature=0, logprobs=1, echo=False)
    expect(len(done.choices) == 2 and len(done.choices[0].logprobs.tokens) == 4, str(done))
    text = "".join(c.choices[0].text for c in client.completions.create(model="any", prompt="The capital", max_tokens=4, temperature=0, stream=True))
    expect(text == done.choices[0].text, f"{text!r} {done.choices[0].text!r}")


def check_errors():
    e = refuses(openai.BadRequestError, lambda: client.chat.completions.create(model="any", messages=HELLO, temperature=-5))
    expect(e.param == "temperature" and "temperature" in e.message and e.type == "invalid_request_error", repr(e))
    e = refuses(openai.BadRequestError, lambda: client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "many words " * 20000}]))
    expect(e.code == "context_length_exceeded", repr(e))
    wrong = openai.OpenAI(base_url=client.base_url, api_key="wrong", max_retries=0)
    refuses(openai.AuthenticationError, lambda: wrong.models.list())


FUNCTION = {"type": "function", "strict": True, **{k: v for k, v in TOOL["function"].items()}}
CUSTOM = {"name": "get_weather", "description": "The weather of a city.", "input_schema": TOOL["function"]["parameters"]}
ASK = [{"role": "user", "content": "What is the weather in Paris?"}]


class Place(pydantic.BaseModel):
    city: str = pydantic.Field(max_length=12)
    large: bool


def check_responses():
    whole = client.responses.create(model="any", input="What is the capital of France?", temperature=0)
    expect("Paris" in whole.output_text and whole.status == "completed" and whole.usage.total_tokens > 0, str(whole))
    with client.responses.stream(model="any", input="What is the capital of France?", temperature=0) as stream:
        kinds = [e.type for e in stream]
        final = stream.get_final_response()
    expect(final.output_text == whole.output_text and kinds[0] == "response.created" and kinds[-1] == "response.completed", f"{kinds} {final}")
    with client.responses.stream(model="any", input=ASK, tools=[FUNCTION], tool_choice="required", temperature=0) as stream:
        for _ in stream:
            pass
        called = stream.get_final_response()
    call = called.output[-1]
    expect(call.type == "function_call" and call.parsed_arguments["city"], str(called))
    more = client.responses.create(model="any", tools=[FUNCTION], temperature=0, max_output_tokens=40, input=ASK + [o.model_dump() for o in called.output] + [
        {"type": "function_call_output", "call_id": call.call_id, "output": "15 degrees"}])
    expect(more.output, str(more))
    parsed = client.responses.parse(model="any", input="What is the capital of France?", text_format=Place, max_output_tokens=200)
    expect(isinstance(parsed.output_parsed, Place), str(parsed))
    refuses(openai.BadRequestError, lambda: client.responses.create(model="any", input="x", previous_response_id="resp_1"))


def check_anthropic():
    more = {"model": "any", "max_tokens": 200, "extra_body": {"temperature": 0}}
    whole = claude.messages.create(messages=HELLO, **more)
    expect("Paris" in whole.content[0].text and whole.stop_reason == "end_turn" and whole.usage.output_tokens > 0, str(whole))
    with claude.messages.stream(messages=HELLO, **more) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    expect(text == whole.content[0].text == final.content[0].text and final.usage.output_tokens == whole.usage.output_tokens, f"{text!r} {final}")
    expect(claude.messages.count_tokens(model="any", messages=HELLO).input_tokens == whole.usage.input_tokens + whole.usage.cache_read_input_tokens, "count_tokens")
    with claude.messages.stream(messages=ASK, tools=[CUSTOM], tool_choice={"type": "any"}, **more) as stream:
        called = stream.get_final_message()
    call = called.content[-1]
    expect(called.stop_reason == "tool_use" and call.type == "tool_use" and call.input["city"], str(called))
    answer = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "15 degrees"}]}
    expect(claude.messages.create(messages=ASK + [{"role": "assistant", "content": called.content}, answer], tools=[CUSTOM], **more).content, "a loop of tools")
    thinks = claude.messages.create(messages=HELLO, thinking={"type": "enabled", "budget_tokens": 1024}, **more)
    expect(thinks.content[0].type == "thinking", str(thinks))
    expect(isinstance(claude.messages.parse(messages=HELLO, output_format=Place, **more).parsed_output, Place), "parse")
    e = refuses(anthropic.BadRequestError, lambda: claude.messages.create(messages=[{"role": "user", "content": "many words " * 20000}], **more))
    expect(e.body["error"]["code"] == "context_length_exceeded", repr(e))
    wrong = anthropic.Anthropic(base_url=url, api_key="wrong", max_retries=0)
    refuses(anthropic.AuthenticationError, lambda: wrong.messages.create(messages=HELLO, **more))


server = subprocess.Popen([PROGRAM, "serve", "--port", "0", "-t", "1", "--api-key", "good"], stderr=subprocess.PIPE, text=True)
while not (line := server.stderr.readline()).startswith("listening on "):
    expect(line, "the server does not listen")
url = line.removeprefix("listening on ").strip()
client = openai.OpenAI(base_url=url + "/v1", api_key="good", max_retries=0)
claude = anthropic.Anthropic(base_url=url, api_key="good", max_retries=0)
try:
    checks.run([value for name, value in list(globals().items()) if name.startswith("check_")])
finally:
    server.terminate()
    server.wait()
