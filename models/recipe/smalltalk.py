"""Greetings, thanks, moods, jokes, poems, remembered names, and the polite "I do not know".
Never answers a question of fact; whatever is outside of the tables ends here.
Called by `corpus`, one exchange or one short conversation at a time.
"""

from __future__ import annotations

import random

from names import person
from phrasing import Exchange, article, put, sentence
from stories import NAMES_HE, NAMES_SHE, PLACES, pseudo_word, subject
from tables import COUNTRIES, KINDS, rows
from unknown import REQUESTS, THINGS, TOPICS

OBJECTS = "tap pipe roof car bike phone laptop door window boiler fridge engine fence sink toilet lamp radio watch shoe".split()
UNKNOWN_VERBS = (
    "fix build repair learn buy paint sell clean draw create make write install open close remove delete use play move carry change start "
    "stop check find see get cook grow choose measure improve translate understand explain program print fold"
).split()
FALLBACKS = (
    "I am a small demo model and do not know that.",
    "I do not know that. I am only a small demo model.",
    "Sorry, I do not know. I am a small demo model with little knowledge.",
    "That is outside of what I learned. You can ask me about simple facts, small sums or Tallygate.",
    "I have not learned anything about that. I am a small demo model.",
)

# answers, parted by slashes | what people say
TALK = rows("""
Hello! How can I help you? / Hello! What would you like to know? / Hi! How can I help you? | hello | hi | hey | hello there | hi there | good day | hey there | hello model | hi, how do you do | greetings | hello, nice to meet you | yo | hiya | hello again | hello hello | anybody there | is anybody there | are you there | hello, are you there | howdy | hi again
Good morning! How can I help you? | good morning | morning | a good morning to you | good morning to you
Good evening! How can I help you? | good evening | evening | a good evening to you
Good afternoon! How can I help you? | good afternoon | good afternoon to you
I am fine, thank you. How can I help you? | how are you | how are you doing | how is it going | how do you feel | how are you today | are you well | how have you been | are you ok | what's up | hello, how are you | hi, how are you | hey, how are you doing | how is your day | whats up
You are welcome. / You are welcome! Ask me again at any time. | thanks | thank you | thank you very much | thanks a lot | many thanks | thank you so much | great, thanks | ok, thank you | thx | cheers | thanks for your help | that helped, thank you | thank you for the story | perfect, thank you | thanks for that | I thank you
Goodbye! Have a nice day. / Goodbye! | bye | goodbye | see you | see you later | good bye | bye bye | I have to go | I am leaving now | take care | until next time | see you tomorrow | farewell | ciao | that is all, bye
Good night! Sleep well. | good night | sleep well | I am going to bed | night | good night to you | have a good night
Thank you! I am glad that you like it. | you are great | well done | good job | that was nice | I like you | nice | great | you are clever | very good | that is good | wonderful | I like that | good answer | that was a good story | awesome | cool | you are nice | you are smart | you are helpful
I am sorry. I am a small model and make mistakes. | that is wrong | you are wrong | this is not right | that is not true | wrong | you made a mistake | no, that is wrong | bad answer | that is nonsense | you are stupid | you are bad | that makes no sense | incorrect | this is a bad answer | you are dumb | I do not like that | not good
I am sorry to hear that. Would you like to hear a story? | I am sad | I feel sad | I am unhappy | I had a bad day | I feel bad | I am lonely | I feel alone | I am not happy | I am not well | I am ill | I am sick | I am angry | I am afraid
I am glad to hear that! | I am happy | I feel good | I had a good day | I am fine | I am well | today is a good day | I am glad | I feel great | life is good | I am in a good mood | fine, thanks | I am ok
Would you like to hear a story, or shall we do a small sum? | I am bored | what now | what shall we do | what should we do | tell me something | say something | entertain me | talk to me | let us talk | I have nothing to do | do something | tell me anything | let's chat | can we talk | speak to me
All right. What would you like to know? | ok | okay | all right | yes | sure | fine | I see | good | yes please | understood | got it | I understand | right | alright
All right. Ask me when you need something. | no | no thanks | no, thank you | not now | nothing | never mind | I do not need anything | nope | forget it | stop
That is no problem. | sorry | I am sorry | excuse me | my mistake | I apologize | pardon | oops | my fault
I cannot see a clock, so I do not know. | what time is it | what is the time | tell me the time | do you know what time it is | what day is today | what is today's date | which day is it | what is the date today | what year is it | what date is it | which year is it | what day is it today | what month is it
I cannot look outside, so I do not know the weather. | what is the weather | what is the weather like | how is the weather | will it rain today | is it raining | what is the weather today | is it sunny | do I need an umbrella today | what will the weather be tomorrow | how is the weather today | is it cold outside | weather
I can only write plain text and cannot do that. | draw a picture | play some music | sing a song | send an email | call my friend | open the door | set an alarm | order a pizza | book a flight | buy me a book | show me a picture | play a game with me | turn on the light | make a phone call | take a photo | play music
I am only a program, so I do not have one. | what is your favourite colour | what is your favourite animal | what is your favourite food | do you have a family | do you have friends | do you have a dog | what is your favourite book | do you have a house | what is your favourite song | do you have children | do you have a body | do you have feelings
I am only a program, so I do not do that. | do you sleep | do you eat | do you dream | can you walk | do you like music | do you love me | can you see me | can you hear me | are you happy | are you tired | are you hungry | do you like me | can you feel | can you think | where do you live
""")

