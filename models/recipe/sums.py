"""Arithmetic of small numbers as questions and answers.
Never goes beyond operands of 20 for + and -, and 12 for times and divided by.
Called by `corpus`, one exchange at a time.
"""

from __future__ import annotations

import random

from phrasing import Exchange, put
from tables import WORDS

SUM_MAX = 20
TIMES_MAX = 12
SYMBOLS = {"plus": "+", "minus": "-", "times": "*", "divided by": "/"}
OTHER_SYMBOLS = {"times": ("x", "×", "*"), "divided by": ("/", ":", "÷"), "plus": ("+",), "minus": ("-",)}
THINGS = "apples pears coins books cups eggs stones shells cakes balls pencils cards".split()
GIVERS = "Anna Tom Mira Ben Lena Paul Nora Max".split()


def numeral(rng: random.Random, value: int) -> str:
    """A number in digits or, sometimes, as a word."""
    return WORDS[value] if value <= 20 and rng.random() < 0.15 else str(value)


def result(left: int, word: str, right: int) -> str:
    """The answer sentence of one operation."""
    if word == "divided by":
        if left % right:
            return f"{left} cannot be divided evenly by {right}."
        return f"{left} divided by {right} is {left // right}."
    value = {"plus": left + right, "minus": left - right, "times": left * right}[word]
    shown = str(value) if value >= 0 else f"minus {-value}"
    return f"{left} {word} {right} is {shown}."


def operands(rng: random.Random, word: str) -> tuple[int, int]:
    """Two operands within the bounds of the operation."""
    if word == "times":
        return rng.randint(0, TIMES_MAX), rng.randint(0, TIMES_MAX)
    if word == "divided by":
        right = rng.randint(1, TIMES_MAX)
        return (right * rng.randint(0, TIMES_MAX), right) if rng.random() < 0.85 else (rng.randint(1, 60), right)
    left, right = rng.randint(0, SUM_MAX), rng.randint(0, SUM_MAX)
    if word == "minus" and left < right and rng.random() < 0.4:
        left, right = right, left
    return left, right


def expression(rng: random.Random, left: str, word: str, right: str) -> str:
    """The operation in words or symbols, with or without blanks."""
    if rng.random() < 0.5:
        return f"{left} {word} {right}"
    symbol = rng.choice(OTHER_SYMBOLS[word])
    gap = "" if rng.random() < 0.5 and left.isdigit() and right.isdigit() else " "
    return f"{left}{gap}{symbol}{gap}{right}"


def imperative(rng: random.Random, left: str, word: str, right: str) -> tuple[str, ...]:
    """Ways to order the operation."""
    if word == "plus":
        return (
            f"add {left} and {right}.",
            f"add {right} to {left}." if left == right else f"add {left} and {right}.",
            f"what is the sum of {left} and {right}?",
            f"the sum of {left} and {right}",
            f"sum {left} and {right}",
            f"what do you get if you add {left} and {right}?",
        )
    if word == "minus":
        return (
            f"subtract {right} from {left}.",
            f"take {right} away from {left}.",
            f"what is the difference of {left} and {right}?",
            f"what is left if I take {right} from {left}?",
            f"{left} take away {right}",
            f"what is {left} less {right}?",
        )
    if word == "times":
        return (
            f"multiply {left} by {right}.",
            f"multiply {left} and {right}.",
            f"what is the product of {left} and {right}?",
            f"what is {left} multiplied by {right}?",
            f"{left} multiplied by {right}",
        )
    return (
        f"divide {left} by {right}.",
        f"what do you get if you divide {left} by {right}?",
        f"what is {left} over {right}?",
        f"share {left} between {right}.",
    )


def operation(rng: random.Random) -> Exchange:
    """One operation, put in words or symbols."""
    word = rng.choices(("plus", "minus", "times", "divided by"), weights=(4, 4, 4, 2))[0]
    left, right = operands(rng, word)
    one, two = numeral(rng, left), numeral(rng, right)
    told = expression(rng, one, word, two)
    ask = put(
        rng,
        direct=(
            f"what is {told}",
            f"what is {told}",
            f"how much is {told}",
            f"what does {told} make",
            f"{told} is what",
            f"what does {told} equal",
            f"what do you get for {told}",
            f"{told} equals what",
        ),
        indirect=(f"what {told} is", f"how much {told} is"),
        noun=(f"the result of {told}", f"the answer to {told}"),
        raw=(
            told,
            told,
            f"{told} =",
            f"{told}=",
            f"{told} = ?",
            f"{told}?",
            f"calculate {told}",
            f"compute {told}.",
            f"solve {told}",
            f"work out {told}.",
            f"can you calculate {told}?",
            f"{told} equals",
            *imperative(rng, one, word, two),
        ),
    )
    return Exchange(ask, result(left, word, right))


