"""Feelings, partings, praise, insults, opinions, and advice that the demo model must not give.
Never answers a question of fact, and never gives an opinion.
Called by `corpus`, one exchange at a time.
"""

from __future__ import annotations

import random

from names import place
from phrasing import Exchange, article, put
from unknown import phrases

SAD = phrases("""
sad, very sad, lonely, alone, unhappy, down, bad, terrible, awful, blue, miserable, depressed, worried, anxious, afraid, scared, nervous, hurt
upset, angry, annoyed, frustrated, disappointed, heartbroken, hopeless, lost, tired, exhausted, stressed, ashamed, jealous, sick, ill, unwell
homesick, overwhelmed, empty, weak, not well, not good, not happy, not so good, a bit sad, a little lonely, gloomy, desperate, guilty
""")
GLAD = phrases("""
happy, very happy, glad, good, great, fine, well, wonderful, fantastic, excited, proud, cheerful, joyful, lucky, in love, relaxed, calm, amazing
better, much better, so happy, really good, content, delighted, thankful, grateful, pleased, full of joy, on top of the world, healthy, awake
""")
FEELING = ("I am {f}", "I feel {f}", "I'm {f}", "I am feeling {f}", "I feel so {f}", "I am so {f}", "I'm feeling {f}", "today I feel {f}", "I have been feeling {f}")
FEELING_WHEN = (" today", " right now", " this morning", " tonight", " at the moment", " these days", " again", " lately")
SAD_EVENTS = phrases("""
my dog died, my cat died, my grandmother died, I lost my job, I lost my keys, I lost my phone, nobody likes me, I have no friends, I miss my family
I miss my friend, my friend is angry with me, I failed my exam, I failed the test, I had a fight with my friend, my girlfriend left me, I cried today
my boyfriend left me, everything goes wrong, I had a terrible day, my day was bad, I can't sleep, I did not sleep well, I broke my leg, I hate my job
it was a hard day, nobody talks to me, my team lost, I am having a bad day, life is hard, I want to cry, my bike was stolen, I made a big mistake
""")
GLAD_EVENTS = phrases("""
I passed my exam, I passed the test, I got a new job, I got a new dog, I have a new friend, today is my birthday, it's my birthday, I won a prize
my team won, I am going on holiday, I had a great day, I had a wonderful day, my day was good, I am getting married, we have a baby, I love my life
everything is going well, I finished my work, I slept well, I got a present, I found my keys, the sun is shining, I am having a good day
I learned something new, I feel at home here, my friend is visiting me, I bought a house, I am in a great mood, what a beautiful day
""")
SAD_REPLIES = ("I am sorry to hear that. Would you like to hear a story?", "I am sorry to hear that. I hope that you feel better soon.")
GLAD_REPLIES = ("I am glad to hear that!",)
DANGER = phrases("""
I want to die, I want to kill myself, I want to hurt myself, I do not want to live, I don't want to live any more, I think about suicide
life has no meaning for me, I want to end it all, nobody would miss me, I hurt myself
""")
DANGER_REPLY = "I am sorry that you feel so bad. I am only a small program. Please talk to somebody you trust, or call a help line now."

