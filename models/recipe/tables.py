"""The facts of the demo model's small world, as plain tables.
Never holds a question form and never draws a random number; it is long, since it is all rows.
Called by `facts`, `sums` and `stories`.
"""

from __future__ import annotations


def rows(text: str) -> list[list[str]]:
    """The fields of each line, split at the bar."""
    return [[field.strip() for field in line.split("|")] for line in text.strip().splitlines()]


# Things that keep one surface | colour
COLOURS = rows("""
the sky | blue
grass | green
the sun | yellow
snow | white
coal | black
the sea | blue
blood | red
milk | white
chocolate | brown
salt | white
sugar | white
butter | yellow
honey | golden
ink | black
the night sky | black
a ripe tomato | red
sand | yellow
wood | brown
gold | yellow
silver | grey
a cloud | white
a raven | black
the moon | grey
broccoli | green
rice | white
a stop sign | red
autumn leaves | orange and brown
a rainbow | many colours
spinach | green
coffee | brown
""")

# Countable things | colour
THING_COLOURS = rows("""
banana | yellow
lemon | yellow
tomato | red
carrot | orange
cucumber | green
frog | green
orange | orange
plum | purple
polar bear | white
swan | white
elephant | grey
pig | pink
strawberry | red
cherry | red
pumpkin | orange
fox | red
zebra | black and white
panda | black and white
leaf | green
potato | brown
pea | green
rose | red
flamingo | pink
crow | black
penguin | black and white
lion | golden
tree | green
fire engine | red
sunflower | yellow
""")

# Animal | young | sound | home | food | legs | kind
ANIMALS = rows("""
dog | puppy | woof | a kennel | meat and bones | four | mammal
cat | kitten | meow | a house | fish and meat | four | mammal
cow | calf | moo | a barn | grass | four | mammal
horse | foal | neigh | a stable | grass and hay | four | mammal
sheep | lamb | baa | a field | grass | four | mammal
pig | piglet | oink | a sty | roots and grain | four | mammal
goat | kid | baa | the mountains | grass and leaves | four | mammal
hen | chick | cluck | a coop | seeds and worms | two | bird
duck | duckling | quack | a pond | water plants and seeds | two | bird
goose | gosling | honk | a lake | grass and seeds | two | bird
owl | owlet | hoot | a hollow tree | mice | two | bird
eagle | eaglet | screech | a high nest | small animals and fish | two | bird
lion | cub | roar | the grassland | meat | four | mammal
tiger | cub | roar | the jungle | meat | four | mammal
bear | cub | growl | a cave | berries, fish and honey | four | mammal
wolf | pup | howl | a den | meat | four | mammal
fox | cub | yelp | a den | mice, birds and berries | four | mammal
frog | tadpole | croak | a marsh | flies | four | amphibian
bee | larva | buzz | a hive | nectar | six | insect
spider | spiderling | no sound | a web | flies | eight | arachnid
ant | larva | no sound | an anthill | seeds and crumbs | six | insect
mouse | pup | squeak | a hole in the wall | seeds and cheese | four | mammal
rabbit | kit | squeak | a burrow | grass and carrots | four | mammal
elephant | calf | trumpet | the grassland | grass and leaves | four | mammal
monkey | infant | chatter | the jungle | fruit and nuts | four | mammal
snake | hatchling | hiss | a hole in the ground | mice | no | reptile
penguin | chick | squawk | the ice | fish | two | bird
whale | calf | song | the ocean | small sea animals | no | mammal
kangaroo | joey | grunt | the dry plains | grass | four | mammal
deer | fawn | bleat | the forest | grass and leaves | four | mammal
squirrel | kit | chatter | a tree | nuts | four | mammal
butterfly | caterpillar | no sound | a meadow | nectar | six | insect
shark | pup | no sound | the ocean | fish | no | fish
turtle | hatchling | no sound | the water | plants and small animals | four | reptile
camel | calf | grunt | the desert | dry plants | four | mammal
giraffe | calf | hum | the grassland | leaves | four | mammal
hedgehog | hoglet | snuffle | a pile of leaves | insects and worms | four | mammal
""")

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
MONTH_DAYS = ["31", "28 or 29", "31", "30", "31", "30", "31", "31", "30", "31", "30", "31"]
SEASONS = ["spring", "summer", "autumn", "winter"]
ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
]
WORDS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]

