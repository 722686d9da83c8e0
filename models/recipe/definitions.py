"""Short definitions and single questions with their paraphrases.
Never computes anything; each row is a subject and one or two sentences.
Called by `facts`.
"""

from __future__ import annotations

from tables import rows

DEFINITIONS = rows("""
a river | A river is water that flows over the land to a lake or the sea.
a lake | A lake is a large body of water with land all around it.
a mountain | A mountain is a very high piece of land.
a valley | A valley is the low land between hills or mountains.
an island | An island is land with water all around it.
a desert | A desert is a very dry place where little grows.
a forest | A forest is a large place full of trees.
a volcano | A volcano is a mountain that can throw out hot melted rock.
the ocean | The ocean is the salt water that covers most of the earth.
a beach | A beach is the sand or stones at the edge of the sea.
a cave | A cave is a hollow place in a hill or under the ground.
a waterfall | A waterfall is water that falls from a high place.
a cloud | A cloud is made of many tiny drops of water in the air.
rain | Rain is water that falls from the clouds in drops.
snow | Snow is frozen water that falls in soft white flakes.
wind | Wind is air that moves.
a storm | A storm is bad weather with strong wind and often rain.
thunder | Thunder is the loud sound that follows lightning.
lightning | Lightning is a flash of electricity in the sky.
a rainbow | A rainbow is an arch of colours that appears when the sun shines through rain.
fog | Fog is a cloud that lies close to the ground.
ice | Ice is frozen water.
the sun | The sun is the star that gives us light and warmth.
the moon | The moon is a ball of rock that goes around the earth.
a star | A star is a huge ball of hot gas that shines in the sky.
a planet | A planet is a large ball that goes around a star.
the earth | The earth is the planet on which we live.
a tree | A tree is a tall plant with a trunk, branches and leaves.
a flower | A flower is the part of a plant that is often colourful and makes seeds.
a seed | A seed is the small part of a plant from which a new plant grows.
a root | A root is the part of a plant that drinks water from the ground.
a leaf | A leaf is the flat green part of a plant that catches light.
a mammal | A mammal is an animal that feeds its young with milk.
a bird | A bird is an animal with feathers and wings that lays eggs.
a fish | A fish is an animal that lives in water and breathes with gills.
an insect | An insect is a small animal with six legs.
a reptile | A reptile is an animal with scales, such as a snake or a turtle.
a bridge | A bridge is a way over a river, a road or a valley.
a map | A map is a drawing of a place, seen from above.
a compass | A compass is a tool that shows where north is.
a clock | A clock is a machine that shows the time.
a calendar | A calendar shows the days, weeks and months of a year.
a library | A library is a place where people borrow books.
a school | A school is a place where children learn.
a hospital | A hospital is a place where sick people get help.
a market | A market is a place where people buy and sell things.
a kitchen | A kitchen is the room in which people cook.
a farm | A farm is a place where people grow food and keep animals.
a garden | A garden is a piece of land where people grow flowers or vegetables.
a village | A village is a small group of houses in the country.
a city | A city is a very large town where many people live.
a country | A country is a land with its own people and government.
a capital | A capital is the main city of a country.
a continent | A continent is one of the very large pieces of land on the earth.
a week | A week is seven days, from Monday to Sunday.
a year | A year is the time in which the earth goes once around the sun.
a season | A season is one of the four parts of the year.
a friend | A friend is somebody you like and trust.
a family | A family is a group of people who belong together, such as parents and children.
a dictionary | A dictionary is a book that explains words.
a triangle | A triangle is a shape with three sides.
a square | A square is a shape with four equal sides.
a circle | A circle is a perfectly round shape.
bread | Bread is food baked from flour, water, salt and yeast.
honey | Honey is the sweet food that bees make from nectar.
water | Water is a clear liquid that all living things need.
air | Air is what we breathe. It is all around us.
fire | Fire is the light and heat that comes from something burning.
gold | Gold is a yellow metal that is worth a lot.
music | Music is sound that people arrange so that it is nice to hear.
a computer | A computer is a machine that follows a program and works with data.
a program | A program is a list of steps that a computer follows.
a book | A book is many pages with words or pictures, bound together.
a song | A song is music with words.
sleep | Sleep is the rest that the body and the mind need every night.
gravity | Gravity is the force that pulls things to the ground.
a shadow | A shadow is the dark shape behind something that blocks the light.
a nest | A nest is the home that a bird builds for its eggs.
a dragon | A dragon is a large animal from stories that can fly and breathe fire.
""")