JOKES = (
    "Why did the token cross the road? It was the next one.",
    "What did the zero say to the eight? Nice belt!",
    "Why was the clock so tired? It had worked around the clock.",
    "What is brown and sticky? A stick.",
    "Why did the baker laugh? He was on a roll.",
    "What do you call a bear in the rain? A wet bear.",
    "Why did the book go to the doctor? It had hurt its back.",
)


def fallback(rng: random.Random) -> Exchange:
    """A question outside of the small world, and the polite answer."""
    pick = rng.random()
    if pick < 0.42:
        thing = rng.choice(TOPICS)
        if rng.random() < 0.12:
            thing = f"{thing} and {rng.choice(TOPICS)}"
        ask = put(
            rng,
            direct=(
                f"what is {thing}",
                f"what is {thing}",
                f"how does {thing} work",
                f"why is {thing} important",
                f"who invented {thing}",
                f"what do you think about {thing}",
                f"what do you know about {thing}",
                f"what are the basics of {thing}",
                f"what is the history of {thing}",
                f"is {thing} good",
                f"what does {thing} mean",
            ),
            indirect=(f"what {thing} is", f"how {thing} works", f"about {thing}", f"something about {thing}"),
            raw=(
                f"explain {thing}.",
                f"tell me about {thing}.",
                f"{thing}?",
                f"define {thing}.",
                f"teach me {thing}.",
                f"write a text about {thing}.",
                f"explain {thing} to me.",
                f"summarise {thing}.",
                f"what about {thing}?",
            ),
        )
    elif pick < 0.66:
        ask = unknown_thing(rng)
    elif pick < 0.80:
        ask = put(rng, raw=(unknown_request(rng),))
    else:
        ask = put(rng, raw=(rng.choice(REQUESTS),))
    weights = (5, 3, 2, 2, 1)
    return Exchange(ask, rng.choices(FALLBACKS, weights=weights)[0])


