"""Checks media in chats: check_chat_media.py MEDIA [NAME...] in a folder with the programs nano-e, nano-m and blind (one that
cannot see). MEDIA holds img*.png and aud*.wav. What a turn should answer is asked of `run --messages`."""
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools")
sys.path.insert(0, TOOLS)
import checks
from checks import fail

MEDIA = os.path.abspath(sys.argv[1])
GREEDY = ["--temp", "0"]
PAGE = 64
WHAT = "What is in the picture?"
TYPES = {"image": "image_url", "audio": "input_audio", "video": "video_url"}
KEYS = {"image": "url", "audio": "data", "video": "url"}


def expect(what, got, wanted):
    if got != wanted:
        fail(f"{what}: got {got!r}, expected {wanted!r}")


def call(program, args, stdin="", env=None, limit=""):
    command = ["./" + program, *map(str, args)]
    if limit:
        command = ["bash", "-c", limit + '; exec "$@"', "bash", *command]
    done = subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=60,
                          env={**os.environ, **(env or {})})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def good(program, args, **more):
    rc, out, err = call(program, args, **more)
    if rc:
        fail(f"{program} {args} {more}: exit {rc}: {err}")
    return out


def refused(code, words, program, args, **more):
    rc, out, err = call(program, args, **more)
    missing = [w for w in words if w not in err]
    if rc != code or missing or err.count("error: ") != 1:
        fail(f"{program} {args} {more}: exit {rc}, expected {code}; {err!r} lacks {missing}")
    return out


def media(kind, number):
    return os.path.join(MEDIA, f"img{number:03}.png" if kind == "image" else f"aud{number:03}.wav")


def conversation(turns):
    """JSON of turns: (list of (kind, file), text), answer, ..."""
    messages = []
    for i, turn in enumerate(turns):
        if i % 2:
            messages.append({"role": "assistant", "content": turn})
        else:
            parts = [{"type": TYPES[kind], TYPES[kind]: {KEYS[kind]: file}} for kind, file in turn[0]]
            messages.append({"role": "user", "content": parts + [{"type": "text", "text": turn[1]}]})
    with open("talk.json", "w") as f:
        json.dump(messages, f)
    return "talk.json"


def expected(program, questions, args=()):
    """The answers, each computed from the beginning, and the tokens of each prompt."""
    turns, answers, sizes = [], [], []
    for question in questions:
        file = conversation(turns + [question])
        answer = good(program, ["run", *GREEDY, "--messages", file, *args])
        sizes.append(len(good(program, ["tokenize", "--messages", file, *args]).split()))
        answers.append(answer)
        turns += [question, answer.strip()]
    return answers, sizes


def script(questions):
    return "".join("".join(f"/{kind} {file}\n" for kind, file in shown) + text + "\n" for shown, text in questions)


def prepare():
    """A film, and files whose names are no words."""
    os.makedirs("home/my pictures", exist_ok=True)
    shutil.copy(media("image", 3), "home/my pictures/a triangle.png")
    shutil.copy(media("image", 5), "quoted 'it'.png")
    os.makedirs("film", exist_ok=True)
    for i in range(5):
        shutil.copy(media("image", i + 5), f"film/{i}.png")
    with open(media("image", 3), "rb") as whole, open("cut.png", "wb") as f:
        f.write(whole.read(300))


TALK = [([("image", media("image", 3))], WHAT), ([], WHAT), ([("audio", media("audio", 0))], "Transcribe the audio."),
        ([], "What shape is in the picture?"), ([("image", media("image", 5)), ("image", media("image", 6))], WHAT),
        ([("video", "film")], WHAT), ([], "Thank you!"), ([("image", media("image", 9))], "Which colour does the background have?")]


def seen(program, talk):
    """Without sounds, where the program hears none."""
    return [t for t in talk if program == "nano-e" or not any(kind == "audio" for kind, _ in t[0])]


