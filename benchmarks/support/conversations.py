"""A small collection of conversations with questions: made by rule, the same in every run.

Twelve people talk. Each says one thing about each of thirty matters, every time with a detail of their own, and makes
small talk in between. Two kinds of questions are asked: about a person and a matter, in other words than were said; and
about a detail, by its name.
"""

from dataclasses import dataclass

PEOPLE = ("Ada", "Ben", "Chloe", "Dmitri", "Elena", "Farid", "Grace", "Hiro", "Ines", "Jonas", "Katya", "Liam")


@dataclass(frozen=True, slots=True)
class Matter:
    """What is said with a detail, what is asked about a person, what is asked about a detail, and the details."""

    said: str
    asked: str
    named: str
    #: With commas between them.
    details: str

    def detail(self, number: int) -> str:
        """One of them, beginning again after the last."""
        details = self.details.split(", ")
        return details[number % len(details)]


MATTERS = (
    Matter(
        "We finally booked the trip, ten days in {} in spring.",
        "Where is {} going on holiday?",
        "Who is travelling to {}?",
        "Lisbon, Kyoto, Patagonia, Tromsø, Marrakesh, Naples, Hanoi, Oaxaca",
    ),
    Matter(
        "The doctor says I have to keep {} away from my plate from now on, it gives me a rash.",
        "Which food is {} allergic to?",
        "Who can not eat {}?",
        "peanuts, shellfish, sesame, strawberries, walnuts, mustard, celery, kiwi",
    ),
    Matter(
        "My sister gave me a puppy, a {}, and it has already eaten one slipper.",
        "What kind of dog does {} have?",
        "Who got a {}?",
        "beagle, dachshund, border collie, poodle, whippet, corgi, akita, pointer",
    ),
    Matter(
        "On Thursdays I stay late because of my {} class.",
        "What is {} learning in the evenings?",
        "Who takes {} lessons?",
        "pottery, cello, Arabic, fencing, welding, salsa, calligraphy, judo",
    ),
    Matter(
        "The doctor moved my appointment to {}, so I will miss the stand-up.",
        "When will {} see a physician?",
        "Whose appointment is on {}?",
        "3 March, 17 April, 9 May, 21 June, 5 July, 30 August, 12 September, 1 October",
    ),
    Matter(
        "After the merger I report to {}, who wants a summary every Friday.",
        "Who is the manager of {}?",
        "Who works under {}?",
        "Mrs Okafor, Mr Lindqvist, Dr Patel, Ms Romero, Mr Novak, Mrs Tanaka, Dr Weiss, Ms Dubois",
    ),
    Matter(
        "I am rewriting the billing service in {} and it is slower going than I thought.",
        "Which programming language does {} use at work?",
        "Who is writing {}?",
        "Rust, Kotlin, Elixir, Go, Haskell, Scala, Zig, OCaml",
    ),
    Matter(
        "We put the money down, the flat on {} is ours.",
        "What is the new address of {}?",
        "Who bought a home on {}?",
        "Linden Street, Harbour Road, Mill Lane, Castle Hill, Station Square, Abbey Walk, Orchard Close, King's Parade",
    ),
    Matter(
        "My old car died, so I cycle now, or borrow the {} of my neighbour.",
        "Which vehicle can {} use?",
        "Who drives a {} sometimes?",
        "Volvo, Fiat Panda, Toyota, Peugeot, Skoda, Mini, Renault, Subaru",
    ),
    Matter(
        "If you come over I will cook {}, it is the one thing I never get wrong.",
        "What is the best dish that {} makes?",
        "Who cooks {}?",
        "ramen, moussaka, paella, pierogi, biryani, gnocchi, goulash, laksa",
    ),
    Matter(
        "I cannot sleep without {} on, since I was little.",
        "What helps {} to fall asleep at night?",
        "Who sleeps with {}?",
        "rain sounds, the radio, a night lamp, an audiobook, a fan, white noise, jazz, the window open",
    ),
    Matter(
        "Mum turned seventy and we surprised her with {}.",
        "What present did the mother of {} receive?",
        "Whose mother got {}?",
        "a hot air balloon ride, theatre tickets, a greenhouse, a telescope, a sewing machine, a piano, "
        "an e-bike, a pearl necklace",
    ),
    Matter(
        "The marathon was hard, I crossed the line after {} and could not walk the next day.",
        "How fast did {} run the race?",
        "Who finished in {}?",
        "3:58, 4:12, 4:45, 3:21, 5:03, 4:29, 3:37, 4:51",
    ),
    Matter(
        "I keep the spare key with {}, ring there if I do not answer.",
        "Who has another key to the home of {}?",
        "Who left a key with {}?",
        "the baker, Uncle Theo, the caretaker, Mrs Flores, the bookshop, my cousin Nadia, the pharmacist, "
        "old Mr Brandt",
    ),
    Matter(
        "They want me to give a talk about {} in November and I said yes.",
        "What will {} present at the conference?",
        "Who speaks about {}?",
        "feature flags, observability, accessibility, query planners, threat modelling, design tokens, "
        "chaos testing, edge caching",
    ),
    Matter(
        "I dropped my phone into {} and it still works, believe it or not.",
        "What happened to the mobile of {}?",
        "Whose phone fell into {}?",
        "a lake, the sink, wet concrete, a pot of soup, the harbour, a paint bucket, the bath, a snowdrift",
    ),
    Matter(
        "Please stop ordering me {}, I gave it up in January.",
        "What did {} quit at the beginning of the year?",
        "Who gave up {}?",
        "espresso, beer, cola, chocolate cake, crisps, red meat, energy drinks, wine",
    ),
    Matter(
        "My thesis was on {}, which nobody here ever needs.",
        "What did {} study at university?",
        "Who wrote a thesis on {}?",
        "Byzantine coins, lichen, graph colouring, glacier flow, Old Norse, tax law, bat navigation, polymer chemistry",
    ),
    Matter(
        "The little one starts school on Monday and only talks about {}.",
        "What is the child of {} excited about?",
        "Whose child loves {}?",
        "volcanoes, excavators, dinosaurs, mermaids, trains, beetles, pirates, planets",
    ),
    Matter(
        "I set the alerts so that I am paged when the {} is over ninety percent.",
        "What does {} monitor in production?",
        "Who is paged about the {}?",
        "disk, heap, replication lag, queue depth, connection pool, error budget, cache miss rate, CPU steal",
    ),
    Matter(
        "For the costume party I am going as {}, do not tell anyone.",
        "What will {} dress up as?",
        "Who goes as {}?",
        "a lighthouse, Cleopatra, a cactus, Sherlock Holmes, a jellyfish, an astronaut, a chess knight, a scarecrow",
    ),
    Matter(
        "I finished {} on the train, cried at the end, read it.",
        "Which novel does {} recommend?",
        "Who read {}?",
        "Middlemarch, Pachinko, The Leopard, Stoner, Beloved, Austerlitz, Piranesi, Gilead",
    ),
    Matter(
        "Our wifi is named after the cat, so look for {} and ask me for the rest.",
        "What is the network of {} called?",
        "Whose network is {}?",
        "Mittens5G, SirPurrs, Tigerlily, Schrodinger, Biscuit, Marmalade, Pixel-Home, Ozymandias",
    ),
    Matter(
        "The garden is all {} this year, I cannot give it away fast enough.",
        "What does {} grow in the backyard?",
        "Who grows {}?",
        "courgettes, rhubarb, dahlias, tomatoes, chard, sunflowers, beans, lavender",
    ),
    Matter(
        "I broke my {} skiing and will type with one hand until Easter.",
        "What injury does {} have?",
        "Who broke the {}?",
        "wrist, collarbone, thumb, elbow, shoulder, forearm, index finger, hand",
    ),
    Matter(
        "They offered me the post in {} and I have a week to decide.",
        "To which city may {} move for a job?",
        "Who was offered work in {}?",
        "Toronto, Dublin, Singapore, Zürich, Austin, Gothenburg, Nairobi, Melbourne",
    ),
    Matter(
        "My password for the wiki stopped working, the ticket is {}.",
        "What is the support case of {} about the login?",
        "Who opened {}?",
        "OPS-4411, OPS-4598, IT-2093, IT-2177, SUP-831, SUP-902, HELP-65, HELP-78",
    ),
    Matter(
        "At the flea market I found {} for next to nothing.",
        "What bargain did {} buy second-hand?",
        "Who found {} at the flea market?",
        "a gramophone, a typewriter, an oil lamp, a samovar, a cuckoo clock, a globe, a banjo, a film projector",
    ),
    Matter(
        "Granddad came over from {} in the fifties with one suitcase.",
        "Where did the family of {} come from?",
        "Whose grandfather came from {}?",
        "Calabria, Goa, Galway, Smyrna, Odessa, Madeira, Silesia, Jamaica",
    ),
    Matter(
        "For the release I only wait for {}, everything else is green.",
        "What keeps {} from shipping?",
        "Who is waiting for {}?",
        "the legal review, the translations, a security scan, the new icons, the load test, "
        "an app store check, the data migration, two approvals",
    ),
)