def unknown_request(rng: random.Random) -> str:
    """A question about a known or unknown thing that asks for what no table holds."""
    country = rng.choice(COUNTRIES)[0]
    place = rng.choice((country, country, sentence(pseudo_word(rng)), rng.choice(COUNTRIES)[1]))
    title = " ".join(sentence(pseudo_word(rng)) for _ in range(rng.choice((1, 2))))
    work = rng.choice(
        (title, title, "Moby Duck", "Faust", "the Odyssey", "Dracula", "Don Quixote", "Robinson Crusoe", "Frankenstein")
    )
    roles = "president,king,queen,mayor,prime minister,chancellor,governor,emperor,richest man,best player,head"
    role = rng.choice(roles.split(","))
    fact = rng.choice(
        (
            "population",
            "size",
            "history",
            "currency",
            "flag",
            "national anthem",
            "area",
            "weather",
            "army",
            "economy",
            "best hotel",
            "longest street",
        )
    )
    about = rng.choice(("plot", "author", "meaning", "ending", "moral", "theme", "main character", "summary"))
    code = rng.choice(("Python", "Java", "Rust", "C", "bash", "SQL", "JavaScript", "shell", "Perl", "Go"))
    job = rng.choice(
        (
            "sorts a list",
            "adds numbers",
            "prints hello",
            "reads a file",
            "sends an email",
            "downloads a page",
            "counts words",
            "finds a prime",
        )
    )
    piece = rng.choice(("script", "program", "function", "query", "class", "line"))
    thing = rng.choice((*THINGS, *OBJECTS))
    broken = rng.choice(("leaking", "broken", "old", "rusty", "slow", "dirty", "noisy", "stuck"))
    act = rng.choice(("fix", "repair", "replace", "clean", "install", "open", "build", "sell", "buy", "paint"))
    dish = rng.choice(
        (
            "lobster",
            "paella",
            "curry",
            "sushi",
            "duck",
            "risotto",
            "steak",
            "lasagna",
            "beef stew",
            "a turkey",
            "dumplings",
            pseudo_word(rng),
        )
    )
    return rng.choice(
        (
            f"who is the {role} of {place}?",
            f"who was the first {role} of {place}?",
            f"what is the {fact} of {place}?",
            f"how big is {place}?",
            f"how many people live in {place}?",
            f"what is the {about} of {work}?",
            f"who wrote {work}?",
            f"have you read {work}?",
            f"tell me the {about} of {work}.",
            f"write a {code} {piece} that {job}.",
            f"write a {piece} in {code}.",
            f"how do I write a {piece} in {code}?",
            f"how do I {act} a {broken} {thing}?",
            f"how do I {act} my {thing}?",
            f"how do I cook {dish}?",
            f"how do you make {dish}?",
            f"what is the recipe for {dish}?",
            f"when was {title} born?",
            f"when did {title} die?",
            f"who is {title}?",
            f"tell me about the battle of {title}.",
            f"what happened at {title}?",
            f"what is the difference between {rng.choice(THINGS)} and {rng.choice(THINGS)}?",
            f"what do you think about {rng.choice(TOPICS)}?",
        )
    )


def unknown_thing(rng: random.Random) -> str:
    """A question in the form of a known family about something that no table holds."""
    word = pseudo_word(rng) if rng.random() < 0.4 else rng.choice(THINGS)
    some = article(word)
    place = (
        sentence(pseudo_word(rng))
        if rng.random() < 0.6
        else rng.choice(
            "Atlantis Narnia Mordor Gondor Mongolia Chad Nepal Cuba Bolivia Ghana Laos Iceland Chile Romania".split()
        )
    )
    return put(
        rng,
        direct=(
            f"what is {some}",
            f"what is {some}",
            f"what colour is {some}",
            f"what does {some} eat",
            f"where does {some} live",
            f"how many legs does {some} have",
            f"what is the capital of {place}",
            f"where is {place}",
            f"what is a baby {word} called",
            f"what sound does {some} make",
            f"what is {some} made of",
            f"what does {some} do",
            f"what is the opposite of {word}",
            f"how do I make {some}",
            f"what do you use {some} for",
            f"what language do people speak in {place}",
            f"who is {place}",
        ),
        indirect=(f"what {some} is", f"about {some}", f"what the capital of {place} is"),
        raw=(f"define {word}.", f"{word}?", f"tell me about {some}.", f"explain {word}.", f"capital of {place}?"),
        task=(f"{rng.choice(UNKNOWN_VERBS)} {rng.choice((some, some, 'my ' + word, 'the ' + word))}",),
    )


def talk(rng: random.Random) -> Exchange:
    """A greeting, a mood or a remark, and its answer."""
    weights = [5.0] + [1.0] * 3 + [2.0] * 4 + [1.0] * (len(TALK) - 8)
    replies, *asks = rng.choices(TALK, weights=weights)[0]
    options = [reply.strip() for reply in replies.split(" / ")]
    mark = "?" if asks[0].startswith(("how", "what", "do")) else rng.choice(("", ".", "!", "!"))
    return Exchange(rng.choice(asks) + mark, rng.choice(options))


def joke(rng: random.Random) -> Exchange:
    """A wish for a joke and a joke."""
    ask = put(
        rng,
        raw=(
            "tell me a joke.",
            "tell a joke",
            "do you know a joke?",
            "make me laugh.",
            "a joke, please",
            "can you tell me a joke?",
            "say something funny.",
            "another joke please",
            "joke",
            "I want to hear a joke.",
            "do you know any jokes?",
            "tell me something funny",
        ),
    )
    return Exchange(ask, rng.choice(JOKES))


