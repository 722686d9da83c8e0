"""Short stories from a small grammar of plots, with questions about them.
Never holds a finished story; a seed and a subject decide every word, and each plot stays whole in one place.
Called by `corpus` for story requests, for reading questions and for plain text.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from names import person
from phrasing import Exchange, article, put, sentence

NAMES_SHE = "Mira Anna Lena Nora Rosa Ella Tilly Wanda Daisy Luna".split()
NAMES_HE = "Tom Ben Paul Max Oskar Felix Hugo Leo Sam Toby".split()
# The second character has names of its own, so that two characters never share one.
NAMES_FRIEND = "Pia Ida Ruby Greta Olga Emil Otto Finn Karl Nils".split()
ANIMALS = (
    "fox bear rabbit mouse cat dog owl wolf hedgehog squirrel frog duck goat horse sheep lion tiger elephant monkey turtle "
    "penguin bee ant cow pig deer crow goose hen whale snail beaver otter badger mole swan seal donkey kitten puppy bird fish "
    "camel giraffe zebra panda kangaroo butterfly spider snake shark dolphin parrot bat lizard chicken crab octopus sparrow"
).split()
PEOPLE = (
    "girl boy baker farmer sailor king queen princess prince knight gardener painter teacher miller shepherd robot dragon "
    "giant witch wizard pirate fisherman cook tailor astronaut doctor child ghost fairy singer writer grandmother dwarf "
    "engineer carpenter musician postman pilot librarian clockmaker"
).split()
OBJECT_SUBJECTS = (
    "tree star cloud boat train lamp clock teapot snowman balloon moon car computer train leaf stone river kite".split()
)
PLACES = (
    ("forest", "in a quiet forest"),
    ("mountain", "on a high mountain"),
    ("sea", "by the sea"),
    ("village", "in a small village"),
    ("river", "beside a wide river"),
    ("farm", "on an old farm"),
    ("castle", "in an old castle"),
    ("island", "on a green island"),
    ("city", "in a big city"),
    ("garden", "in a sunny garden"),
    ("lake", "near a clear lake"),
    ("meadow", "in a wide meadow"),
    ("valley", "in a deep valley"),
    ("desert", "in a dry desert"),
    ("moon", "on the moon"),
    ("winter", "in a land of snow"),
)
TRAITS = "little curious brave shy kind clever old young cheerful gentle quiet friendly".split()
# Adjectives that only a wish brings in; the story takes them over.
WISHED = (
    "lonely sad happy tiny big small funny lazy hungry sleepy proud wise lost poor rich fast slow red blue green white black "
    "golden magic strange silly angry busy careful lucky noisy tall tired warm wild honest playful grumpy fat thin smart"
).split()
TREASURES = (
    "golden key",
    "red scarf",
    "silver bell",
    "blue stone",
    "wooden flute",
    "shiny coin",
    "warm hat",
    "small lamp",
    "old map",
    "green book",
    "paper boat",
    "glass ball",
    "white feather",
    "round cheese",
    "little drum",
    "music box",
)
SPOTS = (
    "under a big tree",
    "behind a rock",
    "near the old bridge",
    "under the snow",
    "beside the path",
    "in a hollow log",
    "at the edge of the water",
    "between two stones",
    "in the tall grass",
    "on top of the hill",
)
ENDINGS = (
    "From that day on, they were best friends.",
    "After that, they met every day.",
    "They laughed all the way home.",
    "That night, both of them slept very well.",
    "And everybody was happy.",
    "They never forgot that day.",
)


@dataclass(frozen=True)
class Cast:
    """Who and what one story is about."""

    hero: str
    name: str
    he: str
    his: str
    him: str
    friend: str
    friend_name: str
    trait: str
    where: str
    treasure: str
    spot: str


@dataclass(frozen=True)
class Story:
    """A story and the questions that its text answers."""

    cast: Cast
    text: str
    questions: tuple[Exchange, ...]


def pseudo_word(rng: random.Random) -> str:
    """A word that does not exist, so that a subject must be copied and cannot be known."""
    starts = "b d f g h k l m n p r s t v w z bl br dr fl gl gr kr pl sn st tr".split()
    ends = ["", "", "n", "m", "p", "st", "x", "ng", "bble", "lo", "ny", "dle", "ril", "von"]
    while True:
        word = "".join(rng.choice(starts) + rng.choice("aeiou") for _ in range(rng.choice((1, 1, 2)))) + rng.choice(
            ends
        )
        if len(word) > 3 and not any(part in word for part in ("naz", "homo", "tit", "rap", "kum", "fag", "vag")):
            return word


def subject(rng: random.Random) -> str:
    """A hero: mostly an animal or a person, sometimes a thing or a word that nobody knows."""
    pick = rng.random()
    if pick < 0.55:
        return rng.choice(ANIMALS)
    if pick < 0.86:
        return rng.choice(PEOPLE)
    return rng.choice(OBJECT_SUBJECTS) if pick < 0.94 else pseudo_word(rng)


def cast(
    rng: random.Random, hero: str, where: str | None, friend: str | None, trait: str | None, rare: bool
) -> Cast:
    """Names, place and things for a hero."""
    she = hero in ("girl", "queen", "princess", "witch", "fairy", "hen", "cow", "grandmother")
    she = she or (
        hero not in ("boy", "king", "prince", "knight", "wizard", "fisherman", "postman") and rng.random() < 0.5
    )
    name, friend_name = rng.choice(NAMES_SHE if she else NAMES_HE), rng.choice(NAMES_FRIEND)
    if rare:
        name, friend_name = f"{person(rng)} {person(rng)}".split()
    other = friend or rng.choice([animal for animal in ANIMALS[:40] if animal != hero])
    he, his, him = ("she", "her", "her") if she else ("he", "his", "him")
    where = where or rng.choice(PLACES)[1]
    return Cast(
        hero,
        name,
        he,
        his,
        him,
        other,
        friend_name,
        trait or rng.choice(TRAITS),
        where,
        rng.choice(TREASURES),
        rng.choice(SPOTS),
    )


def opening(rng: random.Random, c: Cast) -> str:
    """The first sentence, which names the hero and the place."""
    who = f"{article(c.trait)} {c.hero} named {c.name}"
    return rng.choice(
        (
            f"Once upon a time, {who} lived {c.where}.",
            f"Once there was {who} who lived {c.where}.",
            f"There once was {who}. {sentence(c.he)} lived {c.where}.",
            f"{sentence(who)} lived {c.where}.",
        )
    )


def lost_and_found(rng: random.Random, c: Cast) -> Story:
    """Something is lost, a friend helps, and it is found."""
    text = " ".join(
        (
            opening(rng, c),
            rng.choice(
                (
                    f"One morning, {c.name} could not find {c.his} {c.treasure}.",
                    f"One day, {c.name} lost {c.his} {c.treasure}.",
                )
            ),
            rng.choice(
                (
                    f"{sentence(c.he)} looked everywhere, but it was gone.",
                    f"{sentence(c.he)} searched all day and became very sad.",
                )
            ),
            rng.choice(
                (
                    f"Then {article(c.friend)} named {c.friend_name} came by and offered to help.",
                    f"Then {c.friend_name} the {c.friend} heard about it and wanted to help.",
                )
            ),
            rng.choice(
                (
                    f"Together they found the {c.treasure} {c.spot}.",
                    f"They looked together, and soon they found the {c.treasure} {c.spot}.",
                )
            ),
            rng.choice(
                (f'"Thank you," said {c.name}. "You are a good friend."', f"{c.name} was so happy that {c.he} danced.")
            ),
            rng.choice(ENDINGS),
        )
    )
    return Story(
        c,
        text,
        (
            Exchange(f"what did {c.name} lose?", f"{c.name} lost {c.his} {c.treasure}."),
            Exchange(f"who helped {c.name}?", f"{c.friend_name} the {c.friend} helped {c.name}."),
            Exchange(f"where did they find the {c.treasure}?", f"They found the {c.treasure} {c.spot}."),
            Exchange(f"where was the {c.treasure}?", f"The {c.treasure} was {c.spot}."),
        ),
    )


def found_and_returned(rng: random.Random, c: Cast) -> Story:
    """Something is found, and the hero brings it back to its owner."""
    text = " ".join(
        (
            opening(rng, c),
            rng.choice(
                (
                    f"One day, {c.name} found a {c.treasure} {c.spot}.".replace("a old", "an old"),
                    f"On a sunny morning, {c.name} saw a {c.treasure} {c.spot}.".replace("a old", "an old"),
                )
            ),
            rng.choice((f'"Who has lost this?" {c.he} asked.', f'"Somebody must miss it," {c.he} thought.')),
            rng.choice(
                (
                    f"{sentence(c.he)} asked all {c.his} neighbours, one after the other.",
                    f"{sentence(c.he)} walked from door to door and asked.",
                )
            ),
            f"At last {c.he} met {article(c.friend)} named {c.friend_name}, who had lost it.",
            rng.choice(
                (
                    f"{c.friend_name} was very glad and shared a warm cake with {c.him}.",
                    f"{c.friend_name} was so glad that {c.name} was invited to dinner.",
                )
            ),
            rng.choice(ENDINGS),
        )
    )
    return Story(
        c,
        text,
        (
            Exchange(f"what did {c.name} find?", f"{c.name} found {article(c.treasure)}."),
            Exchange(f"where did {c.name} find it?", f"{c.name} found it {c.spot}."),
            Exchange(f"who had lost the {c.treasure}?", f"{c.friend_name} the {c.friend} had lost the {c.treasure}."),
        ),
    )


def learned(rng: random.Random, c: Cast) -> Story:
    """The hero wants to learn something, fails, practises and succeeds."""
    skill, hint, proof = rng.choice(
        (
            ("swim", "Move slowly and breathe", "swam from one side of the pond to the other"),
            ("sing", "Listen first, then sing softly", "sang a song for everybody"),
            ("dance", "Take small steps", "danced in front of everybody"),
            ("paint", "Look carefully and take your time", "painted a picture of the sunrise"),
            ("bake bread", "Let the dough rest", "baked a fine loaf of bread"),
            ("climb", "Do not look down", "climbed to the top of the highest tree"),
            ("read", "Begin with one letter a day", "read a whole book"),
            ("sail", "Watch the wind", "sailed a little boat around the bay"),
        )
    )
    text = " ".join(
        (
            opening(rng, c),
            rng.choice(
                (
                    f"{c.name} wanted to learn to {skill}, but it was hard.",
                    f"More than anything, {c.name} wanted to learn to {skill}.",
                )
            ),
            rng.choice(
                (
                    f"{sentence(c.he)} tried and tried, and each time it went wrong.",
                    f"The first time {c.he} tried, it went wrong, and {c.he} wanted to give up.",
                )
            ),
            f'Then {article(c.friend)} named {c.friend_name} said, "{hint}."',
            rng.choice((f"{c.name} practised every day.", f"So {c.name} practised every morning, little by little.")),
            rng.choice((f"When summer came, {c.he} {proof}.", f"One day, {c.he} {proof}.")),
            rng.choice(
                (
                    f"{c.friend_name} was very proud of {c.him}.",
                    f'"I knew you could do it," said {c.friend_name}.',
                    "Everybody clapped and cheered.",
                )
            ),
        )
    )
    return Story(
        c,
        text,
        (
            Exchange(f"what did {c.name} want to learn?", f"{c.name} wanted to learn to {skill}."),
            Exchange(f"who helped {c.name}?", f"{c.friend_name} the {c.friend} helped {c.name}."),
            Exchange(f"what did {c.friend_name} say?", f'{c.friend_name} said, "{hint}."'),
        ),
    )


def storm(rng: random.Random, c: Cast) -> Story:
    """Bad weather comes, and the hero takes somebody in."""
    weather, shelter = rng.choice(
        (("a great storm", "house"), ("heavy rain", "house"), ("deep snow", "warm room"), ("a cold wind", "warm room"))
    )
    text = " ".join(
        (
            opening(rng, c),
            rng.choice((f"One evening, {weather} came over the land.", f"One night, {weather} came.")),
            rng.choice(
                (
                    f"{c.name} sat by the fire when somebody knocked at the door.",
                    f"{c.name} was making tea when {c.he} heard a knock.",
                )
            ),
            rng.choice(
                (
                    f"It was {article(c.friend)} named {c.friend_name}, cold and tired.",
                    f"Outside stood {c.friend_name} the {c.friend}, wet and hungry.",
                )
            ),
            rng.choice(
                (
                    f'"Come in," said {c.name}. "There is room for two."',
                    f'{c.name} opened the door and said, "Come in, you are welcome."',
                )
            ),
            rng.choice(
                (
                    "They ate hot soup and told stories until the morning.",
                    f"They shared some soup and a {shelter}, and soon they felt better.",
                )
            ),
            rng.choice(ENDINGS),
        )
    )
    return Story(
        c,
        text,
        (
            Exchange("who knocked at the door?", f"{c.friend_name} the {c.friend} knocked at the door."),
            Exchange("what did they eat?", "They ate hot soup."),
            Exchange("what was the weather like?", f"There was {weather}."),
        ),
    )


def journey(rng: random.Random, c: Cast) -> Story:
    """The hero goes to see something, meets a friend and comes home."""
    goal = rng.choice(
        (
            "the sea",
            "the top of the mountain",
            "the big city",
            "the sunrise",
            "the oldest tree in the land",
            "the end of the rainbow",
            "the place where the river begins",
        )
    )
    text = " ".join(
        (
            opening(rng, c),
            rng.choice(
                (f"{sentence(c.he)} had always wanted to see {goal}.", f"Every night, {c.he} dreamed of {goal}.")
            ),
            rng.choice(
                (
                    f"One day, {c.he} packed some bread and set out.",
                    f"So one morning, {c.he} took {c.his} {c.treasure} and began to walk.",
                )
            ),
            rng.choice(
                (
                    f"On the way, {c.he} met {article(c.friend)} named {c.friend_name}, who knew the path.",
                    f"On the road, {c.he} met {c.friend_name} the {c.friend}, and they walked on together.",
                )
            ),
            rng.choice(
                (
                    "They crossed a river and slept under the stars.",
                    "The way was long, but they sang and shared their bread.",
                )
            ),
            rng.choice(
                (
                    f"At last they saw {goal}, and it was more beautiful than {c.name} had hoped.",
                    f"On the third day, they stood and looked at {goal} in wonder.",
                )
            ),
            rng.choice(
                (f"Then {c.he} went home with a story to tell.", "It was the best day of their lives.", *ENDINGS[:3])
            ),
        )
    )
    return Story(
        c,
        text,
        (
            Exchange(f"what did {c.name} want to see?", f"{c.name} wanted to see {goal}."),
            Exchange(f"who did {c.name} meet?", f"{c.name} met {c.friend_name} the {c.friend}."),
        ),
    )


def story(
    rng: random.Random, hero: str, where: str | None = None, friend: str | None = None, trait: str | None = None, rare: bool = False
) -> Story:
    """One story about a hero, with the questions that fit any plot."""
    c = cast(rng, hero, where, friend, trait, rare)
    told = rng.choice((lost_and_found, found_and_returned, learned, storm, journey))(rng, c)
    common = (
        Exchange(f"who is {c.name}?", f"{c.name} is {article(c.trait)} {c.hero}."),
        Exchange(f"what is the name of the {c.hero}?", f"The name of the {c.hero} is {c.name}."),
        Exchange(f"who is {c.friend_name}?", f"{c.friend_name} is {article(c.friend)}."),
        Exchange(f"where did {c.name} live?", f"{c.name} lived {c.where}."),
        Exchange("who is the story about?", f"The story is about {article(c.trait)} {c.hero} named {c.name}."),
    )
    return Story(c, told.text, told.questions + common)


def request(rng: random.Random) -> tuple[Exchange, Story]:
    """A wish for a story and the story."""
    pick = rng.random()
    hero, where, friend, trait = subject(rng), None, None, None
    about = rng.choice((article(hero), article(hero), article(hero), f"the {hero}", hero))
    if pick < 0.12:
        friend = rng.choice([animal for animal in ANIMALS[:40] if animal != hero])
        about = f"{article(hero)} and {article(friend)}"
    elif pick < 0.24:
        place, where = rng.choice(PLACES)
        about = rng.choice(
            (
                f"{article(hero)} {where}",
                f"{article(hero)} in the {place}",
                f"the {place}" if place != "winter" else "winter",
            )
        )
        where = "in a land of snow" if place == "winter" else where
    elif pick > 0.76:
        trait = rng.choice((*TRAITS, *WISHED, *WISHED))
        about = f"{article(trait)} {hero}"
    tail = rng.choice(
        (f" about {about}",) * 6 + (f" with {about} in it", f" with {about}", f" of {about}", f" where {about} appears")
    )
    if 0.24 <= pick < 0.36:
        tail = ""
    short = rng.choice(("", "", "short ", "little ", "nice ", "small ", "bedtime ", "very short ", "new "))
    ask = put(
        rng,
        raw=(
            f"tell me a {short}story{tail}.",
            f"tell me a {short}story{tail}.",
            f"tell me a {short}story{tail}.",
            f"tell a {short}story{tail}",
            f"can you tell me a {short}story{tail}?",
            f"please tell me a {short}story{tail}.",
            f"write a {short}story{tail}.",
            f"write me a {short}story{tail}.",
            f"I want a {short}story{tail}.",
            f"a {short}story{tail}, please",
            f"could you tell a {short}story{tail}?",
            f"give me a {short}story{tail}.",
            f"I would like to hear a {short}story{tail}.",
            f"do you know a {short}story{tail}?",
            f"{short}story{tail}",
            f"make up a {short}story{tail}.",
            f"let me hear a {short}story{tail}.",
            f"hey, tell me a {short}story{tail}",
            f"can you write a {short}story{tail}?",
            f"tell us a {short}story{tail}.",
            f"I need a {short}story{tail}.",
            f"share a {short}story{tail}.",
            f"once more, a {short}story{tail}.",
            f"how about a {short}story{tail}?",
            f"invent a {short}story{tail}.",
            f"create a {short}story{tail}.",
            f"tell me a {short}tale{tail}.",
            f"can I hear a {short}{rng.choice(('tale', 'story', 'fairy tale'))}{tail}?",
            f"I would love a {short}story{tail}.",
        ),
    )
    told = story(rng, hero, where, friend, trait)
    return Exchange(ask, told.text), told


def reading(rng: random.Random) -> Exchange:
    """A story in the question, and one question about it."""
    told = story(rng, subject(rng), rare=rng.random() < 0.4)
    chosen = rng.choice(told.questions)
    lead = rng.choice(
        (
            "Read this story: ",
            "Here is a story: ",
            "Story: ",
            "Listen: ",
            "",
            "Read this and answer. ",
            "This is a story. ",
        )
    )
    return Exchange(f"{lead}{told.text} {sentence(chosen.ask)}", chosen.reply)