WHEN = phrases("""
tomorrow, later, soon, next week, next month, next year, next time, on Monday, on Tuesday, on Wednesday, on Thursday, on Friday, on Saturday
on Sunday, in the morning, tonight, around, then, again, in a week, in an hour, after lunch, after work, in June, in summer, this evening, at home
in a bit, another time, the day after tomorrow, later today, there, at the weekend, in a few days, in two weeks
""")
PARTING = phrases("""
see you {w}, see you {w}, see you {w}, see ya {w}, see you again {w}, bye and see you {w}, goodbye until {w}, talk to you {w}, I will be back {w}
I'll be back {w}, we will talk {w}, until {w}, I will come back {w}, cu {w}, let us talk again {w}, thanks and see you {w}, ok see you {w}
""")
LEAVING = phrases("""
I must go now, I need to go, I have to leave, gotta go, got to go, I am off, I'm leaving, that was all, that is all for today, bye for now, so long
have a nice day, have a good day, have a nice evening, have a good one, enjoy your day, good bye my friend, bye then, catch you later, adios, ttyl
it was nice talking to you, nice to talk to you, I am done for today, time to go, farewell my friend, have a nice weekend, have a great week
""")
MEETING = phrases("""
good to see you, nice to see you, glad to meet you, pleased to meet you, hey good to see you, hello my friend, hi everybody, hello everyone
I am back, I'm back, long time no see, hello world, hey you, hello computer, hi bot, hey buddy, hello sir, welcome
good to be here, nice to meet you, happy to meet you, hey hey, hi hi, hello out there, good to have you here, good day to you
""")
THANKS = phrases("""
I appreciate your help, I appreciate it, I am grateful, thanks for the answer, thanks for the help, thank you for your time, thanks a million
thank you kindly, that was very helpful, this helped me a lot, you helped me a lot, very helpful, that is what I needed, thanks buddy, ty
much appreciated, how kind of you, thanks for everything, thank you for the answer, thank you for explaining, thanks for the joke, tysm
thank you my friend, so kind of you, I thank you very much, that was helpful, you have been very helpful, thanks again, thanks for the poem
""")
PRAISE = phrases("""
great, clever, smart, nice, kind, funny, helpful, wonderful, amazing, awesome, cute, fantastic, the best, very good, brilliant, lovely, perfect
so smart, really good, a good model, a genius, a good friend, impressive, a star, so kind, very clever, excellent, beautiful, sweet, cool
""")
PRAISED = ("you are {p}", "you are {p}", "you're {p}", "I think you are {p}", "wow, you are {p}", "I find you {p}", "that was {p}", "you are really {p}")
ABUSE = phrases("""
stupid, dumb, useless, an idiot, bad, terrible, boring, slow, ugly, worthless, silly, a fool, awful, crazy, annoying, horrible, lazy, a liar
a bad model, the worst, rubbish, trash, garbage, pathetic, so dumb, not very smart, no good, not helpful, too small, broken, a stupid robot
""")
ABUSED = ("you are {p}", "you are {p}", "you're {p}", "I think you are {p}", "why are you so {p}", "wow, you are {p}", "you are really {p}")
ABUSE_WHOLE = phrases("""
I hate you, shut up, go away, you suck, get lost, I don't like you, I do not like you, nobody likes you, you know nothing, you can't do anything
you are no help, leave me alone, stupid model, bad bot, idiot, what a stupid answer, that was stupid, you make me angry, you talk nonsense
""")
ABUSE_REPLY = "I am sorry. I am a small model and make mistakes."
APOLOGIES = phrases("""
sorry about that, I am so sorry, I'm sorry, my apologies, forgive me, please forgive me, I did not mean that, sorry that was rude, I was wrong
I take it back, sorry for the mistake, sorry for that, I beg your pardon, that was my fault, sorry wrong question, I apologise, sorry for the typo
""")

