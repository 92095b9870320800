"""Peak memory of run, chat and eval on inputs that are far larger than their plan: check_large_inputs.py GEMMAC MODEL
[NAME...] in an empty working folder."""
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools")
sys.path.insert(0, TOOLS)
import checks
from checks import fail

PEAK = os.path.join(TOOLS, "peak.py")
GEMMAC, MODEL = sys.argv[1:3]
FAR = 1_000_000  # the longest context of ./far
BYTES = 60_000_000
SENTENCE = "The quick brown fox jumps over the lazy dog. "


def write_text(name, piece, count):
    with open(name, "w") as f:
        for _ in range(0, count, 10_000):
            f.write(piece * min(count, 10_000))


def prepare():
    subprocess.run([GEMMAC, MODEL, "-o", "near", "-q"], check=True)
    shutil.copytree(MODEL, "model")
    with open("model/config.json") as f:
        config = json.load(f)
    config["text_config"]["max_position_embeddings"] = FAR
    with open("model/config.json", "w") as f:
        json.dump(config, f)
    subprocess.run([GEMMAC, "model", "-o", "far", "-q"], check=True)
    write_text("ids", "1234 ", BYTES // 5)
    write_text("text", SENTENCE, BYTES // len(SENTENCE))
    write_text("letters", "a", BYTES)
    write_text("line", "a", 15_000_000)
    write_text("blank", " ", BYTES)
    write_text("texts", SENTENCE * 20 + "\n--\n", BYTES // 900)
    # One word, and no letter of it in the vocabulary.
    draw = random.Random(1)
    with open("bytes", "w") as f:
        for _ in range(0, BYTES // 3, 10_000):
            f.write("".join(chr(0x4E00 + draw.randrange(20_000)) for _ in range(100)) * 100)


def plan(program, *flags):
    return json.loads(subprocess.check_output([program, "info", "--json", *flags]))["total_bytes"]


def threads(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except FileNotFoundError:
        return 0


def peak(command, source, seconds):
    """Exit code, last line on the standard error and bytes; Ctrl-C `seconds` after the workers have started."""
    with open("err", "w") as err:
        process = subprocess.Popen([sys.executable, "-I", "-S", PEAK, *command], stdin=source, stdout=subprocess.PIPE, stderr=err,
                                   text=True)
    pid = int(process.stdout.readline())
    if seconds:
        while threads(pid) == 1:
            time.sleep(0.05)
        time.sleep(seconds)
        if threads(pid):
            os.kill(pid, signal.SIGINT)
    # Not communicate: what readline has read ahead would be lost.
    code, used = process.stdout.read().split()
    process.wait(timeout=60)
    with open("err") as err:
        lines = err.read().splitlines()
    return int(code), lines[-1] if lines else "", int(used)


def below(most, code, message, command, source=None, pipe=False, seconds=0):
    """`command` ends with `code` and `message`, below `most` bytes; `source` is a file that it reads, perhaps in a
    pipe."""
    with open(source or os.devnull) as file:
        feeder = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) if pipe else None
        rc, said, used = peak(command, feeder.stdout if feeder else file, seconds)
        if feeder:
            feeder.stdout.close()
            feeder.kill()
            feeder.wait()
    if rc != code or message not in said or used > most:
        fail(f"{' '.join(command)} {source}: exit {rc}, expected {code}; {said!r} lacks {message!r}; "
             f"{used >> 10} KiB of {most >> 10}")


def check_too_long():
    """More than the context holds is refused."""
    most = plan("./near")
    for args, source in ((["run", "--tokens", "ids"], None), (["run", "-f", "text"], None), (["run", "-f", "letters"], None),
                         (["run", "-f", "bytes"], None), (["run"], "letters"), (["Sum up:"], "text"), (["eval", "-f", "text"], None),
                         (["eval", "-f", "letters"], None), (["eval", "--tokens", "ids"], None), (["chat"], "letters"),
                         (["chat"], "line"), (["eval", "-f", "letters", "--split", "--"], None)):
        for pipe in (False, True) if source else (False,):
            below(most, 1, "context", ["./near", *args], source, pipe)
    below(most, 2, "no token ids", ["./near", "run", "--tokens", "blank"])


def check_far():
    """So it is with a context so large that texts of its length do not fit beside the plan in many copies."""
    flags = ["-c", str(FAR)]
    most = plan("./far", *flags)
    for file in "letters", "bytes", "line":
        for command in "run", "eval":
            below(most, 1, "context", ["./far", command, "-f", file, *flags])
            below(most, 1, "context", ["./far", command, *flags], file, True)
        below(most, 1, "context", ["./far", "chat", *flags], file)


def check_windows():
    """Any number of texts and of windows is scored."""
    flags = ["-t", "2", "-c", "1000", "-b", "64"]
    most = plan("./near", *flags)
    for args, piped in ((["-f", "text", "--window", "1000"], True), (["-f", "letters", "--window", "1000"], False),
                        (["--tokens", "ids", "--window", "1000"], True),
                        (["-f", "texts", "--split", "--"], True)):
        below(most, -signal.SIGINT, "interrupted after ", ["./near", "eval", *args, *flags], seconds=1)
        if piped:
            source, args[1] = args[1], "-"
            below(most, -signal.SIGINT, "interrupted after ", ["./near", "eval", *args, *flags], source, True, 1)
    # The whole context in use, and files of rows.
    most = plan("./near", "-t", "2")
    for args in ["--window", "8192"], ["--window", "100", "--logits", "/dev/null", "--hidden", "/dev/null"]:
        below(most, -signal.SIGINT, "interrupted after ", ["./near", "eval", "-t", "2", "-f", "text", *args], seconds=4)


def write_reference(name, header, length=None, data=0):
    """With `data` zero bytes, which take no room."""
    header = header.encode()
    with open(name, "wb") as f:
        f.write(struct.pack("<Q", len(header) if length is None else length) + header)
        f.truncate(8 + len(header) + data)


def check_references():
    """Nothing that a reference says takes memory."""
    most = plan("./near", "-t", "2")
    with open("five", "w") as f:
        f.write("1 2 3 4 5")
    names = ",".join(f'"{i:08}":0' for i in range(87_000))
    huge = 1 << 40
    for header, length, data in (("{}", 1 << 62, 0), ("{}", 1 << 26, 1 << 27), ("{" + names + "}", None, 0),
                                 ('{"' + "x" * 1_000_000 + '":0}', None, 0), ("{" + '"a":[' * 100_000, None, 0),
                                 (f'{{"input_ids":{{"dtype":"I32","shape":[{huge}],"data_offsets":[0,{4 * huge}]}},"logits":{{"dtype":'
                                  f'"F32","shape":[{huge},2048],"data_offsets":[0,{huge}]}}}}', None, huge)):
        write_reference("reference", header, length, data)
        below(most, 3, "'reference'", ["./near", "eval", "-t", "2", "--tokens", "five", "--kl", "reference"])
    # Of as many tokens as the input, which are others; then the same.
    count = BYTES // 5
    header = (f'{{"input_ids":{{"dtype":"I32","shape":[{count}],"data_offsets":[0,{4 * count}]}},"logits":{{"dtype":"F32",'
              f'"shape":[{count},2048],"data_offsets":[{4 * count},{4 * count + 8192 * count}]}}}}')
    write_reference("reference", header, None, 4 * count + 8192 * count)
    command = ["./near", "eval", "-t", "2", "--tokens", "ids", "--window", "1000", "--kl"]
    below(most, 3, "expected id 1234 as token 0", command + ["reference"])
    with open("reference", "r+b") as f:
        f.seek(8 + len(header))
        for _ in range(count // 10_000):
            f.write(struct.pack("<i", 1234) * 10_000)
    below(most, -signal.SIGINT, "interrupted after ", command + ["reference"], seconds=3)
    below(most, -signal.SIGINT, "interrupted after ", command + ["-"], "reference", True, seconds=3)


def check_limits():
    """Up to its length nothing changes: the longest text that fits, in the longest pieces."""
    ids = subprocess.check_output(["./near", "tokenize", "-p", " " * 4000]).split()
    if len(ids) > 1000:
        fail("no long piece in this vocabulary: the check shows nothing")
    with open("fits", "w") as f:
        f.write(" " * 4000)
    subprocess.run(["./near", "run", "-f", "fits", "--raw", "-c", str(len(ids) + 2), "-n", "1", "--temp", "0"], check=True)


prepare()
checks.run([check_too_long, check_far, check_windows, check_references, check_limits], sys.argv[3:])