# Country | capital | continent | language
COUNTRIES = rows("""
France | Paris | Europe | French
Germany | Berlin | Europe | German
Spain | Madrid | Europe | Spanish
Italy | Rome | Europe | Italian
Portugal | Lisbon | Europe | Portuguese
England | London | Europe | English
Ireland | Dublin | Europe | English and Irish
Greece | Athens | Europe | Greek
Poland | Warsaw | Europe | Polish
Austria | Vienna | Europe | German
Hungary | Budapest | Europe | Hungarian
Norway | Oslo | Europe | Norwegian
Sweden | Stockholm | Europe | Swedish
Finland | Helsinki | Europe | Finnish and Swedish
Denmark | Copenhagen | Europe | Danish
Russia | Moscow | Europe and Asia | Russian
Turkey | Ankara | Asia and Europe | Turkish
China | Beijing | Asia | Chinese
Japan | Tokyo | Asia | Japanese
India | New Delhi | Asia | Hindi and English
Thailand | Bangkok | Asia | Thai
Egypt | Cairo | Africa | Arabic
Kenya | Nairobi | Africa | Swahili and English
Canada | Ottawa | North America | English and French
Mexico | Mexico City | North America | Spanish
the United States | Washington | North America | English
Brazil | Brasilia | South America | Portuguese
Argentina | Buenos Aires | South America | Spanish
Peru | Lima | South America | Spanish
Australia | Canberra | Australia | English
New Zealand | Wellington | Oceania | English and Maori
the Netherlands | Amsterdam | Europe | Dutch
""")

OPPOSITES = rows("""
hot | cold
big | small
fast | slow
day | night
up | down
old | new
happy | sad
light | dark
open | closed
full | empty
hard | soft
wet | dry
high | low
left | right
good | bad
strong | weak
loud | quiet
rich | poor
long | short
early | late
inside | outside
clean | dirty
thick | thin
near | far
young | old
black | white
yes | no
begin | end
win | lose
push | pull
buy | sell
sweet | sour
heavy | light
tall | short
true | false
front | back
first | last
""")

# small unit | big unit | count
QUANTITIES = rows("""
days | a week | seven
months | a year | twelve
days | a year | 365
hours | a day | 24
minutes | an hour | 60
seconds | a minute | 60
weeks | a year | 52
seasons | a year | four
years | a century | 100
years | a decade | ten
weeks | a month | about four
cents | a dollar | 100
grams | a kilogram | 1000
metres | a kilometre | 1000
centimetres | a metre | 100
letters | the alphabet | 26
colours | a rainbow | seven
eggs | a dozen | twelve
players | a football team | eleven
planets | the solar system | eight
minutes | half an hour | 30
days | a leap year | 366
hours | half a day | twelve
months | half a year | six
days | a weekend | two
""")

# has count | thing | parts
PARTS = rows("""
three | a triangle | sides
four | a square | sides
five | a pentagon | sides
six | a hexagon | sides
eight | an octagon | sides
four | a rectangle | sides
three | a triangle | corners
four | a square | corners
four | a car | wheels
two | a bicycle | wheels
three | a tricycle | wheels
five | a hand | fingers
ten | a person | fingers
two | a person | eyes
two | a person | ears
one | a person | noses
two | a person | legs
two | a bird | wings
four | a butterfly | wings
six | a cube | faces
eight | an octopus | arms
four | a table | legs
two | a camel from Asia | humps
two | a coin | sides
""")

# job | what they do | place
JOBS = rows("""
baker | bakes bread and cakes | a bakery
teacher | teaches children | a school
doctor | helps sick people | a hospital
farmer | grows food and keeps animals | a farm
fisherman | catches fish | a boat
gardener | cares for plants | a garden
carpenter | makes things of wood | a workshop
cook | cooks meals | a kitchen
pilot | flies planes | a plane
sailor | sails ships | a ship
painter | paints pictures and walls | a studio
singer | sings songs | a stage
tailor | makes clothes | a shop
butcher | sells meat | a shop
dentist | cares for teeth | a dental practice
vet | helps sick animals | an animal clinic
firefighter | puts out fires | a fire station
postman | brings letters | a post office
driver | drives a car or a bus | the road
librarian | takes care of books | a library
writer | writes books | a desk
miller | grinds grain into flour | a mill
shepherd | looks after sheep | a meadow
astronaut | travels to space | a spaceship
nurse | cares for patients | a hospital
""")

# task (bare) | tool
TOOLS = rows("""
cut bread | a knife
eat soup | a spoon
cut paper | a pair of scissors
hammer a nail | a hammer
write a letter | a pen
sweep the floor | a broom
dig a hole | a spade
open a lock | a key
brush your teeth | a toothbrush
comb your hair | a comb
tell the time | a clock
measure a length | a ruler
measure the temperature | a thermometer
sew a button | a needle and thread
stay dry in the rain | an umbrella
see in the dark | a lamp
boil water | a kettle
keep food cold | a fridge
bake a cake | an oven
drink tea | a cup
find the way | a map
find north | a compass
see small things | a magnifying glass
see the stars | a telescope
wash your hands | soap and water
dry your hands | a towel
draw a picture | a pencil
catch a fish | a fishing rod
cut wood | a saw
weigh flour | a pair of scales
""")