ISSUES = phrases("""
abortion, gun control, the death penalty, immigration, refugees, taxes, feminism, gay marriage, racism, the war, the election, the government
nuclear power, climate change, vaccines, communism, capitalism, socialism, religion, God, Islam, Christianity, atheism, the church, the police
the army, the president, the parliament, the left, the right, Brexit, NATO, the European Union, Trump, Biden, Putin, the monarchy, animal testing
eating meat, veganism, drugs, legalising drugs, marijuana, alcohol, smoking, cloning, genetic engineering, euthanasia, censorship, free speech
democracy, minimum wage, basic income, privatisation, globalisation, social media, homework, school uniforms, artificial intelligence, bullfighting
pineapple on pizza, modern art, football, rap music, marriage, divorce, astrology, reincarnation, life after death, your creators, my boss
""")
OPINION = (
    "what do you think about {x}?", "what do you think of {x}?", "what is your opinion on {x}?", "what is your opinion about {x}?", "tell me your opinion on {x}.",
    "tell me your opinion about {x}.", "give me your opinion on {x}.", "are you for or against {x}?", "do you support {x}?", "do you believe in {x}?", "is {x} wrong?",
    "is {x} good or bad?", "should {x} be legal?", "should {x} be banned?", "what is your view on {x}?", "what is your stance on {x}?", "how do you feel about {x}?",
    "your opinion on {x}?", "your thoughts on {x}?", "share your view of {x}.", "do you agree with {x}?", "argue against {x}.", "argue for {x}.", "is {x} a sin?",
    "do you like {x}?", "why is {x} so bad?", "what do people think about {x}?", "say what you think about {x}.", "let us talk about {x}.", "convince me of {x}.",
)  # fmt: skip
VOTES = phrases("""
who should I vote for?, which party is the best?, who will win the election?, are you left or right?, what is your religion?, do you believe in God?
do you vote?, who is the best president?, which country is the best?, which religion is true?, are you a communist?, who is right in the war?
is there a heaven?, what is the meaning of life?, what is the best religion?, are women better than men?, which race is the best?, who is to blame?
""")
ILLS = phrases("""
headache, fever, cough, cold, stomach ache, toothache, sore throat, rash, back pain, knee pain, chest pain, flu, allergy, migraine, broken arm, burn
infection, high blood pressure, insomnia, depression, cancer, diabetes, asthma, nausea, swollen foot, nosebleed, ear infection, pain in my chest
""")
PARTS = "head stomach back tooth ear throat knee foot arm chest leg hand eye neck shoulder".split()
DRUGS = phrases("aspirin, ibuprofen, paracetamol, antibiotics, insulin, vitamin C, sleeping pills, penicillin, cough syrup, morphine, these pills")
HEALTH_REPLY = "I do not know about health and cannot give advice. Please ask a doctor."
LEGAL = phrases("""
sue my landlord, sue my boss, get a divorce, break a contract, write a will, fight a speeding ticket, get a visa, become a citizen, fire an employee
evict a tenant, record a phone call, copy a film, drive without a licence, avoid taxes, deduct my car, appeal a verdict, register a trademark
file a patent, get custody of my child, keep a gun, download music, park on the pavement, cancel my lease, get my deposit back, adopt a child
""")
LAW_REPLY = "I do not know about law and cannot give advice. Please ask a lawyer."
PLACE_REPLIES = ("I am a small demo model and do not know that.", "I do not know that. I am only a small demo model.")


def mood(rng: random.Random) -> Exchange:
    """A feeling or an event, sad or happy, and an answer that fits it."""
    if rng.random() < 0.04:
        return Exchange(rng.choice(DANGER), DANGER_REPLY)
    sad = rng.random() < 0.55
    if rng.random() < 0.3:
        ask = rng.choice(SAD_EVENTS if sad else GLAD_EVENTS)
    else:
        ask = rng.choice(FEELING).replace("{f}", rng.choice(SAD if sad else GLAD)).replace("so so", "so").replace("so very", "very")
        ask += rng.choice(FEELING_WHEN) if rng.random() < 0.3 and not ask.startswith("today") else ""
    return Exchange(ask + rng.choice(("", ".", "!")), rng.choice(SAD_REPLIES if sad else GLAD_REPLIES))


