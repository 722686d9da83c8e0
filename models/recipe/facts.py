"""Questions and answers about the facts in `tables` and `definitions`.
Never invents a fact and never answers for something that is not in a table; it is long, since question forms stay beside their answer.
Called by `corpus`, one exchange at a time.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import tables
from animals import animal, reverse_animal, size
from definitions import DEFINITIONS, SINGLES
from phrasing import Exchange, article, named, plural, put, sentence
from tables import DAYS, MONTHS, ORDINALS, SEASONS, WORDS


def colour(rng: random.Random) -> Exchange:
    """What colour something has."""
    if rng.random() < 0.5:
        thing, shade = rng.choice(tables.COLOURS)
        subject, verb = thing, "are" if thing.endswith("leaves") else "is"
        reply = f"{sentence(thing)} {verb} {shade}."
    else:
        noun, shade = rng.choice(tables.THING_COLOURS)
        subject, verb = named(rng, noun)
        reply = f"{sentence(article(noun))} is {shade}."
    has = "have" if verb == "are" else "has"
    do = "do" if verb == "are" else "does"
    ask = put(
        rng,
        direct=(
            f"what colour {verb} {subject}",
            f"what colour {verb} {subject}",
            f"which colour {verb} {subject}",
            f"which colour {do} {subject} have",
            f"{subject} {verb} what colour",
            f"what is the colour of {subject}",
        ),
        indirect=(f"what colour {subject} {verb}", f"which colour {subject} {has}", f"the colour of {subject}"),
        noun=(f"the colour of {subject}",),
        raw=(f"colour of {subject}?", f"{subject} colour"),
    )
    return Exchange(ask, reply)


def ring(rng: random.Random) -> Exchange:
    """The neighbour of a day, a month or a season."""
    kind, names = rng.choice((("day", DAYS), ("day", DAYS), ("month", MONTHS), ("month", MONTHS), ("season", SEASONS)))
    at = rng.randrange(len(names))
    here, after, before = names[at], names[(at + 1) % len(names)], names[at - 1]
    pick = rng.random()
    if pick < 0.42:
        ask = put(
            rng,
            direct=(
                f"what {kind} comes after {here}",
                f"which {kind} comes after {here}",
                f"what comes after {here}",
                f"what {kind} follows {here}",
                f"which {kind} is after {here}",
                f"what is the {kind} after {here}",
                f"what is after {here}",
                f"which {kind} follows {here}",
                f"what {kind} is next after {here}",
            ),
            indirect=(f"what comes after {here}", f"which {kind} comes after {here}", f"which {kind} follows {here}"),
            noun=(f"the {kind} after {here}", f"the next {kind} after {here}"),
            raw=(f"{kind} after {here}?", f"after {here}?"),
        )
        return Exchange(ask, f"{sentence(after)} comes after {here}.")
    if pick < 0.84:
        ask = put(
            rng,
            direct=(
                f"what {kind} comes before {here}",
                f"which {kind} comes before {here}",
                f"what comes before {here}",
                f"which {kind} is before {here}",
                f"what is the {kind} before {here}",
                f"what is before {here}",
                f"what {kind} was before {here}",
            ),
            indirect=(f"what comes before {here}", f"which {kind} comes before {here}"),
            noun=(f"the {kind} before {here}",),
            raw=(f"{kind} before {here}?", f"before {here}?"),
        )
        return Exchange(ask, f"{sentence(before)} comes before {here}.")
    if kind == "day":
        return Exchange(
            rng.choice(
                (
                    f"If today is {here}, what day is tomorrow?",
                    f"today is {here}. what day is tomorrow?",
                    f"it is {here} today, what is tomorrow?",
                )
            ),
            f"If today is {here}, tomorrow is {after}.",
        )
    order = ORDINALS[at]
    noun = f"the {order} {kind} of the year"
    return Exchange(
        put(
            rng,
            direct=(
                f"what is {noun}",
                f"which is {noun}",
                f"which {kind} is the {order}",
                f"what is the {order} {kind}",
            ),
            indirect=(f"what {noun} is",),
            noun=(noun, f"the {order} {kind}"),
        ),
        f"{sentence(noun)} is {here}.",
    )


def month_fact(rng: random.Random) -> Exchange:
    """How long a month is, or in which season it lies."""
    at = rng.randrange(12)
    month = MONTHS[at]
    if rng.random() < 0.5:
        return Exchange(
            put(
                rng,
                direct=(
                    f"how many days does {month} have",
                    f"how many days are in {month}",
                    f"how long is {month}",
                    f"how many days are there in {month}",
                    f"how many days has {month}",
                ),
                indirect=(f"how many days {month} has", f"how long {month} is"),
                noun=(f"the number of days in {month}",),
                raw=(f"days in {month}",),
            ),
            f"{month} has {tables.MONTH_DAYS[at]} days.",
        )
    season = SEASONS[((at - 2) % 12) // 3]
    return Exchange(
        put(
            rng,
            direct=(
                f"in which season is {month}",
                f"what season is {month} in",
                f"which season is {month}",
                f"what season is it in {month}",
                f"what season does {month} belong to",
            ),
            indirect=(f"in which season {month} is", f"what season {month} is in"),
            noun=(f"the season of {month}",),
        ),
        f"In the north, {month} is in {season}.",
    )


def country(rng: random.Random) -> Exchange:
    """Capital, continent or language of a country, and the way back."""
    name, capital, continent, language = rng.choice(tables.COUNTRIES)
    pick = rng.random()
    if pick < 0.5:
        return Exchange(
            put(
                rng,
                direct=(
                    f"what is the capital of {name}",
                    f"what is the capital of {name}",
                    f"what is the capital city of {name}",
                    f"which city is the capital of {name}",
                    f"what city is the capital of {name}",
                    f"what is the main city of {name}",
                    f"the capital of {name} is what",
                    f"what is {name}'s capital",
                ),
                indirect=(
                    f"what the capital of {name} is",
                    f"which city is the capital of {name}",
                    f"the capital of {name}",
                ),
                noun=(f"the capital of {name}", f"the capital city of {name}", f"{name}'s capital"),
                raw=(f"capital of {name}", f"{name} capital?", f"capital of {name}?"),
            ),
            f"The capital of {name} is {capital}.",
        )
    if pick < 0.66:
        return Exchange(
            put(
                rng,
                direct=(
                    f"where is {capital}",
                    f"in which country is {capital}",
                    f"which country is {capital} in",
                    f"what country is {capital} in",
                    f"{capital} is the capital of which country",
                    f"what is {capital}",
                    f"which country has the capital {capital}",
                ),
                indirect=(f"where {capital} is", f"in which country {capital} is", f"about {capital}"),
            ),
            f"{capital} is the capital of {name}.",
        )
    if pick < 0.84:
        return Exchange(
            put(
                rng,
                direct=(
                    f"where is {name}",
                    f"on which continent is {name}",
                    f"what continent is {name} in",
                    f"which continent is {name} on",
                    f"in what part of the world is {name}",
                    f"which continent does {name} belong to",
                    f"what continent is {name} a part of",
                ),
                indirect=(f"where {name} is", f"on which continent {name} is"),
                noun=(f"the continent of {name}",),
            ),
            f"{sentence(name)} {'are' if name.endswith(('States', 'lands')) else 'is'} in {continent}.",
        )
    return Exchange(
        put(
            rng,
            direct=(
                f"what language do people speak in {name}",
                f"which language is spoken in {name}",
                f"what do people speak in {name}",
                f"what is the language of {name}",
                f"which language do they speak in {name}",
            ),
            indirect=(f"which language people speak in {name}", f"what language is spoken in {name}"),
            noun=(f"the language of {name}",),
        ),
        f"People in {name} speak {language}.",
    )


def opposite(rng: random.Random) -> Exchange:
    """The opposite of a word."""
    first, second = rng.sample(rng.choice(tables.OPPOSITES), 2)
    quote = rng.choice(("", "", '"'))
    word = f"{quote}{first}{quote}"
    both = {row[i]: row[1 - i] for row in tables.OPPOSITES for i in (0, 1)}
    return Exchange(
        put(
            rng,
            direct=(
                f"what is the opposite of {word}",
                f"what is the opposite of {word}",
                f"which word is the opposite of {word}",
                f"what word means the opposite of {word}",
                f"the opposite of {word} is what",
                f"what is the contrary of {word}",
            ),
            indirect=(f"what the opposite of {word} is", f"the opposite of {word}"),
            noun=(f"the opposite of {word}", f"the opposite word of {word}"),
            raw=(f"opposite of {word}", f"{word} opposite?"),
        ),
        f"The opposite of {first} is {both[first] if first in both else second}.",
    )


def quantity(rng: random.Random) -> Exchange:
    """How many of one thing are in another."""
    if rng.random() < 0.5:
        unit, whole, count = rng.choice(tables.QUANTITIES)
        told = whole
        if whole.startswith(("a ", "an ")) and rng.random() < 0.25:
            whole = f"{rng.choice(('one', 'each', 'a single'))} {whole.split(' ', 1)[1]}"
        return Exchange(
            put(
                rng,
                direct=(
                    f"how many {unit} are in {whole}",
                    f"how many {unit} are there in {whole}",
                    f"how many {unit} does {whole} have",
                    f"how many {unit} make {whole}",
                    f"how many {unit} has {whole}",
                    f"how many {unit} make up {whole}",
                    f"{whole} is how many {unit}",
                ),
                indirect=(f"how many {unit} {whole} has", f"how many {unit} are in {whole}"),
                noun=(f"the number of {unit} in {whole}",),
                raw=(f"number of {unit} in {whole}", f"{unit} in {whole}?", f"{whole} has how many {unit}?"),
            ),
            f"There are {count} {unit} in {told}.",
        )
    count, thing, part = rng.choice(tables.PARTS)
    shown = part[:-1] if count == "one" else part
    return Exchange(
        put(
            rng,
            direct=(
                f"how many {part} does {thing} have",
                f"how many {part} does {thing} have",
                f"how many {part} has {thing}",
                f"how many {part} has {thing} got",
                f"how many {part} can you count on {thing}",
                f"how many {part} are on {thing}",
                f"{thing} has how many {part}",
            ),
            indirect=(f"how many {part} {thing} has",),
            noun=(f"the number of {part} of {thing}",),
            raw=(f"number of {part} on {thing}",),
        ),
        f"{sentence(thing)} has {count} {shown}.",
    )


def job(rng: random.Random) -> Exchange:
    """What a person of a trade does, who does it, and where."""
    name, does, place = rng.choice(tables.JOBS)
    bare = does.split(" ")
    verb = {"teaches": "teach", "catches": "catch", "flies": "fly"}.get(bare[0], bare[0][:-1])
    pick = rng.randrange(3)
    if pick == 0:
        return Exchange(
            put(
                rng,
                direct=(
                    f"what does {article(name)} do",
                    f"what does {article(name)} do",
                    f"what do {plural(name)} do",
                    f"what is the job of {article(name)}",
                    f"what is the work of {article(name)}",
                    f"what is {article(name)}",
                    f"who is {article(name)}",
                ),
                indirect=(f"what {article(name)} does", f"what {article(name)} is", f"what {plural(name)} do"),
                noun=(f"the job of {article(name)}",),
            ),
            f"{sentence(article(name))} {does}.",
        )
    if pick == 1:
        rest = " ".join([verb, *bare[1:]])
        return Exchange(
            put(
                rng,
                direct=(
                    f"who {does}",
                    f"who {does}",
                    f"what is a person called who {does}",
                    f"what do you call somebody who {does}",
                    f"whose job is it to {rest}",
                    f"which person {does}",
                ),
                indirect=(f"who {does}", f"what a person who {does} is called"),
            ),
            f"{sentence(article(name))} {does}.",
        )
    return Exchange(
        put(
            rng,
            direct=(
                f"where does {article(name)} work",
                f"where do {plural(name)} work",
                f"what is the place of work of {article(name)}",
                f"where can I find {article(name)}",
            ),
            indirect=(f"where {article(name)} works",),
        ),
        f"{sentence(article(name))} works {'on' if place in ('a boat', 'a farm', 'a ship', 'a stage', 'the road', 'a meadow') else 'at' if place in ('a desk', 'a school') else 'in'} {place}.",
    )


def tool(rng: random.Random) -> Exchange:
    """What one uses for a task."""
    task, thing = rng.choice(tables.TOOLS)
    verb = "are" if thing.endswith("thread") else "is"
    it = thing[2:] if thing.startswith(("a ", "an ")) else thing
    if rng.random() < 0.25 and thing.startswith(("a ", "an ")) and "pair" not in thing:
        return Exchange(
            put(
                rng,
                direct=(
                    f"what do I use {thing} for",
                    f"what {verb} {thing} for",
                    f"what can I do with {thing}",
                    f"what is the use of {thing}",
                    f"what do people do with {thing}",
                ),
                indirect=(f"what {thing} {verb} for", f"what people use {thing} for"),
            ),
            f"{sentence(thing)} is there to {task}.",
        )
    return Exchange(
        put(
            rng,
            direct=(
                f"what do you use to {task}",
                f"what do I need to {task}",
                f"which tool do I use to {task}",
                f"what do I use to {task}",
                f"with what do you {task}",
                f"what can I use to {task}",
                f"what do people use to {task}",
                f"which thing do I need to {task}",
            ),
            indirect=(f"what I need to {task}", f"what to use to {task}", f"which tool I need to {task}"),
            noun=(f"the tool to {task}",),
            raw=(f"I want to {task}. what do I need?", f"tool to {task}"),
        ),
        f"To {task}, you use {article(it) if thing != it else it}.",
    )


def made_of(rng: random.Random) -> Exchange:
    """What a thing is made of."""
    thing, stuff = rng.choice(tables.FOODS)
    verb = "are" if thing in ("chips", "pancakes", "raisins") else "is"
    return Exchange(
        put(
            rng,
            direct=(
                f"what {verb} {thing} made of",
                f"what {verb} {thing} made from",
                f"what is in {thing}",
                f"what do you need to make {thing}",
                f"what do I need for {thing}",
                f"from what {verb} {thing} made",
                f"which ingredients are in {thing}",
            ),
            indirect=(f"what {thing} {verb} made of", f"what {thing} {verb} made from", f"what is in {thing}"),
            noun=(f"the ingredients of {thing}",),
            raw=(f"ingredients of {thing}", f"{thing} ingredients?"),
        ),
        f"{sentence(thing)} {verb} made from {stuff}.",
    )


def cooking(rng: random.Random) -> Exchange:
    """How to do a thing in the kitchen or the garden."""
    task, reply = rng.choice(tables.KITCHEN)
    return Exchange(put(rng, task=(task,), raw=(f"recipe: {task}", f"teach me to {task}.")), reply)


def superlative(rng: random.Random) -> Exchange:
    """The first or last of its kind."""
    noun, reply, other = rng.choice(tables.SUPERLATIVES)
    forms = (noun, noun, other)
    chosen = rng.choice(forms)
    return Exchange(
        put(
            rng,
            direct=(
                f"what is {chosen}",
                f"which is {chosen}",
                f"what is {chosen} called",
                f"what do you call {chosen}",
            ),
            indirect=(f"what {chosen} is", f"which is {chosen}", f"about {chosen}"),
            noun=(chosen,),
            raw=(chosen.removeprefix("the "), f"{chosen} is what?"),
        ),
        reply,
    )


def body(rng: random.Random) -> Exchange:
    """What we do with a part of the body."""
    verb, part = rng.choice(tables.BODY)
    reply = f"You {verb} with {part}."
    bare = part.removeprefix("your ")
    return Exchange(
        put(
            rng,
            direct=(
                f"what do we {verb} with",
                f"what do I {verb} with",
                f"with what do we {verb}",
                f"which part of the body do we use to {verb}",
                f"what part of the body is for {verb}ing"
                if verb in ("see", "hear", "smell", "touch", "walk", "think", "chew")
                else f"what do people {verb} with",
                f"what do we do with our {bare}",
                f"what is the {bare} for" if not bare.endswith(("s", "th")) else f"what are {bare} for",
            ),
            indirect=(f"what we {verb} with", f"which part of the body we use to {verb}"),
        ),
        reply,
    )


def kind(rng: random.Random) -> Exchange:
    """Which kind a thing is, or some things of a kind."""
    name = rng.choice(list(tables.KINDS))
    members = tables.KINDS[name].split()
    if rng.random() < 0.4 and name in ("fruit", "vegetable", "bird", "insect", "tree", "flower", "metal"):
        thing = rng.choice(members)
        shown = thing if name == "metal" or thing == "spinach" else article(thing)
        other = rng.choice(
            [k for k in ("fruit", "vegetable", "bird", "insect", "tree", "flower", "metal") if k != name]
        )
        one, two = rng.sample((name, other), 2)
        ask = put(
            rng,
            direct=(
                f"is {shown} {article(one)} or {article(two)}",
                f"what is {shown}, {article(one)} or {article(two)}",
                f"is {shown} {article(name)}",
                f"what kind of thing is {shown}",
            ),
            indirect=(f"if {shown} is {article(one)} or {article(two)}",),
        )
        return Exchange(
            ask,
            f"{sentence(shown)} is {article(name)}."
            if f"is {shown} {article(name)}" not in ask.lower() or " or " in ask
            else f"Yes, {shown} is {article(name)}.",
        )
    count = min(rng.choice((1, 1, 2, 3, 3, 3)), len(members))
    chosen = members[:count]
    word = WORDS[count]
    if count == 1:
        ask = put(
            rng,
            direct=(f"can you name {article(name)}", f"what is an example of {article(name)}"),
            noun=(article(name), f"one {name}", f"an example of {article(name)}"),
            raw=(f"name {article(name)}.", f"name one {name}.", f"tell me the name of {article(name)}."),
        )
        one = chosen[0] if name in ("drink", "metal", "colour", "planet", "sport", "season") else article(chosen[0])
        return Exchange(ask, f"{sentence(one)} is {article(name)}.")
    ask = put(
        rng,
        noun=(f"{word} {plural(name)}", f"{count} {plural(name)}"),
        raw=(
            f"name {word} {plural(name)}.",
            f"list {word} {plural(name)}.",
            f"name {count} {plural(name)}",
            f"can you name {word} {plural(name)}?",
            f"which {word} {plural(name)} do you know?",
        ),
    )
    listed = " and ".join(chosen) if count == 2 else f"{', '.join(chosen[:-1])} and {chosen[-1]}"
    return Exchange(ask, f"{sentence(word)} {plural(name)} are {listed}.")


def yes_no(rng: random.Random) -> Exchange:
    """A question that is answered with yes or no."""
    ask, reply, other = rng.choice(tables.YES_NO)
    form = rng.choice((ask, other))
    return Exchange(
        put(rng, direct=(form,), raw=(f"{form}, yes or no?", f"tell me if this is so: {form}?", f"{form} or not?")),
        reply,
    )


def definition(rng: random.Random) -> Exchange:
    """What a word means."""
    term, reply = rng.choice(DEFINITIONS)
    bare = term.split(" ", 1)[1] if term.startswith(("a ", "an ", "the ")) else term
    form = rng.choice((term, term, term, bare))
    return Exchange(
        put(
            rng,
            direct=(
                f"what is {form}",
                f"what is {form}",
                f"what does {bare} mean",
                f"what is meant by {form}",
                f"what is the meaning of {bare}",
                f"how would you describe {form}",
            ),
            indirect=(f"what {form} is", f"what {bare} means", f"about {form}", f"the meaning of {bare}"),
            raw=(
                f"define {bare}.",
                f"explain {form}.",
                f"describe {form}.",
                f"{form}?",
                f"tell me about {form}.",
                f"meaning of {bare}",
                f"{bare} definition",
            ),
        ),
        reply,
    )


def single(rng: random.Random) -> Exchange:
    """A question that stands alone, with its paraphrases."""
    reply, *asks = rng.choice(SINGLES)
    form = rng.choice(asks)
    if form.split()[0] in ("name", "list", "tell", "mix", "I"):
        return Exchange(
            put(
                rng,
                raw=(
                    form + ".",
                    f"please {form}." if not form.startswith("I ") else f"{form}.",
                    f"can you {form}?" if not form.startswith("I ") else f"oh, {form}.",
                ),
            ),
            reply,
        )
    return Exchange(put(rng, direct=(form,)), reply)


FAMILIES: tuple[tuple[Callable[[random.Random], Exchange], float], ...] = (
    (colour, 3.0),
    (animal, 7.0),
    (reverse_animal, 2.0),
    (ring, 4.0),
    (month_fact, 2.0),
    (country, 4.5),
    (opposite, 2.5),
    (quantity, 2.5),
    (job, 2.5),
    (tool, 2.0),
    (made_of, 1.5),
    (cooking, 1.5),
    (superlative, 2.0),
    (body, 1.0),
    (size, 2.0),
    (kind, 3.0),
    (yes_no, 2.2),
    (definition, 4.5),
    (single, 5.0),
)


def fact(rng: random.Random) -> Exchange:
    """One exchange from any family."""
    families, weights = zip(*FAMILIES)
    return rng.choices(families, weights=weights)[0](rng)
