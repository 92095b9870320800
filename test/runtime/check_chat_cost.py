"""Counts the rows that each turn of a chat computes (--timings) and compares
them with the tokens that are new in it: usage GEMMAC EXAMPLES."""
import re
import subprocess
import sys

GEMMAC, EXAMPLES = sys.argv[1:]
PAGE = 64
TEMPLATE = 12  # tokens around a question, at most


def read_counts(model, args, questions):
    done = subprocess.run(["./" + model, "chat", "--timings", *args], input="\n".join(questions).encode(),
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    counts = [int(n) for n in re.findall(rb"timings: (\d+) tokens read", done.stderr)]
    assert len(counts) == len(questions), done.stderr
    return counts


def check(model, args, questions, answer):
    """`answer`: tokens of the last answer that a turn reads again."""
    for seed in "34":
        counts = read_counts(model, [*args, "-s", seed], questions)
        asked = [len(subprocess.run(["./" + model, "tokenize", q], capture_output=True, check=True).stdout.split())
                 for q in questions]
        most = [q + TEMPLATE + PAGE + (answer if i else 0) for i, q in enumerate(asked)]
        assert all(n <= m for n, m in zip(counts, most)), (model, args, seed, counts, most)
        print(model, *args, "-s", seed, counts)


for model in "nano-e", "nano-m":
    subprocess.run([GEMMAC, f"{EXAMPLES}/{model}", "-o", model], check=True, capture_output=True)
long = [f"Tell me about number {i}." for i in range(1, 11)]
short = [f"Is {i} a number?" for i in range(1, 41)]
check("nano-e", ["--ignore-eos", "-n", "700"], long, 0)
check("nano-m", ["--ignore-eos", "-n", "700"], long, 700)
check("nano-e", ["-b", "8"], short, 0)
check("nano-m", ["-b", "8", "-n", "40"], short, 40)
# Without a checkpoint the whole conversation is computed again.
counts = read_counts("nano-m", ["--ignore-eos", "-n", "700", "-s", "3", "--checkpoints", "0"], long[:3])
assert counts[2] > 1300, counts
