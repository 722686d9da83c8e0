"""Talks to a trained demo model: by hand, from a list, or through the held-out questions.
Never trains and never changes the model's folder.
Called by `train` at its end, and by hand.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

from heldout import CASES, CHATS

ANSWER_TOKENS_MAX = 220
Message = dict[str, str]


class Talker:
    """A loaded model that answers messages."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        self.model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def answer(self, messages: list[Message], temperature: float = 0.0) -> tuple[str, bool]:
        """The answer, and whether the model ended it by itself."""
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = self.tokenizer(text, return_tensors="pt", add_special_tokens=False)
        how = (
            {"do_sample": True, "temperature": temperature, "top_p": 0.95, "top_k": 0}
            if temperature > 0
            else {"do_sample": False, "temperature": None, "top_p": None}
        )
        with torch.inference_mode():
            out = self.model.generate(
                ids["input_ids"], attention_mask=ids["attention_mask"], max_new_tokens=ANSWER_TOKENS_MAX, **how
            )[0]
        new = out[ids["input_ids"].shape[1] :]
        ended = int(new[-1]) == self.tokenizer.eos_token_id
        return self.tokenizer.decode(new, skip_special_tokens=True), ended


def passes(answer: str, ended: bool, wanted: str) -> bool:
    """Whether the answer ended by itself and holds one of the wanted parts."""
    return ended and any(part.strip().lower() in answer.lower() for part in wanted.split("/"))


def report(folder: Path, temperature: float = 0.0, only_failures: bool = False) -> tuple[int, int]:
    """Asks every held-out question, prints the answers, and counts those that pass."""
    torch.manual_seed(1)
    talker = Talker(folder)
    passed = total = 0
    for ask, wanted in CASES:
        answer, ended = talker.answer([{"role": "user", "content": ask}], temperature)
        good = passes(answer, ended, wanted)
        passed, total = passed + good, total + 1
        if not (good and only_failures):
            print(f"{'pass' if good else 'FAIL'} | {ask} | {answer}", flush=True)
    for asks, wanted in CHATS:
        messages: list[Message] = []
        for ask in asks:
            messages.append({"role": "user", "content": ask})
            answer, ended = talker.answer(messages, temperature)
            messages.append({"role": "assistant", "content": answer})
        good = passes(answer, ended, wanted)
        passed, total = passed + good, total + 1
        if not (good and only_failures):
            print(f"{'pass' if good else 'FAIL'} | {' / '.join(asks)} | {answer}", flush=True)
    print(f"held-out questions passed: {passed} of {total} at temperature {temperature}", flush=True)
    return passed, total


def chat(folder: Path, temperature: float, system: str | None) -> None:
    """A conversation on the terminal, until the input ends."""
    talker = Talker(folder)
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    for line in sys.stdin:
        messages.append({"role": "user", "content": line.rstrip("\n")})
        answer, _ = talker.answer(messages, temperature)
        messages.append({"role": "assistant", "content": answer})
        print(f"> {line.rstrip()}\n{answer}", flush=True)


def ask_each(folder: Path, temperature: float, system: str | None) -> None:
    """Each input line as a conversation of its own."""
    talker = Talker(folder)
    for line in sys.stdin:
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": line.rstrip("\n")})
        answer, ended = talker.answer(messages, temperature)
        print(f"> {line.rstrip()}\n{answer}{'' if ended else ' [not ended]'}", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Talk to the demo model.")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument(
        "--mode",
        choices=("chat", "each", "report"),
        default="chat",
        help="one chat, one answer per line, or the held-out questions",
    )
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    parser.add_argument("--system", default=None, help="system prompt")
    parser.add_argument("--only-failures", action="store_true", help="print only what failed")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sampler")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    if args.mode == "report":
        report(args.model, args.temperature, args.only_failures)
    elif args.mode == "chat":
        chat(args.model, args.temperature, args.system)
    else:
        ask_each(args.model, args.temperature, args.system)


if __name__ == "__main__":
    main()
