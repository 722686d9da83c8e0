"""The many ways in which one question can be put, and the noise that people type.
Never holds a fact and never touches the answer side, which stays clean.
Called by every module that makes exchanges, and by `corpus`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Exchange:
    """One question and its answer."""

    ask: str
    reply: str


DIRECT = (
    "{q}?",
    "{q}?",
    "{q}?",
    "{q}?",
    "{q}?",
    "{q}?",
    "{q}?",
    "{q}?",
    "hey, {q}?",
    "hi, {q}?",
    "hello, {q}?",
    "ok, {q}?",
    "so, {q}?",
    "please tell me: {q}?",
    "quick question: {q}?",
    "{q} please?",
    "{q}, please?",
    "now, {q}?",
    "one more question: {q}?",
    "and {q}?",
    "tell me, {q}?",
    "{q}, do you know?",
    "question: {q}?",
    "well, {q}?",
    "excuse me, {q}?",
    "next question: {q}?",
    "I have a question. {q}?",
    "can you help me? {q}?",
    "a simple one: {q}?",
)
INDIRECT = (
    "can you tell me {i}?",
    "could you tell me {i}?",
    "do you know {i}?",
    "please tell me {i}.",
    "tell me {i}.",
    "I want to know {i}.",
    "I would like to know {i}.",
    "I wonder {i}.",
    "can you say {i}?",
    "please explain {i}.",
    "would you tell me {i}?",
    "any idea {i}?",
    "I need to know {i}.",
    "could you please tell me {i}?",
    "can you explain {i}?",
    "explain {i}.",
    "I was wondering {i}.",
    "my question is {i}.",
    "say {i}.",
    "I do not know {i}.",
    "remind me {i}.",
    "can you please tell me {i}?",
    "help me understand {i}.",
    "I forgot {i}.",
)
NOUN = (
    "tell me {n}.",
    "{n}?",
    "{n}",
    "what is {n}?",
    "what is {n}?",
    "give me {n}.",
    "please give me {n}.",
    "name {n}.",
    "can you tell me {n}?",
    "do you know {n}?",
    "I want to know {n}.",
    "could you tell me {n}?",
    "please tell me {n}.",
    "I need {n}.",
    "say {n}.",
    "do you happen to know {n}?",
    "please name {n}.",
)
TASK = (
    "how do I {t}?",
    "how do I {t}?",
    "how can I {t}?",
    "how to {t}",
    "how to {t}?",
    "how does one {t}?",
    "how do you {t}?",
    "what is the way to {t}?",
    "I want to {t}.",
    "I need to {t}.",
    "help me {t}.",
    "how would I {t}?",
    "can you tell me how to {t}?",
    "please tell me how to {t}.",
    "what do I do to {t}?",
    "how should I {t}?",
    "I would like to {t}.",
    "explain how to {t}.",
    "what must I do to {t}?",
    "can I {t}?",
    "is there a way to {t}?",
    "what is the best way to {t}?",
    "show me how to {t}.",
    "how could I {t}?",
    "do you know how to {t}?",
    "{t}",
    "tell me how to {t}.",
    "how do we {t}?",
    "I don't know how to {t}.",
    "can you help me {t}?",
)
COMMAND = (
    "which command do I use to {t}?",
    "what is the command to {t}?",
    "what command lets me {t}?",
    "where can I {t}?",
    "where do I {t}?",
    "command to {t}?",
    "what do I type to {t}?",
    "what should I run to {t}?",
)

NEIGHBOURS = {
    "a": "sq",
    "e": "wr",
    "i": "uo",
    "o": "ip",
    "u": "yi",
    "t": "ry",
    "n": "bm",
    "s": "ad",
    "r": "et",
    "l": "k",
    "h": "gj",
    "c": "xv",
    "m": "n",
    "d": "sf",
    "g": "fh",
}
CONTRACTIONS = (
    ("what is", "what's"),
    ("what is", "whats"),
    ("who is", "who's"),
    ("where is", "where's"),
    ("I am", "I'm"),
    ("do not", "don't"),
    ("can not", "can't"),
    ("I would", "I'd"),
    ("how is", "how's"),
    ("that is", "that's"),
)
SPELLINGS = (("colour", "color"), ("neighbour", "neighbor"), ("favourite", "favorite"), ("grey", "gray"))
SHORTHAND = ((" you ", " u "), ("please", "pls"), ("please", "plz"), (" are ", " r "), ("because", "cause"))


LEADS = (
    "so",
    "ok so",
    "and",
    "um,",
    "well,",
    "hey there,",
    "I'm curious,",
    "just wondering,",
    "please,",
    "in short,",
    "hello.",
    "good morning.",
    "hi!",
    "thanks.",
    "ok.",
    "good.",
    "now tell me,",
    "first of all,",
    "by the way,",
    "sorry,",
    "I am new here.",
    "let me ask,",
    "listen,",
    "great!",
    "hmm,",
    "one thing:",
    "honestly,",
    "also,",
    "then",
    "but",
    "oh,",
    "right,",
    "dear model,",
    "hi friend,",
    "my child asks:",
    "for my homework:",
)
TAILS = (
    "please",
    "for me",
    "in simple words",
    "in one sentence",
    "to a beginner",
    "exactly",
    "right now",
    "my friend",
    "thanks",
    "if you can",
    "quickly",
    "again",
    "then",
    "in short",
    "actually",
    "briefly",
    "really",
    "to me",
    "today",
    "if I may ask",
    "in a few words",
    "thank you",
    "for a child",
    "anyway",
)
# A question longer than this is never in capitals only, since a story in it would be hard to read.
SHOUT_MAX = 120
SMALL_WORDS = {
    "the",
    "a",
    "an",
    "is",
    "are",
    "do",
    "does",
    "of",
    "to",
    "I",
    "me",
    "in",
    "my",
    "you",
    "can",
    "what",
    "how",
    "please",
    "tell",
}


def article(noun: str) -> str:
    """The noun with "a" or "an" before it."""
    vowel = noun[0].lower() in "aeiou" and not noun.startswith(("uni", "one", "use"))
    return f"{'an' if vowel else 'a'} {noun}"


def sentence(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def plural(noun: str) -> str:
    """The plural of a regular noun and of the few irregular ones that the tables use."""
    odd = {
        "mouse": "mice",
        "goose": "geese",
        "sheep": "sheep",
        "fish": "fish",
        "wolf": "wolves",
        "leaf": "leaves",
        "knife": "knives",
        "child": "children",
        "person": "people",
        "deer": "deer",
        "calf": "calves",
        "loaf": "loaves",
        "tooth": "teeth",
        "foot": "feet",
        "potato": "potatoes",
        "tomato": "tomatoes",
    }
    if noun in odd:
        return odd[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def put(
    rng: random.Random,
    direct: Sequence[str] = (),
    indirect: Sequence[str] = (),
    noun: Sequence[str] = (),
    task: Sequence[str] = (),
    raw: Sequence[str] = (),
) -> str:
    """One question, drawn from the forms that are given, before noise."""
    pool: list[tuple[str, str, Sequence[str], int]] = []
    for name, frames, forms, weight in (
        ("q", DIRECT, direct, 5),
        ("i", INDIRECT, indirect, 3),
        ("n", NOUN, noun, 2),
        ("t", TASK, task, 5),
    ):
        if forms:
            pool.append((name, rng.choice(frames), forms, weight))
    if raw:
        pool.append(("r", "{r}", raw, 3))
    name, frame, forms, _ = rng.choices(pool, weights=[entry[3] for entry in pool])[0]
    return dressed(rng, frame.replace("{" + name + "}", rng.choice(forms)))


def dressed(rng: random.Random, text: str) -> str:
    """The question with, at times, some words before or after it, or without one small word."""
    if rng.random() < 0.10:
        text = f"{rng.choice(LEADS)} {text}"
    if rng.random() < 0.08:
        mark = text[-1] if text[-1] in "?." else ""
        text = f"{text.rstrip('?.')}{rng.choice(('', '', ','))} {rng.choice(TAILS)}{mark}"
    if rng.random() < 0.07:
        words = text.split(" ")
        spots = [i for i, word in enumerate(words) if word in SMALL_WORDS]
        if spots and len(words) > 3:
            del words[rng.choice(spots)]
            text = " ".join(words)
    return text


def typo(rng: random.Random, text: str) -> str:
    """The text with one slip of the finger in a word of at least four letters."""
    spots = [i for i in range(1, len(text) - 1) if text[i - 1 : i + 2].isalpha()]
    if not spots:
        return text
    i = rng.choice(spots)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:i] + text[i + 1 :]
    if kind == 1:
        return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    if kind == 2:
        return text[:i] + text[i] + text[i:]
    return text[:i] + rng.choice(NEIGHBOURS.get(text[i].lower(), "e")) + text[i + 1 :]


def swap_some(rng: random.Random, text: str, pairs: Sequence[tuple[str, str]], chance: float) -> str:
    """The text with each pair's first form replaced by its second, at the given chance."""
    for plain, other in pairs:
        if plain in text and rng.random() < chance:
            text = text.replace(plain, other, 1)
    return text


def noisy(rng: random.Random, text: str) -> str:
    """The question as somebody might type it: casing, punctuation, contractions, spelling, slips."""
    text = swap_some(rng, text, SPELLINGS, 0.4)
    text = swap_some(rng, text, CONTRACTIONS, 0.14)
    if rng.random() < 0.03:
        text = swap_some(rng, text, SHORTHAND, 0.7)
    casing = rng.random()
    if casing < 0.52:
        text = sentence(text)
    elif casing < 0.86:
        text = text.lower()
    elif casing < 0.945 and len(text) < SHOUT_MAX:
        text = text.upper()
    mark = rng.random()
    if mark < 0.36:
        text = text.rstrip("?.!")
    elif mark < 0.40:
        text = text.rstrip("?.!") + rng.choice(["??", "!", " ?", ".", "...", "?!"])
    if rng.random() < 0.07:
        text = typo(rng, text)
    return text


def named(rng: random.Random, noun: str) -> tuple[str, str]:
    """A surface of a countable noun and the verb that fits it."""
    kind = rng.random()
    if kind < 0.45:
        return article(noun), "is"
    if kind < 0.65:
        return "the " + noun, "is"
    if kind < 0.90:
        return plural(noun), "are"
    return noun, "is"
