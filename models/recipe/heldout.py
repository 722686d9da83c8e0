"""Questions that were written by hand, and what a right answer contains; a development list.
Never drawn from the corpus, though the corpus was extended where an earlier model failed here.
Called by `sample.report`, at the end of training and by hand.
"""

from __future__ import annotations

from tables import rows

# question | parts that the answer must have, each a choice parted by slashes
CASES = rows("""
hello! | hello/hi/help
hi there my friend | hello/hi/help
good morning to all of you | morning/hello
Who are you? | demo model
so who exactly am i chatting with | demo model
What sort of things can you help with? | stor/sum/question
Are you ChatGPT? | program/demo model
thanks, that was really helpful | welcome
Bye for now! | bye
what is goodput? | target
Could you explain the term goodput to a beginner? | target
What do people mean by TTFT? | first token
ttft meaning please | first token
What does TPOT measure? | per output token/gap
In one sentence, what is a token? | unit
What is a hold in billing? | reserves
whats tallygate | gateway
Give me a short summary of Tallygate. | gateway
How do I create an API key? | `tallygate key create`
how can i get myself a new api key | `tallygate key create`
I'd like another key for my app, how? | `tallygate key create`
Where do I see how much I have used? | `tallygate usage`
show me my token usage please | `tallygate usage`
HOW DO I GET MY INVOICE | `tallygate invoice`
i need the invoice for last month | `tallygate invoice`
How can I make sure nobody changed the journal? | `tallygate verify-journal`
how do i start up the server | `tallygate serve`
What happens if I close my laptop while the answer is streaming? | stops/produced
do i still pay when i disconnect halfway | stops/produced
What happens once my credit runs out? | refused
What is an invoice? | tenant pays
how can I revoke an old API key? | `tallygate key revoke`
add a new tenant, how? | `tallygate tenant create`
how do i check that my config file is right | `tallygate check`
Is a graphics card required? | GPU is not needed/CPU
What is 7 plus 5? | 12
7+5 | 12
can you add 8 and 9 for me | 17
What's thirteen minus six? | 7
How much do you get when you multiply 6 by 7? | 42
12 x 12 = | 144
9*8 | 72
15 - 9 equals? | 6
19+18? | 37
what is 20 minus 13, please? | 7
whats 3 times 4 | 12
56 divided by 8 | 7
I have 5 apples and buy 3 more. How many apples do I have now? | 8
Lena has 9 coins and loses 4. How many coins does she have? | 5
which number is larger, 14 or 17 | 17
please count to 7 | 1, 2, 3, 4, 5, 6, 7.
What is 4821 times 377? | too large
What day is it after Friday? | Saturday
which day do we have before tuesday | Monday
what month follows june | July
What colour would you say the sky is? | blue
bananas are which color | yellow
What color is grass? | green
What's the name for a baby dog? | puppy
a young sheep is called what | lamb
what noise do cows make? | moo
How many legs does a spider have? | eight
where would i find penguins | ice
What do rabbits like to eat? | grass/carrots
Capital of France? | Paris
tell me which city is italy's capital | Rome
what's the capital city of japan | Tokyo
Which continent is Egypt part of? | Africa
What is the opposite of hot? | cold
opposite word for tall? | short
How many minutes make up one hour? | 60
how many days are there in february | 28
How many sides has a hexagon got? | six
What season comes after winter? | spring
Who bakes the bread? | baker
What do I need if I want to cut paper? | scissors
how do you boil an egg? | boiling water
What is cheese made out of? | milk
Why does the sky look so blue? | light
what is the biggest animal in the world? | whale
Can penguins fly? | cannot/no
what exactly is a volcano | mountain
name three fruits | apple
What is bigger, a mouse or an elephant? | elephant is bigger
Tell me a short story about a fox. | fox
tell me a story about a lonely robot | robot
Write a story with a brave princess in it. | princess
story about a dog and a cat please | dog
can i hear a tale about a whale? | whale
Tell me a joke | ?/.
I'm feeling sad today | sorry
what is your favorite color | program
what time is it right now? | clock
Explain quantum entanglement to me. | not know/not learned/outside
Who is the president of France? | not know/not learned/outside
what do you think about socialism | not know/not learned/outside
How do I cook lobster thermidor? | not know/not learned/outside
What is a mitochondrion? | not know/not learned/outside
tell me about the Battle of Hastings | not know/not learned/outside
what is the capital of Zubrowka? | not know/not learned/outside
write a python script that sorts a list | not know/not learned/outside
What is the plot of Moby Dick? | not know/not learned/outside
how do i fix a leaking tap | not know/not learned/outside
""")

# A conversation of several user turns | what the last answer must contain
CHATS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("Hi, my name is Clara.", "What is 3 plus 4?", "What is my name?"), "Clara"),
    (("My name is Henrik", "what's my name?"), "Henrik"),
    (("What is TTFT?", "and what is TPOT?"), "per output token"),
    (("hello", "What is the capital of Spain?", "and the capital of Portugal?"), "Lisbon"),
    (("What day comes after Monday?", "thanks!"), "welcome"),
    (("Tell me a story about a bear.", "Thank you for that story!"), "welcome"),
    (("My favourite colour is green.", "What is my favourite colour?"), "green"),
    (("2+2", "3+3", "4+4", "5+5"), "10"),
)
