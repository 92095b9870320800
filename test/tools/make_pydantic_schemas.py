"""Schemas that pydantic writes for random models, a line each: make_pydantic_schemas.py
COUNT [SEED]. test/Inputs/grammars/pydantic.jsonl is what pydantic 2.14.4 gave for 120 1."""
import datetime
import decimal
import enum
import json
import random
import sys
import typing
import uuid

import pydantic
from pydantic import Field

rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
WORDS = "name city count price tags state owner items start end kind notes level ratio flag address parent email code amount".split()


def number(kind):
    bounds = {}
    if rng.random() < 0.5:
        bounds[rng.choice(("ge", "gt"))] = rng.choice((-5, 0, 1, 10))
    if rng.random() < 0.5:
        bounds[rng.choice(("le", "lt"))] = rng.choice((20, 100, 1000))
    if kind is int and rng.random() < 0.2:
        bounds["multiple_of"] = rng.choice((2, 5, 10))
    return typing.Annotated[kind, Field(**bounds)] if bounds else kind


def text():
    way = rng.randrange(6)
    if way == 0:
        return typing.Annotated[str, Field(min_length=rng.randrange(3), max_length=rng.randrange(3, 20))]
    if way == 1:
        return typing.Annotated[str, Field(pattern=rng.choice((r"^[a-z]+$", r"^\d{3}-\d{4}$", r"^[A-Z][a-z]{1,8}$", r"^(red|green|blue)$", r"^#[0-9a-f]{6}$", r"\d+")))]
    return str


def choice():
    values = rng.sample(WORDS, rng.randrange(1, 5))
    if rng.random() < 0.5:
        return typing.Literal[tuple(values)]
    return enum.Enum(f"Kind{rng.randrange(10 ** 6)}", {v.upper(): v for v in values})


def kind(depth):
    simple = [lambda: number(int), lambda: number(float), text, text, lambda: bool, choice, lambda: rng.choice((datetime.date, datetime.datetime, datetime.time, uuid.UUID)),
              lambda: typing.Literal[tuple(rng.sample(range(9), 2))], lambda: decimal.Decimal]
    if depth > 2 or rng.random() < 0.6:
        return rng.choice(simple[:-1])()
    way = rng.randrange(7)
    if way == 0:
        return typing.Optional[kind(depth + 1)]
    if way == 1:
        bounds = {"min_length": rng.randrange(2), "max_length": rng.randrange(2, 5)} if rng.random() < 0.5 else {}
        return typing.Annotated[list[kind(depth + 1)], Field(**bounds)] if bounds else list[kind(depth + 1)]
    if way == 2:
        return dict[str, kind(depth + 1)]
    if way == 3:
        return tuple[kind(depth + 1), kind(depth + 1)]
    if way == 4:
        return typing.Union[int, model(depth + 1), None]
    return model(depth + 1)


def model(depth=0):
    fields = {}
    for name in rng.sample(WORDS, rng.randrange(1, 7 if depth == 0 else 4)):
        about = {"description": f"The {name}."} if rng.random() < 0.3 else {}
        if rng.random() < 0.2:
            fields[name] = (typing.Optional[kind(depth)], Field(default=None, **about))
        else:
            fields[name] = (kind(depth), Field(**about))
    more = {"model_config": pydantic.ConfigDict(extra="forbid")} if rng.random() < 0.2 else {}
    made = pydantic.create_model(f"Model{rng.randrange(10 ** 6)}", **fields)
    if more:
        made = type(made.__name__, (made,), {"model_config": pydantic.ConfigDict(extra="forbid"), "__module__": __name__})
    return made


for _ in range(int(sys.argv[1])):
    print(json.dumps({"schema": model().model_json_schema(mode=rng.choice(("validation", "serialization")))}))