_SMALL_TALK = (
    "Morning, did anybody see the game last night?",
    "The coffee machine on this floor is broken again.",
    "It has not stopped raining since Sunday.",
    "Can we move the meeting by half an hour?",
    "Ha, that is exactly what I said to him.",
    "I will be offline for an hour, errands.",
    "Lunch at the usual place?",
    "No idea, ask somebody who was there.",
    "Thanks, that fixed it for me too.",
    "Who took the last umbrella?",
    "The elevator music has changed and I hate it.",
    "See you all tomorrow then.",
    "I think we said that already in the last call.",
    "Sorry, I was on mute.",
    "My train is late, start without me.",
    "Good point, let us write that down somewhere.",
    "Happy birthday, have a wonderful day!",
    "Same here, to be honest.",
    "The new chairs are great, my back says thank you.",
    "Does anyone have a charger that I can borrow?",
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that somebody said."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and the keys of what answers it."""

    text: str
    answers: frozenset[str]


def turns() -> list[Turn]:
    """All that was said, in order."""
    said: list[Turn] = []
    for number, matter in enumerate(MATTERS):
        for person, name in enumerate(PEOPLE):
            said.append(Turn(f"{name}/{number}", f"{name}: {matter.said.format(_detail(matter, number, person))}"))
            small = _SMALL_TALK[(7 * number + 3 * person) % len(_SMALL_TALK)]
            speaker = PEOPLE[(person + number + 5) % len(PEOPLE)]
            said.append(Turn(f"{speaker}/{number}/{person}/small", f"{speaker}: {small}"))
    return said


def questions() -> list[Asked]:
    """All questions, those about people first."""
    about_people = [
        Asked(matter.asked.format(name), frozenset({f"{name}/{number}"}))
        for number, matter in enumerate(MATTERS)
        for name in PEOPLE
    ]
    about_details = [
        Asked(
            matter.named.format(detail),
            frozenset(
                f"{name}/{number}" for person, name in enumerate(PEOPLE) if _detail(matter, number, person) == detail
            ),
        )
        for number, matter in enumerate(MATTERS)
        for detail in matter.details.split(", ")
    ]
    return about_people + about_details


def _detail(matter: Matter, number: int, person: int) -> str:
    return matter.detail(5 * person + number)