# food (with is/are) | what it is made of or from
FOODS = rows("""
bread | flour, water, salt and yeast
cheese | milk
butter | cream
a cake | flour, eggs, butter and sugar
an omelette | eggs
wine | grapes
juice | fruit
chips | potatoes
yogurt | milk
pasta | flour, water and eggs
chocolate | cocoa beans and sugar
jam | fruit and sugar
a salad | lettuce, tomatoes and cucumber
soup | water and vegetables
pancakes | flour, milk and eggs
tea | hot water and tea leaves
honey | nectar, and bees make it
raisins | dried grapes
popcorn | corn
ketchup | tomatoes
paper | wood
glass | sand
a candle | wax
wool | the coat of sheep
ice | frozen water
a window | glass
a tyre | rubber
leather | the skin of animals
""")

# what | answer sentence
KITCHEN = rows("""
boil an egg | Put the egg in boiling water and wait about eight minutes. Then cool it in cold water.
make tea | Boil water, pour it over the tea leaves and wait three minutes.
make coffee | Put ground coffee in a filter and pour hot water over it.
cook pasta | Boil water with a little salt, add the pasta and cook it for about ten minutes.
cook rice | Put one cup of rice and two cups of water in a pot. Cook it gently until the water is gone.
make pancakes | Mix flour, milk and eggs. Fry thin rounds in a hot pan with a little butter.
make a sandwich | Take two slices of bread and put cheese, tomato or what you like between them.
make a salad | Wash and cut lettuce, tomatoes and cucumber. Add a little oil and salt.
make toast | Put a slice of bread in the toaster and wait until it is brown.
bake bread | Mix flour, water, salt and yeast. Let the dough rest, then bake it in a hot oven.
fry an egg | Melt a little butter in a pan, break the egg into it and wait until the white is firm.
peel a potato | Hold the potato firmly and pull a peeler along the skin, away from your fingers.
make soup | Cut vegetables, put them in a pot of water with salt and cook them until they are soft.
bake a cake | Mix flour, eggs, butter and sugar. Bake the dough in the oven for about forty minutes.
make lemonade | Mix the juice of a lemon with water and a little sugar.
make an omelette | Beat two eggs with a little salt and fry them slowly in a pan.
wash the dishes | Use warm water, a little soap and a sponge. Then rinse and dry them.
plant a tree | Dig a hole, put the roots in it, fill it with earth and water it well.
grow tomatoes | Plant the seeds in good earth, give them sun and water them every day.
""")

# place or thing | superlative phrase | answer
SUPERLATIVES = rows("""
the largest animal | The largest animal is the blue whale. | the biggest animal
the tallest animal | The tallest animal is the giraffe. | the highest animal
the fastest land animal | The fastest land animal is the cheetah. | the fastest animal on land
the largest land animal | The largest land animal is the elephant. | the biggest animal on land
the largest ocean | The largest ocean is the Pacific Ocean. | the biggest ocean
the highest mountain | The highest mountain is Mount Everest. | the tallest mountain in the world
the longest river | The longest river is the Nile. | the longest river in the world
the largest continent | The largest continent is Asia. | the biggest continent
the smallest continent | The smallest continent is Australia. | the smallest of the continents
the largest country | The largest country is Russia. | the biggest country in the world
the largest planet | The largest planet is Jupiter. | the biggest planet in the solar system
the smallest planet | The smallest planet is Mercury. | the smallest planet in the solar system
the closest star | The closest star is the sun. | the nearest star to us
the planet closest to the sun | Mercury is the planet closest to the sun. | the nearest planet to the sun
the largest desert | The largest hot desert is the Sahara. | the biggest desert
the coldest continent | The coldest continent is Antarctica. | the coldest place on earth
the largest bird | The largest bird is the ostrich. | the biggest bird
the slowest animal | The snail is one of the slowest animals. | the animal that is slowest
the shortest month | The shortest month is February. | the month with the fewest days
the hottest season | The hottest season is summer. | the warmest season
the coldest season | The coldest season is winter. | the season that is coldest
the king of the animals | People call the lion the king of the animals. | the king of animals
the red planet | Mars is called the red planet. | the planet that is red
the longest day of the year | The longest day of the year is in June, in the north. | the day with the most light
the first letter of the alphabet | The first letter of the alphabet is A. | the first letter
the last letter of the alphabet | The last letter of the alphabet is Z. | the last letter
the first day of the week | The first day of the week is Monday. | the day that starts the week
the last day of the week | The last day of the week is Sunday. | the day that ends the week
the first month of the year | The first month of the year is January. | the month that starts the year
the last month of the year | The last month of the year is December. | the month that ends the year
the planet we live on | We live on the planet Earth. | our planet
the star in the middle of the solar system | The sun is in the middle of the solar system. | the centre of the solar system
""")

