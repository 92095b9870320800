#!/usr/bin/python3
"""Gives the questions of media.jsonl about pictures and sounds to a program, from
the files themselves, and compares the ids of its answers with recorded ones.

  media_items.py PROGRAM MODEL EVAL_FOLDER [--exact] [--fewer N] [--kinds image,audio]
                 [--most N] [--run qemu-aarch64]

An answer differs from the recorded one where its first other id is one that the
reference all but gave (margin below 0.02), or the item is wrong. --exact: none
may be wrong. Also per kind: at most N correct answers fewer than the reference.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

KINDS = ("image", "image2", "audio")


def absolute(messages, folder):
    text = json.dumps(messages)
    return json.loads(text.replace('"media/', json.dumps(os.path.abspath(folder))[:-1] + "/media/"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("model")
    p.add_argument("folder")
    p.add_argument("--exact", action="store_true")
    p.add_argument("--fewer", type=int, default=0)
    p.add_argument("--run", default="")
    p.add_argument("--most", type=int, default=1000, help="items per kind")
    p.add_argument("--kinds", default=",".join(KINDS))
    a = p.parse_args()

    with open(os.path.join(a.folder, "media.jsonl")) as f:
        items = [json.loads(line) for line in f]
    failed = False
    for kind in a.kinds.split(","):
        tasks = [t for t in items if t["model"] == a.model and t["kind"] == kind][:a.most]
        right = good = near = other = 0
        for task in tasks:
            with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
                # Paths are relative to the folder of the items.
                json.dump({"messages": absolute(task["messages"], a.folder)}, f)
                f.flush()
                command = [*a.run.split(), a.program, "run", "--temp", "0", "--messages", f.name]
                ids = [int(i) for i in subprocess.run([*command, "--print-tokens"], capture_output=True, text=True,
                                                      check=True).stdout.split()]
                want = task["output_ids"]
                if ids[:len(want)] == want:
                    good += 1
                else:
                    at = next((i for i, (x, y) in enumerate(zip(ids, want)) if x != y), min(len(ids), len(want)))
                    if at < len(want) and task["margins"][at] < 0.02:
                        near += 1
                    else:
                        other += 1
                        margin = task["margins"][at] if at < len(want) else 0
                        print(f"{task['id']}: id {at} differs where the margin is {margin:.3f}")
                text = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
                right += text == task["expected"]
        before = sum(t["correct"] for t in tasks)
        if tasks:
            print(f"{kind}: {len(tasks)} items, {good} equal, {near} near ties, {other} other; {right} correct, "
                  f"reference {before}")
        failed |= (a.exact and other > 0) or right < before - a.fewer
    sys.exit(failed)


if __name__ == "__main__":
    main()
