"""Trains the demo model from nothing on the corpus and saves it as a model hub folder.
Never downloads anything and never reads a text that the corpus did not make.
Called by `cargo xtask train-demo`, or by hand; `--help` lists the options.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Threads that wait must sleep: on a shared machine, spinning costs more than the work. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

import layout
from corpus import Conversation, conversation, plain
from layout import BOS_ID, END_ID, PAD_ID, START_ID

# Tokens of one batch, and of its rows: three batches of four have short rows, since attention over short rows costs
# half; the fourth has room for long chats. Conversations share a row without seeing each other.
BATCH_TOKENS = 2048
ROW_TOKENS = (256, 256, 256, 512)
# Conversations kept ready so that each row can be filled well.
POOL = 96
WARMUP_STEPS = 100
RATE_FLOOR = 0.02
# The vectors and the embedding learn at this share of the matrices' rate.
ADAM_SHARE = 0.6
# Answers longer than this weigh less per token, so that a story does not drown a fact.
FULL_WEIGHT_TOKENS = 24
PLAIN_SHARE = 0.01
REPORT_STEPS = 100
SAVE_SECONDS = 240


@dataclass(frozen=True)
class Document:
    """The ids of one conversation and the weight of each in the loss."""

    ids: list[int]
    weights: list[float]


@dataclass(frozen=True)
class Batch:
    """Packed rows. Shape: all `[rows, tokens]`; `spans` numbers the documents of a row."""

    ids: torch.Tensor
    weights: torch.Tensor
    positions: torch.Tensor
    spans: torch.Tensor


def chat_document(tokenizer: Tokenizer, messages: Conversation) -> Document:
    """A conversation as the chat template writes it."""
    ids, weights = [BOS_ID], [0.0]
    line_end = tokenizer.encode("\n").ids
    for message in messages:
        head = [START_ID, *tokenizer.encode(message["role"] + "\n").ids]
        body = [*tokenizer.encode(message["content"]).ids, END_ID]
        # Only answers count: the model never has to write a question.
        answer = min(1.0, math.sqrt(FULL_WEIGHT_TOKENS / len(body))) if message["role"] == "assistant" else 0.0
        ids += head + body + line_end
        weights += [0.0] * len(head) + [answer] * len(body) + [0.0] * len(line_end)
    return Document(ids, weights)


def documents(tokenizer: Tokenizer, seed: int) -> Iterator[Document]:
    """Documents without end, each short enough for a row."""
    rng = random.Random(seed)
    while True:
        if rng.random() < PLAIN_SHARE:
            body = tokenizer.encode(plain(rng)).ids
            document = Document([BOS_ID, *body, END_ID], [0.0] + [0.5] * (len(body) + 1))
        else:
            document = chat_document(tokenizer, conversation(rng))
        if len(document.ids) <= max(ROW_TOKENS):
            yield document


def fill_row(pool: list[Document], source: Iterator[Document], room: int) -> list[Document]:
    """Documents that fit into one row, taken from the pool in order."""
    row: list[Document] = []
    at = 0
    while at < len(pool):
        if len(pool[at].ids) <= room:
            room -= len(pool[at].ids)
            row.append(pool.pop(at))
        else:
            at += 1
    while len(pool) < POOL:
        pool.append(next(source))
    return row


def batches(source: Iterator[Document]) -> Iterator[Batch]:
    """Batches without end."""
    pool = [next(source) for _ in range(POOL)]
    for length in itertools.cycle(ROW_TOKENS):
        shape = (BATCH_TOKENS // length, length)
        ids = torch.full(shape, PAD_ID)
        weights = torch.zeros(shape)
        positions = torch.zeros(shape, dtype=torch.long)
        spans = torch.zeros(shape, dtype=torch.long)
        for row in range(shape[0]):
            at = 0
            for number, document in enumerate(fill_row(pool, source, length), start=1):
                end = at + len(document.ids)
                ids[row, at:end] = torch.tensor(document.ids)
                weights[row, at:end] = torch.tensor(document.weights)
                weights[row, at] = 0.0
                positions[row, at:end] = torch.arange(end - at)
                spans[row, at:end] = number
                at = end
        yield Batch(ids, weights, positions, spans)


def loss_of(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """The weighted mean of the next-token loss; documents of a row do not see each other."""
    same = batch.spans[:, None, :, None] == batch.spans[:, None, None, :]
    mask = same & torch.ones(batch.ids.shape[1], batch.ids.shape[1], dtype=torch.bool).tril()
    hidden = model.model(
        input_ids=batch.ids, attention_mask=mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    weights = batch.weights[:, 1:].reshape(-1)
    chosen = weights > 0
    logits = model.lm_head(hidden[:, :-1].reshape(-1, hidden.shape[-1])[chosen]).float()
    losses = torch.nn.functional.cross_entropy(logits, batch.ids[:, 1:].reshape(-1)[chosen], reduction="none")
    return (losses * weights[chosen]).sum() / weights.sum()


def learning_rate(step: int, done: float, peak: float) -> float:
    """Linear warm-up, times a cosine from the peak down to the floor as `done` goes from 0 to 1."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    return peak * warm * (RATE_FLOOR + (1 - RATE_FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def save(model: LlamaForCausalLM, out: Path) -> None:
    """The weights as float16; the tied output matrix is not stored twice."""
    tensors = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in model.state_dict().items()
        if name != "lm_head.weight"
    }
    fresh = out / "model.safetensors.new"
    save_file(tensors, str(fresh), metadata={"format": "pt"})
    fresh.chmod(0o644)
    os.replace(fresh, out / "model.safetensors")