# answer | paraphrases
SINGLES = rows("""
The sky is blue because air scatters blue light more than the other colours. | why is the sky blue | how come the sky is blue | what makes the sky blue | why does the sky look blue | reason the sky is blue
Leaves fall in autumn because trees save water for the cold months. | why do leaves fall in autumn | why do trees lose their leaves | why do leaves drop | why do leaves fall off the trees
It rains when the drops in a cloud become too heavy and fall. | why does it rain | how does rain form | where does rain come from | how is rain made | what makes it rain
The sea is salty because rivers carry salt from the rocks into it. | why is the sea salty | why is the ocean salty | why does sea water taste of salt | where does the salt in the sea come from
Birds fly south in winter because it is warmer there and they find more food. | why do birds fly south | why do birds leave in winter | why do birds migrate | where do birds go in winter
We sleep so that the body and the mind can rest. | why do we sleep | why do people sleep | why do I need sleep | what is sleep good for
Night comes because the earth turns and our side faces away from the sun. | why is it dark at night | why is there night | why does night come | how come there is day and night | what causes day and night
We have seasons because the earth is tilted as it goes around the sun. | why do we have seasons | what causes the seasons | why are there seasons | why do the seasons change
The sun rises in the east. | where does the sun rise | in which direction does the sun rise | where does the sun come up | from where does the sun rise
The sun sets in the west. | where does the sun set | in which direction does the sun set | where does the sun go down | where is the sunset
Water boils at 100 degrees Celsius. | at what temperature does water boil | when does water boil | how hot is boiling water | what is the boiling point of water
Water freezes at 0 degrees Celsius. | at what temperature does water freeze | when does water freeze | what is the freezing point of water | how cold must it be for water to freeze
Plants need light, water and air to grow. | what do plants need to grow | what does a plant need | what do plants need | what makes plants grow | what must I give a plant
Bees make honey from the nectar of flowers. | how do bees make honey | who makes honey | where does honey come from | what do bees make | which animal makes honey
Hens lay eggs. | where do eggs come from | which animal lays eggs | who lays the eggs that we eat | what lays eggs
Milk comes from cows, and also from goats and sheep. | where does milk come from | who gives us milk | which animal gives milk | what gives milk
Wool comes from sheep. | where does wool come from | which animal gives us wool | who gives wool | what animal is wool from
Wood comes from trees. | where does wood come from | what gives us wood | what do we get wood from | where do we get wood
Leaves fall in autumn. | when do leaves fall | in which season do leaves fall | what season do the leaves fall in | in what season do trees lose leaves
It snows in winter. | when does it snow | in which season does it snow | what season has snow | in what season is there snow
Flowers begin to bloom in spring. | when do flowers bloom | in which season do flowers bloom | what season do flowers start to grow in | when do the flowers come out
The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday. | what are the days of the week | name the days of the week | list the days of the week | which days are in a week | tell me the days of the week | days of the week
The months are January, February, March, April, May, June, July, August, September, October, November and December. | what are the months of the year | name the months | list the months of the year | tell me the months | which months are there | months of the year
The seasons are spring, summer, autumn and winter. | what are the seasons | name the seasons | list the four seasons | which seasons are there | tell me the seasons | what are the four seasons
Saturday and Sunday are the weekend. | which days are the weekend | when is the weekend | what days are the weekend | what is the weekend | name the days of the weekend
The continents are Africa, Antarctica, Asia, Australia, Europe, North America and South America. | what are the continents | name the continents | list the continents | which continents are there | tell me all the continents
There are seven continents. | how many continents are there | how many continents does the earth have | what is the number of continents
There are five oceans. | how many oceans are there | how many oceans does the earth have | what is the number of oceans
The oceans are the Pacific, the Atlantic, the Indian, the Arctic and the Southern Ocean. | what are the oceans | name the oceans | list the oceans | which oceans are there
The colours of the rainbow are red, orange, yellow, green, blue, indigo and violet. | what are the colours of the rainbow | name the colours of the rainbow | which colours are in a rainbow | list the rainbow colours | what colours does a rainbow have
The primary colours are red, yellow and blue. | what are the primary colours | name the primary colours | which colours are primary | list the primary colours
Red and yellow make orange. | what do red and yellow make | what colour do you get from red and yellow | mix red and yellow | what happens if I mix yellow and red
Blue and yellow make green. | what do blue and yellow make | what colour do you get from blue and yellow | mix blue and yellow | what happens if I mix yellow and blue
Red and blue make purple. | what do red and blue make | what colour do you get from red and blue | mix red and blue | what happens if I mix blue and red
Black and white make grey. | what do black and white make | what colour do you get from black and white | mix black and white | what happens if I mix white and black
The five senses are sight, hearing, smell, taste and touch. | what are the five senses | name the senses | which senses do we have | list the five senses
The directions are north, east, south and west. | what are the four directions | name the directions | which directions are there | what does a compass show
We eat breakfast in the morning. | when do we eat breakfast | what meal do we eat in the morning | when is breakfast | what is the first meal of the day
We eat dinner in the evening. | when do we eat dinner | what meal do we eat in the evening | when is dinner | what is the last meal of the day
We eat lunch at midday. | when do we eat lunch | what meal do we eat at midday | when is lunch | what meal is in the middle of the day
The moon goes around the earth. | what goes around the earth | what circles the earth | what does the moon go around | what does the moon do
The earth goes around the sun. | what does the earth go around | what circles the sun | does the earth go around the sun | does the sun go around the earth
The earth turns once around itself in one day. | how long does the earth take to turn | how fast does the earth turn | how long is one turn of the earth
The earth needs one year to go around the sun. | how long does the earth take to go around the sun | how long is a trip around the sun
Ice melts when it gets warm and becomes water. | what happens when ice melts | what does ice become when it melts | what happens to ice in the sun | what is melted ice
Water turns to ice when it freezes. | what happens when water freezes | what does water become when it is very cold | what is frozen water | what does water turn into in the cold
Water turns to steam when it boils. | what happens when water boils | what does boiling water become | what is steam | where does steam come from
A caterpillar becomes a butterfly. | what does a caterpillar become | what does a caterpillar turn into | what comes out of a cocoon | what do caterpillars grow into
A tadpole becomes a frog. | what does a tadpole become | what does a tadpole turn into | what do tadpoles grow into | what grows from a tadpole
Bears sleep through the winter. | what do bears do in winter | which animal sleeps in winter | who sleeps through the winter | how do bears spend the winter
Camels live in the desert. | which animal lives in the desert | what animal lives in the desert | which animals live in deserts
Penguins live on the ice in the far south. | where do penguins live | where can I find penguins | where is the home of penguins | where does a penguin live
Kangaroos live in Australia. | where do kangaroos live | where can I find kangaroos | which country has kangaroos | where does a kangaroo live
Fish breathe with gills. | how do fish breathe | what do fish breathe with | how does a fish breathe
Birds have feathers. | which animals have feathers | what animals have feathers | who has feathers | what do birds have on their bodies
You should drink when you are thirsty. | what should I do when I am thirsty | I am thirsty | what do you do if you are thirsty
You should eat something when you are hungry. | what should I do when I am hungry | I am hungry | what do you do if you are hungry
Go to bed early and rest well. | what should I do when I am tired | I am tired | what do you do if you are tired
Put on a warm coat, a hat and gloves. | what should I wear when it is cold | what do I wear in winter | what should I wear in the snow | what clothes are good for the cold
Wear light clothes and a hat. | what should I wear when it is hot | what do I wear in summer | what clothes are good for hot days
Take an umbrella and wear a raincoat. | what should I wear when it rains | what do I take with me in the rain | what should I take when it rains
Stop and wait. | what do I do at a red light | what does a red light mean | what does a red traffic light mean
You may go. | what does a green light mean | what does a green traffic light mean | what do I do at a green light
""")