def check_answers():
    for program in "nano-e", "nano-m":
        questions = seen(program, TALK)
        wanted, sizes = expected(program, questions)
        for args in [], ["-b", "8"], ["-b", "64", "-t", "3"], ["--checkpoints", "0"], ["--test-pages", "5"], ["--test-nan"]:
            expect(f"{program} {args}", good(program, ["chat", *GREEDY, *args], stdin=script(questions)), "".join(wanted))
        # What a turn computes is new in it: the model's own tokens are counted before it.
        _, _, err = call(program, ["chat", *GREEDY, "--timings"], stdin=script(questions))
        counts = [int(n) for n in re.findall(r"timings: (\d+) tokens read", err)]
        expect(f"{program} turns", len(counts), len(questions))
        for i, (count, size) in enumerate(zip(counts, sizes)):
            before = sizes[i - 1] if i else 0
            if count > size - before + (PAGE if i else 0) or (i and not count < size):
                fail(f"{program}: turn {i} computes {count} tokens, {size - before} are new")
        more = ["--image-tokens", "140"]
        wanted, more_sizes = expected(program, questions[:2], more)
        expect(f"{program} {more}", good(program, ["chat", *GREEDY, *more], stdin=script(questions[:2])), "".join(wanted))
        if not more_sizes[0] > sizes[0]:
            fail(f"{program}: {more_sizes} tokens of {more}, {sizes} without")


def check_first():
    """Flags are about the first message."""
    picture, sound = media("image", 3), media("audio", 0)
    wanted, _ = expected("nano-e", [([("image", picture), ("audio", sound)], "Transcribe the audio."), ([], WHAT)])
    expect("flags", good("nano-e", ["chat", *GREEDY, "--audio", sound, "--image", picture, "Transcribe the audio."], stdin=WHAT),
           "".join(wanted))


def check_names():
    """Blanks, quotes, backslashes, the home, URLs."""
    env = {"HOME": os.path.abspath("home")}
    wanted = expected("nano-e", [([("image", media("image", 3))], WHAT)])[0][0]
    other = expected("nano-e", [([("image", media("image", 5))], WHAT)])[0][0]
    if wanted == other:
        fail("the pictures do not differ")
    for name in ("home/my pictures/a triangle.png", "~/my pictures/a triangle.png", "'home/my pictures/a triangle.png'",
                 '"home/my pictures/a triangle.png"', "home/my\\ pictures/a\\ triangle.png",
                 "~/my\\ pictures/a\\ triangle.png", "file://" + media("image", 3)):
        expect(name, good("nano-e", ["chat", *GREEDY], stdin=f"  /image \t{name} \n{WHAT}", env=env), wanted)
    expect("a name with quotes", good("nano-e", ["chat", *GREEDY], stdin=f"/image quoted 'it'.png\n{WHAT}"), other)
    # The word of the command ends in a blank, and a text of several lines is none.
    rendered = expected("nano-e", [([], "/imagex y\nz")])[0][0]
    expect("text", good("nano-e", ["chat", *GREEDY], stdin='"""/imagex y\nz"""'), rendered)
    rendered = expected("nano-e", [([], "/image y\nz")])[0][0]
    expect("lines", good("nano-e", ["chat", *GREEDY], stdin='"""/image y\nz"""'), rendered)
    # A token in a text is no place for a medium.
    talk = [([("image", media("image", 3))], "<|image|>" + WHAT)]
    expect("token", good("nano-e", ["chat", *GREEDY], stdin=script(talk)), expected("nano-e", talk)[0][0])


def check_many():
    """More rows in a message than there is room for at once."""
    shown = [("image", media("image", i % 10 + 14)) for i in range(40) if i % 10 not in (0, 8)]
    shown[9] = ("video", "film")
    shown += [("image", media("image", i % 5 + 5)) for i in range(10)]
    shown += [("audio", media("audio", i)) for i in range(6)]
    for program in "nano-e", "nano-m":
        talk = [([s for s in shown if program == "nano-e" or s[0] != "audio"], WHAT), ([], WHAT)]
        # The second turn goes on from the model's own tokens, control tokens perhaps, which JSON cannot say.
        wanted, sizes = expected(program, talk[:1])
        if sizes[0] < 2400:
            fail(f"{sizes[0]} tokens fit at once")
        whole = good(program, ["chat", *GREEDY], stdin=script(talk))
        expect(program, whole.startswith(wanted[0]), True)
        expect(f"{program} -b", good(program, ["chat", *GREEDY, "-b", 4096], stdin=script(talk)), whole)