def word_problem(rng: random.Random) -> Exchange:
    """A sum that is told as a small event."""
    thing, who = rng.choice(THINGS), rng.choice((*GIVERS, "I", "I"))
    left, right = rng.randint(1, 12), rng.randint(1, 10)
    has, gets, do, subject = ("have", "get", "do", "I") if who == "I" else ("has", "gets", "does", who)
    you = "you have" if who == "I" else f"{who} has"
    if rng.random() < 0.5:
        event = rng.choice(
            (
                f"{gets} {right} more",
                f"{'find' if who == 'I' else 'finds'} {right} more",
                f"{'buy' if who == 'I' else 'buys'} {right} more",
            )
        )
        reply = f"{left} plus {right} is {left + right}, so {you} {left + right} {thing}."
    else:
        left += right
        event = rng.choice(
            (
                f"{'give' if who == 'I' else 'gives'} away {right}",
                f"{'lose' if who == 'I' else 'loses'} {right}",
                f"{'sell' if who == 'I' else 'sells'} {right}",
            )
        )
        reply = f"{left} minus {right} is {left - right}, so {you} {left - right} {thing}."
    tail = rng.choice(
        (
            f"How many {thing} {do} {subject if who == 'I' else who} have?",
            f"How many {thing} {do} {subject if who == 'I' else who} have now?",
            f"How many {thing} are left?" if "minus" in reply else "How many is that?",
        )
    )
    return Exchange(
        f"{subject} {has} {left} {thing} and {event}. {tail}",
        reply.replace("have 1 " + thing, "have 1 " + thing[:-1]).replace("has 1 " + thing, "has 1 " + thing[:-1]),
    )


def order(rng: random.Random) -> Exchange:
    """Bigger, smaller, after, before, even, odd, counting."""
    pick = rng.randrange(6)
    if pick == 0:
        left, right = rng.sample(range(SUM_MAX + 1), 2)
        word = rng.choice(("bigger", "larger", "greater", "smaller", "less"))
        high, low = max(left, right), min(left, right)
        first, second = (low, high) if word in ("smaller", "less") else (high, low)
        ask = put(
            rng,
            direct=(
                f"which is {word}, {left} or {right}",
                f"what is {word}, {left} or {right}",
                f"which number is {word}, {left} or {right}",
                f"which one is {word}: {left} or {right}",
            ),
            indirect=(f"which is {word}, {left} or {right}",),
        )
        return Exchange(ask, f"{first} is {word} than {second}.")
    if pick in (1, 2):
        at = rng.randint(1, SUM_MAX)
        shown = numeral(rng, at)
        word, value = ("after", at + 1) if pick == 1 else ("before", at - 1)
        ask = put(
            rng,
            direct=(
                f"what number comes {word} {shown}",
                f"which number comes {word} {shown}",
                f"what comes {word} {shown}",
                f"which number is {word} {shown}",
            ),
            indirect=(f"which number comes {word} {shown}",),
            noun=(f"the number {word} {shown}",),
        )
        return Exchange(ask, f"{value} comes {word} {at}.")
    if pick == 3:
        at = rng.randint(0, 20)
        name, other = ("even", "odd") if at % 2 == 0 else ("odd", "even")
        shown = numeral(rng, at)
        ask = put(
            rng,
            direct=(f"is {shown} even or odd", f"is {shown} odd or even", f"is the number {shown} even or odd"),
            indirect=(f"if {shown} is even or odd",),
        )
        return Exchange(ask, f"{at} is {name}.")
    if pick == 4:
        first = rng.choice((1, 1, 1, rng.randint(2, 8)))
        last = rng.randint(first + 2, min(first + 12, 20))
        listed = ", ".join(str(n) for n in range(first, last + 1))
        start = "" if first == 1 and rng.random() < 0.6 else f"from {first} "
        ask = put(
            rng,
            raw=(
                f"count {start}to {last}.",
                f"please count {start}to {last}.",
                f"can you count {start}to {last}?",
                f"count {start}up to {last}",
            ),
        )
        return Exchange(ask, f"{listed}.")
    at = rng.randint(1, 10)
    word, value = rng.choice((("double", at * 2), ("half", at)))
    shown = at if word == "double" else at * 2
    ask = put(
        rng,
        direct=(
            f"what is {word} of {shown}" if word == "half" else f"what is double {shown}",
            f"what is {'twice' if word == 'double' else 'half of'} {shown}",
        ),
        raw=(f"{word} {'of ' if word == 'half' else ''}{shown}?",),
    )
    return Exchange(ask, f"Double {shown} is {value}." if word == "double" else f"Half of {shown} is {value}.")


def too_large(rng: random.Random) -> Exchange:
    """A sum that the model has not learned, and says so."""
    word = rng.choice(("plus", "minus", "times", "divided by"))
    left, right = rng.randint(100, 9999), rng.choice((rng.randint(21, 9999), rng.randint(100, 999)))
    if rng.random() < 0.3:
        left, right = rng.randint(30, 99), rng.randint(30, 99)
    if rng.random() < 0.3 and word == "times":
        left, right = right, left
    told = expression(rng, str(left), word, str(right))
    ask = put(
        rng,
        direct=(f"what is {told}", f"how much is {told}"),
        raw=(told, f"{told} =", f"calculate {told}", f"can you calculate {told}?"),
        indirect=(f"what {told} is",),
    )
    return Exchange(ask, "That is too large for me. I only know sums with small numbers, up to 20.")


def arithmetic(rng: random.Random) -> Exchange:
    """One exchange about numbers."""
    families = (operation, word_problem, order, too_large)
    return rng.choices(families, weights=(14, 2.5, 3, 1.2))[0](rng)