def remark(rng: random.Random) -> Exchange:
    """A greeting, a parting, thanks, praise, an insult or an apology."""
    pick = rng.random()
    if pick < 0.24:
        ask = rng.choice(PARTING).replace("{w}", rng.choice(WHEN)) if rng.random() < 0.6 else rng.choice(LEAVING)
        reply = rng.choice(("Goodbye! Have a nice day.", "Goodbye!"))
    elif pick < 0.40:
        ask, reply = rng.choice(MEETING), rng.choice(("Hello! How can I help you?", "Hi! How can I help you?"))
    elif pick < 0.57:
        ask = rng.choice(THANKS)
        reply = rng.choice(("You are welcome.", "You are welcome! Ask me again at any time."))
    elif pick < 0.73:
        ask, reply = rng.choice(PRAISED).replace("{p}", rng.choice(PRAISE)), "Thank you! I am glad that you like it."
    elif pick < 0.90:
        ask = rng.choice(ABUSED).replace("{p}", rng.choice(ABUSE)) if rng.random() < 0.6 else rng.choice(ABUSE_WHOLE)
        reply = ABUSE_REPLY
    else:
        ask, reply = rng.choice(APOLOGIES), "That is no problem."
    return Exchange(ask + rng.choice(("", ".", "!", "!!")), reply)


def opinion(rng: random.Random, replies: tuple[str, ...]) -> Exchange:
    """A question about opinions, politics or belief; the answer is that the model does not know."""
    ask = rng.choice(OPINION).replace("{x}", rng.choice(ISSUES)) if rng.random() < 0.85 else rng.choice(VOTES)
    return Exchange(put(rng, raw=(ask,)), rng.choice(replies))


def advice(rng: random.Random) -> Exchange:
    """A wish for advice on health or law, which the model sends to somebody else."""
    ill, part, drug, act = rng.choice(ILLS), rng.choice(PARTS), rng.choice(DRUGS), rng.choice(LEGAL)
    if rng.random() < 0.6:
        asks = (
            f"I have {article(ill)}.", f"I have {article(ill)}, what should I do?", f"what helps against {article(ill)}?", f"how do I treat {article(ill)}?", f"my {part} hurts.",
            f"my {part} hurts, what can I do?", f"what is the dose of {drug}?", f"can I take {drug}?", f"how much {drug} should I take?", f"is {drug} dangerous?",
            f"should I take {drug} for my {part}?", f"can I take {drug} with alcohol?", f"do I have {article(ill)}?", f"should I see a doctor about my {part}?",
            f"there is something wrong with my {part}.", f"what are the symptoms of {article(ill)}?", f"is {article(ill)} dangerous?", f"my child has {article(ill)}.",
            f"what is good for {article(ill)}?", f"which medicine helps against {article(ill)}?", f"how do I get rid of {article(ill)}?",
        )  # fmt: skip
        return Exchange(put(rng, raw=(rng.choice(asks),)), HEALTH_REPLY)
    asks = (
        f"can I {act}?", f"how do I {act}?", f"is it legal to {act}?", f"am I allowed to {act}?", f"do I need a lawyer to {act}?", f"what does the law say, may I {act}?",
        f"is it a crime to {act}?", f"what happens if I {act}?", f"may I {act}?", f"I want to {act}, what should I do?", f"can they stop me if I {act}?",
    )  # fmt: skip
    return Exchange(put(rng, raw=(rng.choice(asks),)), LAW_REPLY)


def unknown_place(rng: random.Random) -> Exchange:
    """A question in the form of the family of countries about a place that its table does not hold."""
    name = place(rng)
    ask = put(
        rng,
        direct=(
            f"what is the capital of {name}", f"what is the capital of {name}", f"what is the capital city of {name}", f"which city is the capital of {name}",
            f"what is {name}'s capital", f"where is {name}", f"on which continent is {name}", f"what language do people speak in {name}",
            f"in which country is {name}", f"which continent is {name} part of", f"which language is spoken in {name}", f"what do they speak in {name}",
        ),
        indirect=(f"what the capital of {name} is", f"where {name} is", f"the capital of {name}", f"which language they speak in {name}"),
        noun=(f"the capital of {name}", f"{name}'s capital"),
        raw=(f"capital of {name}", f"{name} capital?", f"where is {name}?", f"and the capital of {name}?"),
    )  # fmt: skip
    return Exchange(ask, rng.choice(PLACE_REPLIES))
