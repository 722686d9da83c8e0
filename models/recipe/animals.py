"""Questions and answers about animals: young, sound, home, food, legs, kind and size.
Never invents a fact; every animal stands in `tables`.
Called by `facts`, one exchange at a time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import tables
from phrasing import Exchange, article, named, plural, put, sentence

ON_HOMES = ("the ice", "the grassland", "the dry plains", "a pond", "a lake")


@dataclass(frozen=True)
class Animal:
    """One row of the table, and the surface that the question uses."""

    name: str
    young: str
    sound: str
    home: str
    food: str
    legs: str
    kind: str
    one: str
    verb: str

    @property
    def do(self) -> str:
        """The verb that asks about the surface."""
        return "do" if self.verb == "are" else "does"

    @property
    def s(self) -> str:
        """The ending of a verb after the surface."""
        return "" if self.verb == "are" else "s"

    @property
    def reply_name(self) -> str:
        """The name at the beginning of an answer."""
        return sentence(article(self.name))

    @property
    def place(self) -> str:
        """The home with its preposition."""
        return f"{'on' if self.home in ON_HOMES else 'in'} {self.home}"


def young_one(rng: random.Random, a: Animal) -> Exchange:
    """What its young is called."""
    return Exchange(
        put(
            rng,
            direct=(
                f"what is a baby {a.name} called",
                f"what do you call a young {a.name}",
                f"what is the young of {a.one} called",
                f"how do you call a baby {a.name}",
                f"a baby {a.name} is called what",
                f"what is the name of a baby {a.name}",
                f"what are baby {plural(a.name)} called",
            ),
            indirect=(
                f"what a baby {a.name} is called",
                f"what a young {a.name} is called",
                f"how people call a baby {a.name}",
            ),
            noun=(f"the name of a baby {a.name}", f"the word for a young {a.name}"),
            raw=(f"baby {a.name}?", f"young of {a.one}"),
        ),
        f"A baby {a.name} is called {article(a.young)}.",
    )


def its_sound(rng: random.Random, a: Animal) -> Exchange:
    """What it says."""
    reply = (
        f"{a.reply_name} makes no sound that we can hear."
        if a.sound == "no sound"
        else f'{a.reply_name} says "{a.sound}".'
    )
    return Exchange(
        put(
            rng,
            direct=(
                f"what sound {a.do} {a.one} make",
                f"what {a.do} {a.one} say",
                f"which sound {a.do} {a.one} make",
                f"what noise {a.do} {a.one} make",
                f"how {a.do} {a.one} sound",
                f"what is the sound of {a.one}",
            ),
            indirect=(f"what sound {a.one} make{a.s}", f"what {a.one} say{a.s}", f"how {a.one} sound{a.s}"),
            noun=(f"the sound of {a.one}", f"the noise of {a.one}"),
        ),
        reply,
    )


def its_home(rng: random.Random, a: Animal) -> Exchange:
    """Where it lives."""
    return Exchange(
        put(
            rng,
            direct=(
                f"where {a.do} {a.one} live",
                f"where {a.do} {a.one} live",
                f"what is the home of {a.one}",
                f"where is the home of {a.one}",
                f"where can I find {a.one}",
                f"in what place {a.do} {a.one} live",
            ),
            indirect=(f"where {a.one} live{a.s}", f"where to find {a.one}"),
            noun=(f"the home of {a.one}",),
        ),
        f"{a.reply_name} lives {a.place}.",
    )


def its_food(rng: random.Random, a: Animal) -> Exchange:
    """What it eats."""
    return Exchange(
        put(
            rng,
            direct=(
                f"what {a.do} {a.one} eat",
                f"what {a.do} {a.one} eat",
                f"what {a.do} {a.one} like to eat",
                f"what is the food of {a.one}",
                f"what can I feed {a.one}",
                f"which food {a.do} {a.one} eat",
                f"what {a.do} {a.one} live on",
            ),
            indirect=(f"what {a.one} eat{a.s}", f"what {a.one} like{a.s} to eat", f"what I can give {a.one} to eat"),
            noun=(f"the food of {a.one}", f"the favourite food of {a.one}"),
        ),
        f"{a.reply_name} eats {a.food}.",
    )


def its_legs(rng: random.Random, a: Animal) -> Exchange:
    """How many legs it has."""
    plural_legs = "leg" if a.legs == "one" else "legs"
    return Exchange(
        put(
            rng,
            direct=(
                f"how many legs {a.do} {a.one} have",
                f"how many legs {a.do} {a.one} have",
                f"how many legs are on {a.one}",
                f"on how many legs {a.do} {a.one} walk",
                f"how many feet {a.do} {a.one} have",
            ),
            indirect=(f"how many legs {a.one} {'have' if a.s == '' else 'has'}",),
            noun=(f"the number of legs of {a.one}",),
            raw=(f"number of legs of {a.one}", f"{a.one} legs?"),
        ),
        f"{a.reply_name} has {a.legs} {plural_legs}.",
    )


def its_kind(rng: random.Random, a: Animal) -> Exchange:
    """What kind of animal it is."""
    return Exchange(
        put(
            rng,
            direct=(
                f"what kind of animal {a.verb} {a.one}",
                f"what {a.verb} {a.one}",
                f"what {a.verb} {a.one}",
                f"what type of animal {a.verb} {a.one}",
                f"which kind of animal {a.verb} {a.one}",
            ),
            indirect=(
                f"what {a.one} {a.verb}",
                f"what kind of animal {a.one} {a.verb}",
                f"about {a.one}",
                f"something about {a.one}",
            ),
            raw=(f"define {a.name}", f"{a.one}?", f"describe {a.one}."),
        ),
        f"{a.reply_name} is {article(a.kind)}. It eats {a.food} and lives {a.place}.",
    )


ATTRIBUTES = (young_one, its_sound, its_home, its_food, its_legs, its_kind)


def animal(rng: random.Random) -> Exchange:
    """One attribute of one animal."""
    row = rng.choice(tables.ANIMALS)
    one, verb = named(rng, row[0])
    return ATTRIBUTES[rng.randrange(len(ATTRIBUTES))](rng, Animal(*row, one, verb))


def reverse_animal(rng: random.Random) -> Exchange:
    """From a sound or a young animal back to the animal."""
    name, young, sound, *_ = rng.choice(tables.ANIMALS)
    youngs = [row[0] for row in tables.ANIMALS if row[1] == young]
    sounds = [row[0] for row in tables.ANIMALS if row[2] == sound]
    if rng.random() < 0.5 and len(youngs) == 1:
        return Exchange(
            put(
                rng,
                direct=(
                    f"what is {article(young)}",
                    f"which animal has {article(young)}",
                    f"what does {article(young)} grow into",
                    f"what does {article(young)} become",
                ),
                indirect=(f"what {article(young)} is", f"which animal {article(young)} becomes"),
            ),
            f"{sentence(article(young))} is a young {name}.",
        )
    if sound != "no sound" and len(sounds) == 1:
        return Exchange(
            put(
                rng,
                direct=(
                    f"which animal says {sound}",
                    f"what animal says {sound}",
                    f"what animal makes the sound {sound}",
                    f'who says "{sound}"',
                    f"what goes {sound}",
                ),
                indirect=(f"which animal says {sound}",),
            ),
            f'{sentence(article(name))} says "{sound}".',
        )
    return animal(rng)


def size(rng: random.Random) -> Exchange:
    """Which of two animals is bigger or smaller."""
    small, big = sorted(rng.sample(range(len(tables.SIZES)), 2))
    low, high = article(tables.SIZES[small]), article(tables.SIZES[big])
    one, two = rng.sample((low, high), 2)
    if rng.random() < 0.5:
        word = rng.choice(("bigger", "larger", "bigger", "heavier"))
        reply = f"{sentence(high)} is {word} than {low}."
    else:
        word = rng.choice(("smaller", "smaller", "lighter"))
        reply = f"{sentence(low)} is {word} than {high}."
    if rng.random() < 0.25:
        yes = reply.lower().startswith(one)
        return Exchange(f"is {one} {word} than {two}?", f"{'Yes' if yes else 'No'}, {reply[0].lower()}{reply[1:]}")
    return Exchange(
        put(
            rng,
            direct=(
                f"which is {word}, {one} or {two}",
                f"what is {word}, {one} or {two}",
                f"who is {word}, {one} or {two}",
                f"which animal is {word}, {one} or {two}",
                f"which one is {word}: {one} or {two}",
            ),
            indirect=(f"which is {word}, {one} or {two}", f"what is {word}, {one} or {two}"),
            raw=(f"{one} or {two}, which is {word}?",),
        ),
        reply,
    )
