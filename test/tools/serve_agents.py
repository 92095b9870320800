"""Talks to `PROGRAM serve` as the libraries do that agents are written with:
serve_agents.py PROGRAM [NAME...].

Each check needs packages of PyPI (newest) that no build or test installs, and
is skipped without them; some do not go together in one environment. PROGRAM is
nano-e, whose answers with tools mean little: what counts is that they come."""
import asyncio
import os
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import checks
from checks import expect

PROGRAM = sys.argv[1]
QUESTION = "What is the capital of France?"
HELLO = [{"role": "user", "content": QUESTION}]
WEATHER = "What is the weather in Paris?"
ANSWER = "The capital of France is Paris."


def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: The city.
    """
    return f"15 degrees in {city}"


def check_litellm():
    import litellm
    for model, base in (("openai/nano", URL + "/v1"), ("anthropic/nano", URL)):
        more = {"model": model, "api_base": base, "api_key": "x", "messages": HELLO, "temperature": 0}
        whole = litellm.completion(**more)
        expect(whole.choices[0].message.content == ANSWER and whole.choices[0].finish_reason == "stop", f"{model}: {whole}")
        stream = "".join(c.choices[0].delta.content or "" for c in litellm.completion(stream=True, **more))
        expect(stream == ANSWER, f"{model}: {stream!r}")
    answer = litellm.responses(model="openai/nano", api_base=URL + "/v1", api_key="x", input=QUESTION, temperature=0)
    expect(answer.output[0].content[0].text == ANSWER, str(answer))


def check_pydantic_ai():
    from pydantic import BaseModel
    from pydantic_ai import Agent, UsageLimitExceeded
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

    class Place(BaseModel):
        city: str

    for kind in (OpenAIChatModel, OpenAIResponsesModel, AnthropicModel):
        settings = {"temperature": 0, "max_tokens": 200}
        expect(Agent(kind("nano")).run_sync(QUESTION, model_settings=settings).output == ANSWER, kind.__name__)
        expect(isinstance(Agent(kind("nano"), output_type=Place).run_sync(QUESTION, model_settings=settings).output, Place), kind.__name__)
        try:
            called = Agent(kind("nano"), tools=[get_weather]).run_sync(WEATHER, model_settings=settings).all_messages()
        except UsageLimitExceeded: # it may call for ever
            called = "get_weather"
        expect("get_weather" in str(called), f"{kind.__name__}: {called}")


def check_openai_agents():
    from agents import Agent, ModelSettings, Runner, function_tool, set_tracing_disabled
    set_tracing_disabled(True)
    agent = Agent(name="a", instructions="Be brief.", model="nano", tools=[function_tool(get_weather)], model_settings=ModelSettings(temperature=0, max_tokens=200))

    async def both():
        whole = await Runner.run(agent, WEATHER, max_turns=4)
        streamed = Runner.run_streamed(agent, WEATHER, max_turns=4)
        kinds = [e.type async for e in streamed.stream_events()]
        called = [item for item in whole.new_items if item.type == "tool_call_item"]
        return whole.final_output, streamed.final_output, kinds, called

    whole, streamed, kinds, called = asyncio.run(both())
    expect(called and whole == streamed and "raw_response_event" in kinds, f"{whole!r} {streamed!r} {set(kinds)}")


def check_llama_index():
    from llama_index.core.llms import ChatMessage
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai_like import OpenAILike
    more = {"model": "nano", "api_base": URL + "/v1", "api_key": "x", "temperature": 0}
    chat = OpenAILike(is_chat_model=True, is_function_calling_model=True, max_tokens=100, **more)
    hello = [ChatMessage(role="user", content=QUESTION)]
    expect(chat.chat(hello).message.content == ANSWER, "chat")
    expect("".join(c.delta or "" for c in chat.stream_chat(hello)) == ANSWER, "stream")
    called = chat.chat_with_tools([FunctionTool.from_defaults(get_weather)], user_msg=WEATHER, tool_required=True)
    calls = chat.get_tool_calls_from_response(called)
    expect(calls and calls[0].tool_name == "get_weather", str(called))
    expect(OpenAILike(is_chat_model=False, max_tokens=8, **more).complete("The capital of").text, "complete")


def check_smolagents():
    import smolagents
    model = smolagents.OpenAIServerModel(model_id="nano", api_base=URL + "/v1", api_key="x", temperature=0, max_tokens=200)
    agent = smolagents.ToolCallingAgent(tools=[smolagents.tool(get_weather)], model=model, max_steps=2, verbosity_level=0)
    # Ids of calls, which are random, are a part of its prompts, so the answer may
    # be anything, also one more call; what the server is asked works.
    agent.run(WEATHER)
    errors = [step.error for step in agent.memory.steps if getattr(step, "error", None)]
    expect(len(agent.memory.steps) > 2 and not any(isinstance(e, smolagents.AgentGenerationError) for e in errors), str(errors))


def check_huggingface_hub():
    from huggingface_hub import InferenceClient
    client = InferenceClient(base_url=URL + "/v1", api_key="x")
    expect(client.chat_completion(HELLO, temperature=0).choices[0].message.content == ANSWER, "chat")
    stream = "".join(c.choices[0].delta.content or "" for c in client.chat_completion(HELLO, temperature=0, stream=True) if c.choices)
    expect(stream == ANSWER, repr(stream))
    schema = {"type": "object", "properties": {"n": {"enum": [3, 4]}}, "required": ["n"], "additionalProperties": False}
    made = client.chat_completion(HELLO, max_tokens=200, response_format={"type": "json_schema", "json_schema": {"name": "p", "schema": schema, "strict": True}})
    expect(made.choices[0].message.content in ('{"n":3}', '{"n":4}', '{"n": 3}', '{"n": 4}'), str(made))


def check_lm_eval():
    """Scores of the harness, which asks for its prompts' log-probabilities."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    checkpoint = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/nano-e")
    model = LocalCompletionsAPI(model="nano", base_url=URL + "/v1/completions", tokenizer_backend="huggingface", tokenizer=checkpoint, max_length=512)
    made = model.generate_until([Instance("generate_until", {}, ("The capital of", {"until": ["."], "max_gen_toks": 8, "temperature": 0}), 0)])
    expect(made and made[0], str(made))
    asked = [Instance("loglikelihood", {}, ("The capital of France is", answer), i) for i, answer in enumerate((" Paris", " Rome"))]
    (paris, greedy), (rome, other) = model.loglikelihood(asked)
    expect(paris > rome and greedy and not other, f"{paris} {greedy} {rome} {other}")


def skipping(check):
    def run():
        try:
            check()
        except ImportError as e:
            print(f"SKIP {check.__name__}: {e}")
    run.__name__ = check.__name__
    return run


server = subprocess.Popen([PROGRAM, "serve", "--port", "0", "-t", "1", "--parallel", "2"], stderr=subprocess.PIPE, text=True)
while not (line := server.stderr.readline()).startswith("listening on "):
    expect(line, "the server does not listen")
URL = line.removeprefix("listening on ").strip()
os.environ.update(OPENAI_API_KEY="x", OPENAI_BASE_URL=URL + "/v1", ANTHROPIC_API_KEY="x", ANTHROPIC_BASE_URL=URL, LITELLM_LOCAL_MODEL_COST_MAP="True",
                  HF_HUB_OFFLINE="0")
try:
    checks.run([skipping(value) for name, value in list(globals().items()) if name.startswith("check_")], sys.argv[2:])
finally:
    server.terminate()
    server.wait()
