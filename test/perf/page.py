"""The generated part of docs/performance.md, from records of comparisons. Text
outside the two marks is kept. Must not know how anything was measured."""
import json
import os

BEGIN, END = "<!-- begin of what test/perf/compare wrote -->", "<!-- end of what test/perf/compare wrote -->"
NEW = f"# Performance\n\n{BEGIN}\n{END}\n"


def key(record):
    return [record[k] for k in ("model", "head", "test", "threads", "program_args")]


def add(records, record):
    """Replaces the record of the same comparison."""
    return [r for r in records if key(r) != key(record)] + [record]


def number(x):
    return f"{x:.1f}" if x < 100 else f"{x:.0f}"


def ratio(r):
    return f"**{r[0]:.2f}** ({r[1]:.2f} to {r[2]:.2f})"


def table(records, peers):
    head = ["model", "head", "test", "threads", "placement", "pairs", "program"] + peers
    head += ["ratio to " + p for p in peers] + ["better peer", "of the read probe"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for record in sorted(records, key=key):
        test = record["test"] + (" " + record["program_args"] if record["program_args"] else "")
        for row in record["rows"]:
            cells = [record["model"], record["head"], test, str(record["threads"]), row["placement"],
                     str(row["pairs"]), number(row["speeds"][record["program"]])]
            cells += [number(row["speeds"][p]) if p in row["speeds"] else "-" for p in peers]
            cells += [ratio(row["ratios"][p]) if p in row["ratios"] else "-" for p in peers]
            share = row.get("share")
            # A prompt's weights are read once for many tokens.
            shown = f"{100 * share:.0f} %" if share and record["test"].startswith("tg") else "-"
            lines.append("| " + " | ".join(cells + [row["better"], shown]) + " |")
    return lines


def body(records):
    if not records:
        return "Nothing is measured yet."
    peers = sorted({p for r in records for row in r["rows"] for p in row["ratios"]})
    lines = ["Tokens per second, medians; ratios are medians of paired runs with a 95 % bootstrap interval."]
    lines += ["", *table(records, peers), ""]
    for what in ("machine", "versions"):
        lines += [f"{what.capitalize()}: {text}" for text in sorted({r[what] for r in records})]
    lines += ["", "Commands:", ""]
    lines += [f"    {text}" for text in sorted({r["command"] for r in records})]
    discarded = sum(r["discarded"] for r in records)
    total = sum(len(r["runs"]) for r in records)
    lines += ["", f"{total} runs, {discarded} of them not counted (shared cores, or moved between dies)."]
    return "\n".join(lines)


def render(page, records):
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"expects the lines '{BEGIN}' and '{END}' once each, in this order")
    return page[:page.index(BEGIN) + len(BEGIN)] + "\n" + body(records) + "\n" + page[page.index(END):]


def update(path, record):
    """Adds a record to PATH's sibling .json and renders PATH anew."""
    data = os.path.splitext(path)[0] + ".json"
    records = add(json.load(open(data)) if os.path.exists(data) else [], record)
    text = render(open(path).read() if os.path.exists(path) else NEW, records)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(data, "w") as f:
        # One line for each record: a later run changes only its own.
        f.write("[\n" + ",\n".join(json.dumps(r, sort_keys=True) for r in sorted(records, key=key)) + "\n]\n")
    with open(path, "w") as f:
        f.write(text)