def check_forget():
    """/drop and /reset: what is left is computed again, its media too."""
    talk = [([("image", media("image", 3))], WHAT), ([("image", media("image", 5))], WHAT), ([], WHAT),
            ([("image", media("image", 9))], "Which colour does the background have?")]
    for program in "nano-e", "nano-m":
        wanted, sizes = expected(program, talk[:3])
        turns = [t for i in (1, 2) for t in (talk[i], wanted[i].strip())]
        context = 2 * len(good(program, ["tokenize", "--messages", conversation(turns)]).split())
        if context < sizes[-1] + 30:
            fail(f"{program}: a context of {context} does not hold {sizes[-1]} tokens and an answer")
        rc, out, err = call(program, ["chat", *GREEDY, "-c", context], stdin=script(talk[:3]) + "/drop\n" + script(talk[3:]))
        last = good(program, ["run", *GREEDY, "--messages", conversation(turns + [talk[3]])])
        expect(f"{program} /drop", (rc, out, "1 turn forgotten" in err), (0, "".join(wanted) + last, True))
        alone = expected(program, [([], "Hello!")])[0][0]
        expect(f"{program} /reset", good(program, ["chat", *GREEDY], stdin=f"/image {media('image', 3)}\n/reset\nHello!"), alone)


def check_again():
    """Answers that are longer than what sliding layers keep, without a checkpoint: all of it is computed again."""
    talk = seen("nano-m", TALK)[:3]
    long = ["chat", *GREEDY, "--ignore-eos", "-n", "700"]
    whole = good("nano-m", long, stdin=script(talk))
    rc, out, err = call("nano-m", [*long, "-b", "8", "--checkpoints", "0", "--timings"], stdin=script(talk))
    expect("answers", (rc, out), (0, whole))
    counts = [int(n) for n in re.findall(r"timings: (\d+) tokens read", err)]
    if len(counts) != 3 or not counts[2] > 1300:
        fail(f"{counts} tokens were read: nothing again")


def check_refusals():
    for code, words, line in (
            (3, ["'none.png'", "No such file"], "/image none.png"), (3, ["cut.png"], "/image cut.png"),
            (3, ["talk.json"], "/audio talk.json"), (2, ["/image expects FILE"], "/image"),
            (2, ["/video expects a file", "standard input"], "/video -"), (2, ["/video expects", "standard input"], "/video @-"),
            (4, ["network"], "/image http://example.org/x.png"), (3, ["'none'"], "/video none")):
        refused(code, words, "nano-e", ["chat", *GREEDY], stdin=line + "\n" + WHAT)
    refused(4, ["/image: this program cannot see"], "blind", ["chat", *GREEDY], stdin=f"/image {media('image', 3)}")
    refused(4, ["--video: this program cannot see"], "blind", ["chat", "--video", "film", WHAT])
    refused(4, ["/audio: this program cannot hear"], "nano-m", ["chat", *GREEDY], stdin=f"/audio {media('audio', 0)}")
    refused(2, ["/image", "--no-media"], "nano-e", ["chat", "--no-media"], stdin=f"/image {media('image', 3)}")
    refused(2, ["--audio and --no-media exclude"], "nano-e", ["chat", "--no-media", "--audio", "x"])
    refused(2, ["--image expects a file"], "nano-e", ["chat", "--image", "-", WHAT])
    refused(2, ["--image-tokens must be 70"], "nano-e", ["chat", "--image-tokens", "100"])
    refused(3, ["'none.png'"], "nano-e", ["chat", "--image", "none.png", WHAT])
    # No room in the context for any picture; for this one.
    refused(1, ["/image: a picture has up to 70 tokens", "-c", "--image-tokens"], "nano-m", ["chat", "-c", 64],
            stdin=f"/image {media('image', 3)}")
    refused(1, ["the conversation has", "the context holds 72", "/drop"], "nano-m", ["chat", "-c", 72],
            stdin=f"/image {media('image', 3)}\n{WHAT}")
    # No memory for media: a chat of text goes on, and /image says why not.
    limit = "ulimit -v 80000"
    rc, out, err = call("nano-e", ["chat", *GREEDY], stdin="Hello!", limit=limit)
    expect("without room", (rc, out, "note: there is no memory for pictures" in err), (0, expected("nano-e", [([], "Hello!")])[0][0], True))
    refused(2, ["/image: this chat keeps no room"], "nano-e", ["chat"], stdin=f"/image {media('image', 3)}", limit=limit)
    refused(5, ["ulimit -v"], "nano-e", ["chat", "--image", media("image", 3), WHAT], limit=limit)
    if "/image FILE" not in good("nano-e", ["chat"], stdin="/help"):
        fail("/help lacks /image")