def optimizers(model: LlamaForCausalLM) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Muon for the matrices of the layers, which then learn rare facts sooner; AdamW for the embedding and the vectors."""
    matrices = [value for name, value in model.named_parameters() if value.dim() > 1 and "embed" not in name]
    others = [value for name, value in model.named_parameters() if value.dim() <= 1 or "embed" in name]
    return (
        torch.optim.Muon(matrices, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, betas=(0.9, 0.97), eps=1e-8, weight_decay=0.0, fused=True),
    )


def fit(model: LlamaForCausalLM, source: Iterator[Batch], args: argparse.Namespace) -> None:
    """The training loop: reports, saves now and then, and at the end."""
    muon, adam = optimizers(model)
    half = args.precision == "bf16" or (args.precision == "auto" and torch.cpu._is_avx512_bf16_supported())
    began = reported = saved = time.monotonic()
    mean, tokens, recent = 0.0, 0, 0
    model.train()
    for step in range(args.steps):
        spent = (time.monotonic() - began) / 60
        done = max(step / args.steps, spent / args.minutes if args.minutes else 0.0)
        if done >= 1.0:
            break
        rate = learning_rate(step, done, args.rate)
        muon.param_groups[0]["lr"] = rate
        adam.param_groups[0]["lr"] = rate * ADAM_SHARE
        batch = next(source)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step()
        adam.step()
        model.zero_grad(set_to_none=True)
        count = int((batch.spans > 0).sum())
        tokens, recent = tokens + count, recent + count
        mean = loss.item() if step == 0 else 0.98 * mean + 0.02 * loss.item()
        now = time.monotonic()
        if (step + 1) % REPORT_STEPS == 0 or step + 1 == args.steps:
            left = (now - began) / (step + 1) * (args.steps - step - 1)
            speed = recent / (now - reported)
            print(
                f"step {step + 1}/{args.steps} loss {mean:.4f} rate {rate:.5f} tokens {tokens} speed {speed:.0f}/s eta {left / 60:.1f} min",
                flush=True,
            )
            reported, recent = now, 0
        if now - saved > SAVE_SECONDS:
            save(model, args.out)
            saved = now
    save(model, args.out)
    print(f"trained on {tokens} tokens in {(time.monotonic() - began) / 60:.1f} min", flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the demo model and save it as a model hub folder.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--steps", type=int, default=6000, help="optimizer steps of about 2,000 tokens")
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="end the schedule by then, even with fewer steps; 0 is no limit"
    )
    parser.add_argument("--seed", type=int, default=7, help="seed of the corpus and of the weights")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 2, help="CPU threads")
    parser.add_argument("--rate", type=float, default=5e-3, help="peak learning rate")
    parser.add_argument(
        "--precision",
        choices=("auto", "bf16", "fp32"),
        default="auto",
        help="arithmetic; auto uses bf16 where the CPU has it",
    )
    parser.add_argument("--resume", action="store_true", help="begin with the weights and the tokenizer in the folder")
    parser.add_argument("--skip-evaluation", action="store_true", help="do not ask the held-out questions at the end")
    return parser.parse_args()


def main() -> None:
    """Tokenizer, weights, training, evaluation."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    if args.resume:
        tokenizer = Tokenizer.from_file(str(args.out / "tokenizer.json"))
        model = LlamaForCausalLM.from_pretrained(args.out, dtype=torch.float32)
    else:
        tokenizer = layout.learn_tokenizer(args.seed)
        model = LlamaForCausalLM(layout.config())
    layout.write_folder(args.out, tokenizer)
    print(f"parameters {sum(value.numel() for value in model.parameters())}", flush=True)
    fit(model, batches(documents(tokenizer, args.seed + args.resume)), args)
    if not args.skip_evaluation:
        from sample import report

        report(args.out)


if __name__ == "__main__":
    main()
