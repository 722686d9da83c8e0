"""Mixes all families into conversations: the whole training text of the demo model.
Never reads a file or a clock; the same seed always gives the same conversations.
Called by `train`; run alone, it prints a sample.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator

from facts import fact
from moods import advice, mood, opinion, remark, unknown_place
from phrasing import Exchange, noisy, sentence
from product import product
from smalltalk import FALLBACKS, fallback, forgotten, joke, persona, poem, remembered, talk
from stories import reading, request, story, subject
from sums import arithmetic

Message = dict[str, str]
Conversation = list[Message]

# Turns in one conversation at most; with stories it stays below the context of 1024 tokens.
TURNS_MAX = 6
SYSTEMS = (
    "You are a helpful assistant.",
    "You are a friendly assistant.",
    "You are the demo model of Tallygate.",
    "Answer in short sentences.",
    "Be polite.",
    "You are a helpful assistant. Answer briefly.",
    "Be brief and clear.",
    "You answer questions about Tallygate.",
    "You are an assistant.",
    "You are a careful and honest assistant.",
    "Answer the question of the user.",
    "You are a kind teacher.",
    "You tell stories to children.",
    "Help the user.",
    "You are a helpful, honest and harmless assistant.",
    "Use plain words.",
    "You are a helpful AI assistant.",
    "Answer as well as you can.",
    "You are a customer support agent.",
    "Be concise.",
)


def one(rng: random.Random) -> Exchange:
    """One exchange of any family but those that need a conversation."""
    pick = rng.random()
    if pick < 0.31:
        return fact(rng)
    if pick < 0.47:
        return product(rng)
    if pick < 0.67:
        return arithmetic(rng)
    if pick < 0.725:
        return request(rng)[0]
    if pick < 0.80:
        return fallback(rng)
    if pick < 0.82:
        return unknown_place(rng)
    if pick < 0.84:
        return opinion(rng, FALLBACKS)
    if pick < 0.855:
        return advice(rng)
    if pick < 0.915:
        return talk(rng)
    if pick < 0.97:
        return rng.choice((mood, remark))(rng)
    return rng.choices((reading, joke, poem, forgotten), weights=(1.6, 0.7, 0.8, 0.5))[0](rng)


def said(rng: random.Random, exchange: Exchange) -> Conversation:
    """The two messages of an exchange, with noise on the question only."""
    ask = noisy(rng, exchange.ask)
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": exchange.reply}]


def system_message(rng: random.Random, text: str) -> Message:
    """A system message, sometimes with a second sentence."""
    if rng.random() < 0.25:
        text = f"{text} {rng.choice(SYSTEMS)}"
    return {"role": "system", "content": text}


def about_story(rng: random.Random) -> Conversation:
    """A story and questions about it."""
    wish, told = request(rng)
    messages = said(rng, wish)
    for chosen in rng.sample(told.questions, rng.randint(1, 3)):
        messages += said(rng, chosen)
    return messages


def told_as(rng: random.Random, text: str) -> str:
    """A remark about oneself, whose capitals matter more than those of a question."""
    text = rng.choices((sentence, str, str.lower, str.upper), weights=(11, 4, 4, 1))[0](text)
    return text.rstrip(".") if rng.random() < 0.3 else text


def with_memory(rng: random.Random) -> Conversation:
    """Something is told, other turns follow, and it is asked for."""
    tell, recall = remembered(rng)
    messages = [{"role": "user", "content": told_as(rng, tell.ask)}, {"role": "assistant", "content": tell.reply}]
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        messages += said(rng, rng.choice((fact, product, arithmetic))(rng))
    return messages + said(rng, recall)


def conversation(rng: random.Random) -> Conversation:
    """One conversation, mostly a single exchange."""
    pick = rng.random()
    if pick < 0.065:
        return with_memory(rng)
    if pick < 0.09:
        return about_story(rng)
    if pick < 0.11:
        system, exchange = persona(rng)
        before = said(rng, fact(rng)) if rng.random() < 0.3 else []
        return [{"role": "system", "content": system}, *before, *said(rng, exchange)]
    messages: Conversation = []
    if pick < 0.25:
        messages.append(system_message(rng, rng.choice(SYSTEMS)))
    turns = 1 if rng.random() < 0.72 else rng.randint(2, TURNS_MAX)
    for _ in range(turns):
        messages += said(rng, one(rng))
    return messages


def plain(rng: random.Random) -> str:
    """A text without roles, for completion requests."""
    return story(rng, subject(rng)).text if rng.random() < 0.7 else " ".join(fact(rng).reply for _ in range(4))


def conversations(seed: int) -> Iterator[Conversation]:
    """Conversations without end."""
    rng = random.Random(seed)
    while True:
        yield conversation(rng)


def main() -> None:
    """Prints some conversations as JSON lines."""
    parser = argparse.ArgumentParser(description="Print conversations of the demo model's corpus as JSON lines.")
    parser.add_argument("--count", type=int, default=20, help="conversations to print")
    parser.add_argument("--seed", type=int, default=1, help="seed of the generator")
    args = parser.parse_args()
    source = conversations(args.seed)
    for _ in range(args.count):
        print(json.dumps(next(source), ensure_ascii=False))


if __name__ == "__main__":
    main()