class Terminal:
    """A chat on a terminal."""

    def __init__(self, program, *args):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(["./" + program, "chat", *GREEDY, *args], stdin=slave, stdout=slave, stderr=slave,
                                        env={**os.environ, "TERM": "dumb"})
        os.close(slave)
        self.text = ""

    def say(self, line, *words):
        """Types a line and waits until all words have come."""
        os.write(self.master, line.encode() + b"\n")
        until = time.time() + 30
        while not all(w in self.text for w in words):
            if not select.select([self.master], [], [], max(0, until - time.time()))[0]:
                return fail(f"{line!r}: {words} did not come, only {self.text!r}")
            self.text += os.read(self.master, 1 << 16).decode()
        self.text = ""

    def end(self):
        os.write(self.master, b"/quit\n")
        expect("exit", self.process.wait(timeout=30), 0)
        os.close(self.master)


def check_terminal():
    """There a mistake ends nothing. A file that has changed since it was shown is none that the model has seen."""
    shutil.copy(media("image", 3), "now.png")
    chat = Terminal("nano-e")
    chat.say("/image none.png", "error: cannot read 'none.png'")
    chat.say("/image cut.png", "error: 'cut.png'")
    chat.say("/image now.png", "'now.png': ", " tokens in front of the next message")
    chat.say(WHAT, "triangle", "> ")
    os.remove("now.png") # nobody needs it any more
    chat.say(WHAT, "triangle", "> ")
    shutil.copy(media("image", 5), "now.png")
    chat.say("/image now.png", " tokens in front of the next message")
    shutil.copy(media("image", 3), "now.png")
    chat.say(WHAT, "error: 'now.png' has changed since it was first read")
    chat.say(WHAT, "triangle", "> ")
    chat.end()
    shutil.copytree("film", "films")
    chat = Terminal("nano-e")
    chat.say("/video films", " tokens in front of the next message")
    shutil.copy("film/1.png", "films/0.png")
    chat.say(WHAT, "error: 'films' has changed since it was first read")
    chat.end()
    # What is computed again needs its media, unless their rows are still there: others take the room.
    shutil.copy(media("image", 3), "now.png")
    with open("32.list", "w") as f:
        f.write("film/0.png\n" * 32)
    chat = Terminal("nano-m", "--checkpoints", "0", "-b", "8", "--ignore-eos", "-n", "700")
    chat.say("/image now.png", "tokens in front")
    chat.say(WHAT, "\n> ")
    for line in ["/video @32.list"] + [f"/image {media('image', i)}" for i in (5, 6, 7, 8)]:
        chat.say(line, "tokens in front")
    chat.say(WHAT, "\n> ")
    os.remove("now.png")
    chat.say(WHAT, "error: cannot read 'now.png'")
    shutil.copy(media("image", 3), "now.png")
    chat.say(WHAT, "\n> ")
    chat.end()


def check_memory():
    """A chat with media stays within the plan that `info --media` prints."""
    for program in "nano-e", "nano-m":
        flags = ["-c", "4096", "-t", "2"]
        most = json.loads(good(program, ["info", "--json", "--media", "--checkpoints", "1", *flags]))["total_bytes"]
        less = json.loads(good(program, ["info", "--json", *flags]))["total_bytes"]
        expect(f"{program}: room", most > less, True)
        with open("input", "w") as f:
            f.write(script(seen(program, TALK)))
        with open("input") as f:
            out = subprocess.run([sys.executable, "-I", "-S", os.path.join(TOOLS, "peak.py"), "./" + program, "chat", *GREEDY, *flags],
                                 stdin=f, capture_output=True, text=True, check=True).stdout
        code, used = map(int, out.split()[1:])
        if code or used > most:
            fail(f"{program}: exit {code}, {used >> 10} KiB of {most >> 10}")


prepare()
checks.run([check_answers, check_first, check_names, check_many, check_forget, check_again, check_refusals, check_terminal, check_memory],
           sys.argv[2:])
