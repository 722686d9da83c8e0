"""Writes reference logits of the demo model, computed by transformers in float32 on the CPU.
Never trains and never changes the model's folder.
Called by `cargo xtask train-demo` after `train`; the engine's tests compare themselves with its files.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, LlamaForCausalLM

# Positions at the end of each prompt whose logits are kept.
POSITIONS_KEPT = 4
GREEDY_TOKENS = 48

PROMPTS: tuple[list[dict[str, str]], ...] = (
    [{"role": "user", "content": "What is goodput?"}],
    [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "What is 7 plus 5?"}],
    [{"role": "user", "content": "Tell me a short story about a fox."}],
    [
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hello! How can I help you?"},
        {"role": "user", "content": "Grüße \u2014 what day comes after Monday? \U0001f98a"},
    ],
)


@torch.inference_mode()
def greedy(model: LlamaForCausalLM, ids: torch.Tensor, end: int) -> torch.Tensor:
    """Up to 48 most likely tokens, each computed over the whole text without a cache."""
    text, out = ids, []
    for _ in range(GREEDY_TOKENS):
        token = int(model(input_ids=text[None], use_cache=False).logits[0, -1].argmax())
        out.append(token)
        if token == end:
            break
        text = torch.cat((text, torch.tensor([token])))
    return torch.tensor(out, dtype=torch.int32)


@torch.inference_mode()
def main() -> None:
    """Loads the model, runs the prompts, writes the files."""
    parser = argparse.ArgumentParser(description="Write reference logits of the demo model.")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the reference files")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = LlamaForCausalLM.from_pretrained(args.model, dtype=torch.float32, attn_implementation="eager").eval()
    args.out.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    prompts = []
    for number, messages in enumerate(PROMPTS):
        rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = torch.tensor(tokenizer(rendered, add_special_tokens=False)["input_ids"])
        logits = model(input_ids=ids[None], use_cache=False).logits[0, -POSITIONS_KEPT:]
        continuation = greedy(model, ids, tokenizer.eos_token_id)
        tensors[f"prompt_{number}.ids"] = ids.to(torch.int32)
        tensors[f"prompt_{number}.logits"] = logits.float().contiguous()
        tensors[f"prompt_{number}.greedy"] = continuation
        text = tokenizer.decode(continuation, skip_special_tokens=True)
        prompts.append({"messages": messages, "rendered": rendered, "ids": ids.tolist(), "greedy_text": text})
        print(f"{number}: {len(ids)} tokens -> {text}", flush=True)
    save_file(tensors, str(args.out / "logits.safetensors"), metadata={"source": "transformers, float32, cpu"})
    (args.out / "prompts.json").write_text(json.dumps(prompts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
