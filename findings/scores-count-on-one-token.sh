#!/bin/bash
# lm_eval 0.4.13 (PyPI): the scores of its local-completions model are the log-
# probabilities of an echoed prompt without the last entry, whatever the answer says
# of how many tokens were generated. A server that leaves the token out of logprobs
# which ended the answer (it asked for one token, and that was an end token) loses the
# last token of the text that is scored: no error, another score. Seen, for the
# continuation of two tokens at -1 and -2:
#   one token generated: (-3.0, True)
#   none generated:      (-1.0, True)
# Ends with 1 if the answer's token counts make a difference now.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q "lm_eval[api]==0.4.13" transformers==5.24.0 >"$place/log" 2>&1 || { tail -3 "$place/log"; exit 2; }
HF_HUB_OFFLINE=1 "$place/venv/bin/python" - 2>/dev/null <<'PY'
import sys

from lm_eval.models.openai_completions import LocalCompletionsAPI


def answer(generated):
    """A prompt of two tokens and a continuation of two, echoed."""
    tokens = ["The", " sky", " is", " blue"] + ["."] * generated
    values = [None, -4.0, -1.0, -2.0] + [-0.5] * generated
    tops = [None if v is None else {t: v} for t, v in zip(tokens, values)]
    logprobs = {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": [0] * len(tokens)}
    return {"choices": [{"index": 0, "text": "".join(tokens), "finish_reason": "length" if generated else "stop", "logprobs": logprobs}],
            "usage": {"prompt_tokens": 4, "completion_tokens": generated, "total_tokens": 4 + generated}}


one, none = (LocalCompletionsAPI.parse_logprobs([answer(n)], tokens=[[1, 2, 3, 4]], ctxlens=[2])[0] for n in (1, 0))
print("one token generated:", one)
print("none generated:     ", none)
sys.exit(0 if one[0] == -3.0 and none[0] == -1.0 else 1)
PY