# sense or part | verb phrase
BODY = rows("""
see | your eyes
hear | your ears
smell | your nose
taste | your tongue
touch | your hands
walk | your legs
think | your brain
breathe | your lungs
chew | your teeth
kick a ball | your foot
write | your hand
""")

# From small to big.
SIZES = [
    "ant",
    "bee",
    "spider",
    "mouse",
    "frog",
    "squirrel",
    "hen",
    "cat",
    "fox",
    "dog",
    "wolf",
    "sheep",
    "lion",
    "cow",
    "horse",
    "elephant",
    "whale",
]

KINDS = {
    "fruit": "apple banana pear cherry plum orange lemon grape strawberry peach mango",
    "vegetable": "carrot potato cucumber cabbage onion pea leek spinach bean turnip",
    "animal": "dog cat horse fox bear lion wolf mouse rabbit elephant",
    "bird": "owl duck eagle swan robin crow goose penguin",
    "insect": "bee ant butterfly fly beetle",
    "colour": "red blue green yellow orange purple white black brown pink",
    "tree": "oak birch pine maple willow",
    "flower": "rose tulip daisy lily sunflower",
    "tool": "hammer saw spade screwdriver",
    "drink": "water milk tea coffee juice",
    "planet": "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune",
    "metal": "iron gold silver copper",
    "shape": "circle square triangle rectangle",
    "sport": "football tennis swimming running",
    "season": "spring summer autumn winter",
}

# question with "can"/"is"/"do" | yes or no sentence
YES_NO = rows("""
can a penguin fly | No, a penguin cannot fly, but it swims very well. | can penguins fly
can a fish swim | Yes, a fish can swim. | can fish swim
can a bird fly | Yes, most birds can fly. | can birds fly
can a dog fly | No, a dog cannot fly. | can dogs fly
can a cat climb | Yes, a cat climbs very well. | can cats climb trees
can a horse run | Yes, a horse runs fast. | can horses run
can a cow fly | No, a cow cannot fly. | can cows fly
can a pig fly | No, a pig cannot fly. | can pigs fly
can a fish walk | No, a fish cannot walk. | do fish walk
is the sun hot | Yes, the sun is very hot. | is it hot on the sun
is ice cold | Yes, ice is cold, because it is frozen water. | does ice feel cold
is fire hot | Yes, fire is hot. Keep away from it. | is a fire hot
is snow warm | No, snow is cold. | is snow hot
is sugar sweet | Yes, sugar is sweet. | does sugar taste sweet
is a lemon sour | Yes, a lemon is sour. | are lemons sour
is a whale a fish | No, a whale is a mammal. | are whales fish
is a spider an insect | No, a spider is an arachnid. It has eight legs. | are spiders insects
is a tomato a fruit | Yes, for a botanist a tomato is a fruit, but a cook calls it a vegetable. | are tomatoes fruit
is the earth round | Yes, the earth is round, like a ball. | is our planet round
is the earth flat | No, the earth is round, like a ball. | is our planet flat
is the moon a star | No, the moon goes around the earth. It is not a star. | is our moon a star
is the sun a star | Yes, the sun is a star. | is our sun a star
is water wet | Yes, water is wet. | does water make things wet
does the sun rise in the east | Yes, the sun rises in the east. | is the sunrise in the east
do cows eat grass | Yes, cows eat grass. | does a cow eat grass
do bees make honey | Yes, bees make honey. | does a bee make honey
do fish breathe in water | Yes, fish breathe in water with their gills. | can fish breathe under water
do plants need water | Yes, plants need water, light and air. | does a plant need water
do owls sleep at night | No, owls are awake at night and sleep in the day. | does an owl sleep at night
do dogs bark | Yes, dogs bark. | does a dog bark
is iron heavy | Yes, iron is heavy. | is iron a heavy metal
is a feather light | Yes, a feather is very light. | are feathers light
is glass hard | Yes, glass is hard, but it breaks easily. | can glass break
does wood float | Yes, wood floats on water. | can wood float
does a stone float | No, a stone sinks in water. | do stones float
do snakes have legs | No, snakes have no legs. | does a snake have legs
is milk good for children | Yes, milk is good for most children. | is milk healthy
""")