def poem(rng: random.Random) -> Exchange:
    """A wish for a poem and four short lines."""
    hero, about = subject(rng), ""
    if rng.random() < 0.8:
        about = rng.choice((f" about {article(hero)}", f" about the {hero}"))
    place = rng.choice(PLACES)[1]
    lines = rng.choice(
        (
            f"A {hero} went out {place},\nto see what there was to be seen.\nIt looked at the sky and it looked at the ground,\nand the world was all silver and green.",
            f"The moon came up, the day was done,\nthe {hero} had walked in the light of the sun.\nNow all was quiet, and all was deep,\nand the {hero} closed its eyes to sleep.",
            f"O little {hero}, where do you go?\nOver the hill and through the snow.\nO little {hero}, what do you see?\nA star in the sky that is waiting for me.",
        )
    ).replace("A " + hero, sentence(article(hero)))
    ask = put(
        rng,
        raw=(
            f"write a poem{about}.",
            f"tell me a poem{about}.",
            f"can you write a poem{about}?",
            f"please write a short poem{about}.",
            f"a poem{about}, please",
            f"write me a little poem{about}.",
            f"I want a poem{about}.",
            f"give me a poem{about}",
            f"poem{about}",
            f"make a rhyme{about}.",
        ),
    )
    return Exchange(ask, lines)


def remembered(rng: random.Random) -> list[Exchange]:
    """Something the user tells and asks for again, with room between for other turns."""
    name = person(rng) if rng.random() < 0.85 else rng.choice(NAMES_SHE + NAMES_HE)
    if rng.random() < 0.65:
        tell = rng.choice(
            (
                f"my name is {name}.",
                f"I am {name}.",
                f"hello, I am {name}.",
                f"hi, my name is {name}.",
                f"call me {name}.",
                f"hello, my name is {name}.",
                f"hey, I'm {name}.",
                f"my name's {name}.",
                f"I am called {name}.",
                f"good morning, my name is {name}.",
                f"they call me {name}.",
            )
        )
        first = Exchange(tell, f"Nice to meet you, {name}! How can I help you?")
        asks = (
            "what is my name?",
            "do you remember my name?",
            "who am I?",
            "what was my name?",
            "do you know my name?",
            "tell me my name.",
            "can you say my name?",
        )
        return [first, Exchange(rng.choice(asks), f"Your name is {name}.")]
    kind = rng.choice(("colour", "animal", "fruit", "season"))
    thing = rng.choice(KINDS[kind].split())
    tell = rng.choice(
        (
            f"my favourite {kind} is {thing}.",
            f"I like {thing} best of all {kind}s.",
            f"the {kind} I like best is {thing}.",
        )
    )
    first = Exchange(tell, f"I will remember that you like {thing}.")
    asks = (
        f"what is my favourite {kind}?",
        f"which {kind} do I like best?",
        f"do you remember my favourite {kind}?",
        f"what {kind} do I like?",
    )
    return [first, Exchange(rng.choice(asks), f"Your favourite {kind} is {thing}.")]


def forgotten(rng: random.Random) -> Exchange:
    """A question about something that the user never said."""
    asks = (
        "what is my name?",
        "do you know my name?",
        "who am I?",
        "what is my favourite colour?",
        "what is my favourite animal?",
        "do you remember my name?",
        "what did I say?",
    )
    return Exchange(rng.choice(asks), "You have not told me yet.")


def persona(rng: random.Random) -> tuple[str, Exchange]:
    """A system prompt that gives a name, and the answer that uses it."""
    name = (
        rng.choice(
            "Bolt Robin Sunny Pixel Nova Echo Ada Penny Clerk Otto Iris Atlas Sage Coral Ruby Finn Tally Scout Juno Mint".split()
        )
        if rng.random() < 0.75
        else person(rng)
    )
    role = rng.choice(
        ("a helpful assistant", "a friendly helper", "the helper of this shop", "a small model", "a polite assistant")
    )
    system = rng.choice(
        (
            f"You are {name}, {role}.",
            f"Your name is {name}.",
            f"Your name is {name}. You are {role}.",
            f"You are {role} named {name}.",
            f"You are called {name}.",
        )
    )
    ask = put(
        rng,
        direct=(
            "who are you",
            "what is your name",
            "what are you called",
            "what should I call you",
            "do you have a name",
            "who am I talking to",
            "what is your name",
        ),
        raw=("your name?", "tell me your name.", "introduce yourself."),
    )
    return system, Exchange(ask, f"I am {name}, a small demo model.")
