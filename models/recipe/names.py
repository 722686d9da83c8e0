"""Names of people and places, known and made up, so that they are copied and not guessed.
Never holds a place that the table of countries knows.
Called by `smalltalk`, `moods`, and `stories`.
"""

from __future__ import annotations

import random

from phrasing import sentence

PEOPLE = (
    "Sarah James Maria John Lisa David Julia Peter Emma Robert Alice Bob Carol Ivan Chen Amir Sofia Omar Kim Priya Clara Henry Hannah Oliver "
    "Jack Emily Grace Lucy George Alex Eva Martin Frank Karl Ingrid Marta Pedro Yuki Ali Fatima Noah Liam Mia Zoe Chloe Jonas Erik Greta "
    "Helena Viktor Stefan Katrin Diana Laura Marco Bruno Carla Elena Simon Hans Rita Olga Dmitri Wei Ming Aisha Samuel Daniel Rachel Ruth "
    "Esther Nathan Ethan Ryan Kevin Brian Sean Nick Steve Mark Luke Matthew Andrew Bjorn Sigrid Astrid Torsten Gunther Heike Uwe Jorg Detlef "
    "Svetlana Natasha Boris Igor Yevgeny Ludmila Zdenek Milos Radek Tomasz Agnieszka Zbigniew Ewa Krzysztof Jakub Laszlo Istvan Zsofia Gyula "
    "Ioana Radu Dragos Nikos Eleni Yannis Kostas Mehmet Ayse Emre Leyla Hakan Yusuf Khalid Zainab Hassan Layla Nadia Tariq Rashid Farah Noor "
    "Arjun Deepika Vikram Anjali Rahul Lakshmi Sanjay Meera Kavita Raj Hiroshi Keiko Takeshi Sakura Haruto Naoko Jin Minjun Seoyeon Hyun Xiu "
    "Lihua Jian Mei Bao Nguyen Linh Thanh Siti Budi Putri Kwame Ama Kofi Abena Chidi Ngozi Adaeze Emeka Thabo Zola Nomsa Sipho Wanjiru Otieno "
    "Carlos Juan Luis Miguel Jose Diego Ana Lucia Camila Valentina Santiago Mateo Joao Thiago Beatriz Rafael Giulia Matteo Chiara Lorenzo "
    "Francesca Pierre Jean Camille Amelie Benoit Thierry Margaux Etienne Siobhan Niamh Declan Aoife Cormac Rhys Gwen Angus Fiona Hamish Isla "
    "Barnaby Percival Cordelia Beatrice Winifred Archibald Reginald Agatha Mortimer Ophelia Quentin Ursula Xavier Yvonne Zachary Wolfgang "
    "Ulrich Friedrich Dieter Bettina Gisela Hedwig Ottilie Ruprecht Sten Ragnar Freya Leif Eino Aino Jukka Tuuli Sari Anders Kirsten Mads"
).split()
FOREIGN = (
    "Mongolia Chad Nepal Cuba Bolivia Ghana Laos Iceland Chile Romania Belgium Switzerland Ukraine Croatia Serbia Bulgaria Slovakia Slovenia "
    "Albania Estonia Latvia Lithuania Belarus Moldova Georgia Armenia Iran Iraq Syria Jordan Lebanon Israel Qatar Oman Yemen Pakistan "
    "Bangladesh Vietnam Cambodia Malaysia Indonesia Philippines Singapore Taiwan Nigeria Senegal Mali Niger Sudan Ethiopia Somalia Uganda "
    "Tanzania Zambia Zimbabwe Botswana Namibia Angola Congo Gabon Cameroon Morocco Algeria Tunisia Libya Colombia Venezuela Ecuador Uruguay "
    "Paraguay Panama Honduras Guatemala Jamaica Haiti Barbados Fiji Samoa Tonga Malta Cyprus Luxembourg Monaco Andorra Bavaria Tuscany "
    "Texas California Florida Alaska Hawaii Scotland Wales Catalonia Sicily Siberia Tibet Kashmir"
).split()
INVENTED = (
    "Atlantis,Narnia,Mordor,Gondor,Genovia,Latveria,Westeros,Lilliput,Neverland,Wonderland,Utopia,El Dorado,Shangri-La,Middle-earth,"
    "Elbonia,Freedonia,Ruritania,Oz,Hyrule,Azeroth,Tatooine,Gotham,Asgard,Valhalla,Camelot,Avalon,Xanadu,Laputa"
).split(",")
PLACE_ENDS = "ia ania onia istan land burg ville ton ford stad mark grad opolis a o i u an ar el or esh ique ovia aria ada anda".split()
ONSETS = "b c d f g h j k l m n p r s t v w y z br bl cr ch dr fl fr gr gl kl kr kh pr ph qu sh sl sn st sv th tr tw vl wr zh sch".split()
VOWELS = "a a a e e e i i o o u y ae ai ea ee ei ia ie io oo ou ue".split()
CODAS = ["", "", "", "", "n", "l", "r", "s", "m", "k", "d", "t", "ck", "nd", "ng", "rk", "rt", "ls", "ns", "x", "th", "lf", "dt", "mp"]
BAD_PARTS = ("naz", "homo", "tit", "rap", "kum", "fag", "vag", "nig", "cun", "cock", "dic", "fuc", "fuk", "shit", "coon", "anus", "kik", "puss")


def syllables(rng: random.Random, count: int) -> str:
    """Some syllables that make no word."""
    while True:
        word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(count))
        if not any(part in word for part in BAD_PARTS):
            return word


def person(rng: random.Random) -> str:
    """The name of a person, often one that nobody has."""
    pick = rng.random()
    if pick < 0.45:
        return rng.choice(PEOPLE)
    if pick < 0.60:
        # Half of one name and half of another.
        first, second = rng.choice(PEOPLE), rng.choice(PEOPLE).lower()
        return first[: max(2, len(first) // 2 + rng.choice((0, 1)))] + second[len(second) // 2 :]
    return sentence(syllables(rng, rng.choice((1, 2, 2, 3))))


def place(rng: random.Random) -> str:
    """A place that the model must not claim to know."""
    pick = rng.random()
    if pick < 0.30:
        return rng.choice(FOREIGN)
    if pick < 0.42:
        return rng.choice(INVENTED)
    return sentence(syllables(rng, rng.choice((1, 1, 2)))) + (rng.choice(PLACE_ENDS) if pick < 0.88 else "")
