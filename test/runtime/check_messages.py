"""Checks eval and tokenize of conversations: check_messages.py EVAL [NAME...] in a folder with the programs nano-e, nano-m,
blind (without towers) and base (without a chat template). EVAL is examples/eval."""
import array
import json
import os
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import checks
from checks import fail

EVAL = os.path.abspath(sys.argv[1])
SOFT = {"image": 2043, "audio": 2044, "video": 2047}
MARKS = 2041, 2042, 2045, 2046


def expect(what, got, wanted):
    if got != wanted:
        fail(f"{what}: got {got!r}, expected {wanted!r}")


def call(program, args, stdin=""):
    done = subprocess.run(["./" + program, *map(str, args)], input=stdin.encode(), capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def good(program, args, **more):
    rc, out, err = call(program, args, **more)
    if rc:
        fail(f"{program} {args}: exit {rc}: {err}")
    return out


def refused(code, words, program, args, **more):
    rc, out, err = call(program, args, **more)
    missing = [w for w in words if w not in err]
    if rc != code or missing or err.count("error: ") != 1:
        fail(f"{program} {args}: exit {rc}, expected {code}; {err!r} lacks {missing}")


def ids_of(program, args, **more):
    return [int(i) for i in good(program, ["tokenize", *args], **more).split()]


def lines(name):
    with open(os.path.join(EVAL, name)) as f:
        return [json.loads(line) for line in f]


GREEDY = {item["id"]: item for item in lines("greedy.jsonl")}
ITEMS = [item for item in lines("media.jsonl") if item["id"] in GREEDY]


def write(messages, name="talk.json"):
    """Beside the files that the messages name."""
    with open(name, "w") as f:
        json.dump(messages, f)
    return name


def picture(file="media/img003.png", text="What is in the picture?"):
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": file}}, {"type": "text", "text": text}]}


def answer(text):
    return {"role": "assistant", "content": text}


def read_logits(name):
    with open(name, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()

    def values(tensor, kind):
        begin, end = header[tensor]["data_offsets"]
        return array.array(kind, data[begin:end])

    width = header["logits"]["shape"][1]
    logits = values("logits", "f")
    rows = [logits[i:i + width] for i in range(0, len(logits), width)]
    return list(values("input_ids", "i")), [max(range(width), key=row.__getitem__) for row in rows]


def check_ids():
    """As many soft ids as the reference has, where it has them."""
    for item in ITEMS:
        file = write(item["messages"])
        wanted = GREEDY[item["id"]]["prompt_ids"]
        expect(item["id"], ids_of(item["model"], ["--messages", file]), wanted)
        found = json.loads(good(item["model"], ["tokenize", "--json", "--messages", file]))
        expect(item["id"], found["ids"], wanted)
        for part in found["media"]:
            first, tokens = part["first"], part["tokens"]
            expect(f"{item['id']}: {part}", (set(wanted[first:first + tokens]), wanted[first - 1] in MARKS,
                                             wanted[first + tokens] in MARKS), ({SOFT[part["kind"]]}, True, True))
        expect(f"{item['id']}: media", sum(p["tokens"] for p in found["media"]), sum(i in SOFT.values() for i in wanted))
        pieces = good(item["model"], ["tokenize", "--pieces", "--messages", file]).splitlines()
        expect(f"{item['id']}: pieces", [int(line.split("\t")[0]) for line in pieces], wanted)
    if {item["kind"] for item in ITEMS} != {"image", "image2", "audio"}:
        fail("a kind of item is not asked for")
    file = write([picture()])
    more = ids_of("nano-e", ["--messages", file, "--image-tokens", "140"]).count(SOFT["image"])
    less = ids_of("nano-e", ["--messages", "-"], stdin=json.dumps([picture()])).count(SOFT["image"])
    expect("--image-tokens", 70 < more <= 140 and less <= 70, True)
    film = {"role": "user", "content": [{"type": "video", "video": "@film.list"}, {"type": "text", "text": "Describe it."}]}
    with open("film.list", "w") as f:
        f.write("media/img005.png\nmedia/img003.png\n\nmedia/img005.png\r\n")
    found = json.loads(good("nano-e", ["tokenize", "--json", "--fps", "1", "--messages", write([film])]))
    expect("film", [part["kind"] for part in found["media"]], ["video"] * 3)
    expect("times", [t for t in ("00:00", "00:01", "00:02") if t in
                     good("nano-e", ["detokenize", *found["ids"]])], ["00:00", "00:01", "00:02"])
    # Without media, and with control tokens in a text.
    plain = ids_of("nano-e", ["--messages", write([{"role": "user", "content": "Hello <turn|>"}])])
    expect("text", plain.count(47), 1)
    expect("--allow-special", ids_of("nano-e", ["--messages", "talk.json", "--allow-special"]).count(47), 2)
    bad = write([picture(text="What is <|image|>?")])
    expect("a token in a text", ids_of("nano-e", ["--messages", bad]).count(SOFT["image"]), less)
    for command in "tokenize", "eval":
        refused(3, ["more places for pictures"], "nano-e", [command, "--messages", bad, "--allow-special"])


def check_eval():
    """The logits choose what the reference generates, in one step and in many; a token is predicted or not."""
    for item in ITEMS:
        file, model = write(item["messages"]), item["model"]
        asked = ids_of(model, ["--messages", file])
        good(model, ["eval", "--messages", file, "--logits", "logits"])
        ids, best = read_logits("logits")
        expect(f"{item['id']}: input_ids", ids, asked)
        expect(f"{item['id']}: first", best[-1], item["output_ids"][0])
        if model != "nano-e": # whose history is the prompt and the answer
            continue
        text = good(model, ["detokenize", *item["output_ids"][:-1]])
        write(item["messages"] + [answer(text)])
        predicted = json.loads(good(model, ["eval", "--json", "--messages", file, "--logits", "logits", "--hidden", "hidden"]))
        ids, best = read_logits("logits")
        end = len(asked) + len(item["output_ids"])
        expect(f"{item['id']}: answer", (ids[len(asked):end], best[len(asked) - 1:end - 1]), (item["output_ids"],) * 2)
        expect(f"{item['id']}: predicted", predicted["tokens"],
               sum(i not in SOFT.values() and i not in MARKS for i in ids[1:]))
        for args in ["-b", "1"], ["-b", "7"], ["-b", "64", "-t", "3"]:
            again = json.loads(good(model, ["eval", "--json", "--messages", file, "--kl", "logits", *args]))
            expect(f"{item['id']} {args}", (again["kl_max"], again["rows"], again["nll"]), (0, len(ids), predicted["nll"]))
    # A wrong answer is less likely; other ids are another conversation.
    file = write([picture(), answer("There is a white triangle on a purple background.")])
    likely = json.loads(good("nano-e", ["eval", "--json", "--messages", file, "--logits", "logits"]))["nll"]
    refused(3, ["'logits'"], "nano-e", ["eval", "--messages", file, "--image-tokens", "140", "--kl", "logits"])
    write([picture(), answer("There is a white triangle on a green background.")])
    if not likely + 1 < json.loads(good("nano-e", ["eval", "--json", "--messages", file]))["nll"]:
        fail("a wrong answer is as likely")
    # Text alone is what it is as ids.
    write([{"role": "user", "content": "Hello!"}, answer("Hi.")])
    expect("text", good("nano-e", ["eval", "--messages", file]),
           good("nano-e", ["eval", "--tokens", "-"],
                stdin=good("nano-e", ["tokenize", "<bos><|turn>user\nHello!<turn|>\n<|turn>model\nHi.<turn|>\n"])))


def check_refusals():
    file = write([picture()])
    refused(2, ["got several"], "nano-e", ["eval", "text", "--messages", file])
    refused(2, ["got several"], "nano-e", ["tokenize", "text", "--messages", file])
    refused(2, ["--split"], "nano-e", ["eval", "--split", "--", "--messages", file])
    refused(2, ["--window"], "nano-e", ["eval", "--window", "8", "--messages", file])
    refused(2, ["--kl"], "nano-e", ["eval", "--kl", "-", "--messages", "-"])
    refused(2, ["--no-special"], "nano-e", ["tokenize", "--no-special", "--messages", file])
    refused(2, ["--transparent"], "nano-e", ["tokenize", "--transparent", "grey", "--messages", file])
    refused(1, ["tokens", "-c"], "nano-e", ["eval", "-c", "70", "--messages", file])
    refused(4, ["--messages: this program was made without a chat template"], "base", ["eval", "--messages", file])
    refused(4, ["--messages: this program cannot see"], "blind", ["tokenize", "--messages", file])
    refused(3, ["'none.json'"], "nano-e", ["eval", "--messages", "none.json"])
    with open("cut.png", "wb") as f, open("media/img003.png", "rb") as whole:
        f.write(whole.read(300))
    for command in "eval", "tokenize":
        refused(3, ["cut.png"], "nano-e", [command, "--messages", write([picture("cut.png")], "cut.json")])
    with open("film.list", "w") as f:
        f.write("media/img005.png\n-\n")
    film = {"role": "user", "content": [{"type": "video", "video": "@film.list"}]}
    refused(3, ["'film.list'", "line 2"], "nano-e", ["tokenize", "--messages", write([film], "film.json")])


if not os.path.exists("media"):
    shutil.copytree(os.path.join(EVAL, "media"), "media")
checks.run([check_ids, check_eval, check_refusals], sys.argv[2:])
