"""The words of the made-up marketplace: people, brands, what things are like, and how sellers write."""

from typing import Final

PEOPLE: Final[tuple[tuple[int, str, str], ...]] = (
    (
        22,
        "Olivia Amelia Isla Grace Harriet Alice Florence Poppy Oliver George Harry Arthur Jack Thomas Edward Frederick",
        "Smith Jones Taylor Brown Williams Evans Walker Wright Thompson Hughes Ashworth Hargreaves O'Brien McDonald",
    ),
    (
        14,
        "Emma Ava Madison Chloe Abigail Natalie Brooke Destiny Liam Noah Mason Ethan Logan Tyler Marcus Jamal",
        "Johnson Miller Davis Wilson Anderson Jackson Harris Clark Robinson Washington Freeman Brooks Coleman Bennett",
    ),
    (
        12,
        "Sofía Lucía Valentina Camila Ximena Guadalupe Inés Pilar Mateo Santiago Diego Javier Andrés Joaquín Álvaro",
        "García Rodríguez Martínez Hernández López González Pérez Sánchez Ramírez Núñez Ibáñez Castañeda Vega Morales",
    ),
    (
        9,
        "Léa Camille Manon Chloé Aurélie Margaux Noémie Louis Hugo Théo Jules François Étienne Mathieu Benoît",
        "Martin Bernard Dubois Moreau Lefèvre Girard Rousseau Fontaine Chevalier Lemaître Gauthier Renaud Delacroix",
    ),
    (
        9,
        "Lena Hannah Mia Leonie Johanna Greta Käthe Finn Jonas Lukas Moritz Jürgen Matthias Sören Till",
        "Müller Schmidt Schneider Fischer Weber Wagner Becker Hoffmann Schäfer Krüger Vogel Brandt Weiß Königsberger",
    ),
    (
        6,
        "Ingrid Astrid Freja Solveig Sigrid Linnéa Maja Lars Bjørn Søren Nils Håkon Anders Åke Emil",
        "Hansen Johansson Andersson Nielsen Lindqvist Bergström Sørensen Haugen Ødegård Nyström Dahl Kristiansen",
    ),
    (
        6,
        "Zofia Hanna Agnieszka Małgorzata Katarzyna Jana Tereza Jakub Szymon Wojciech Łukasz Tomáš Jiří Ondřej",
        "Nowak Kowalski Wiśniewski Wójcik Kamiński Zieliński Dąbrowski Novák Svoboda Dvořák Procházka Horák",
    ),
    (
        8,
        "Ananya Diya Priya Kavya Meera Lakshmi Fatima Aarav Vivaan Arjun Rohan Sanjay Vikram Imran Bilal",
        "Sharma Patel Singh Kumar Gupta Reddy Iyer Nair Chatterjee Mukherjee Khan Ahmed Malik Desai",
    ),
    (
        6,
        "Amina Layla Yasmin Zeynep Elif Nour Salma Omar Yusuf Karim Mehmet Emre Tariq Khalid Hassan",
        "Haddad Khoury Mansour Nasser Yılmaz Demir Kaya Öztürk Şahin Benali Farouk Saleh Rahman",  # noqa: RUF001 - a Turkish letter
    ),
    (
        5,
        "Chiamaka Adaeze Ngozi Amara Wanjiru Achieng Thandiwe Emeka Chinedu Kwame Kofi Kamau Sipho Tendai",
        "Okafor Adeyemi Eze Mensah Owusu Mwangi Otieno Dlamini Nkosi Moyo Abebe Diallo Traoré",
    ),
    (
        5,
        "Mei Xiulan Yuki Sakura Haruka Jiwoo Minseo Linh Wei Haoyu Hiroshi Kenji Minjun Jihoon Duc",
        "Wang Li Zhang Chen Liu Tanaka Suzuki Watanabe Kim Park Choi Nguyen Tran Pham",
    ),
    (3, "陽菜 結衣 美咲 蓮 大翔 健太 翔太", "佐藤 鈴木 高橋 田中 渡辺 伊藤 山本"),
    (
        3,
        "Анна Мария Ольга Ирина Иван Дмитрий Сергей Николай",
        "Бондаренко Коваленко Петренко Шевченко Мельник Кравченко",
    ),
    (2, "Ελένη Κατερίνα Μαρία Γιώργος Νίκος Δημήτρης", "Παπαδόπουλος Οικονόμου Γεωργίου Νικολάου Αντωνίου"),
)
"""How common a culture is here, its first names and its last names; a person takes both from one."""

US_AREAS: Final = (
    "202 206 212 213 215 303 305 312 313 404 408 412 415 503 512 602 612 614 617 619 702 713 718 808 919"
)
"""Codes in front of 555-0100 to 555-0199, the numbers that are kept for stories."""
UK_PREFIXES: Final = "20794609 11349602 12149602 13149602 14149602 16149602"
"""The same in Britain (Ofcom's numbers for drama); two digits are missing."""

WEBSITES: Final = (
    "https://shop-{}.example.com",
    "https://www.example.org/people/{}",
    "https://example.net/~seller{}",
    "https://studio{}.example.com/about",
)

BRANDS: Final = (
    "Hallmere, Brindlewick, Oakhaven, Fernley, Marlowe & Finch, Tidewell, Norrvik, Solbakken, Vantora, "
    "Quillon, Ashcombe, Pellworth, Lumera, Corvane, Østby, Zephra, Kestrel & Co, Thornbury, Maravelle, "
    "Castelloro, Brennhof, Wolkenstein, Edelkamp, Müllersbach, Belcourt, Rivoire, Chantemerle, Nuvola, "
    "Tramonto, Fioravanti, Kirishima, Hoshino, Sakamori, Minato, Jadewell, Lotuswerk, Indivara, "
    "Kamalaya, Sahelia, Baobary, Azurine, Puerto Alto, Montebravo, Sierranova, Polarwind, Frostad, "
    "Haldis, Vesterhavn, Kolibri, Granatowy, Zlatnik, Bohemir, Dunmorrow, Glenfarrow, Penhallow, "
    "Treskerrow, Bywater, Copperline, Ironvale, Stonebeck, Wrenfield, Larkspur, Nightjar, Redstart, "
    "Goshawk, Silverbirch, Hazelgrove, Rowanlea, Alderton, Willowmere, Maplecroft, Beechworth, "
    "Pinnacle Nine, Orbitale, Quantella, Voltisse, Amperon, Circuita, Lumion, Pixelmoor, Sonorelle, "
    "Decibelle, Vibrato, Tempestra"
)
"""Separated by commas, for some are two words."""

COLOURS: Final = (
    "black white grey navy red green blue brown beige cream yellow orange pink purple turquoise burgundy olive mustard "
    "charcoal ivory teal coral lavender copper silver gold"
)

MATERIALS: Final = {
    "binding": "paperback hardback cloth-bound leather-bound illustrated",
    "ceramic": "porcelain stoneware earthenware bone-china terracotta enamelled",
    "cloth": "cotton linen wool velvet corduroy silk denim tweed canvas merino",
    "glass": "glass crystal smoked-glass pressed-glass",
    "leather": "leather suede nubuck vegan-leather",
    "metal": "steel brass copper aluminium cast-iron chrome titanium",
    "paper": "paper cardboard laminated",
    "plant": "organic potted hardy evergreen",
    "plastic": "plastic acrylic bakelite carbon-fibre recycled-plastic",
    "precious": "silver gold rose-gold platinum gold-plated",
    "rubber": "rubber",
    "stone": "marble granite slate limestone",
    "vinyl": "vinyl",
    "wood": "oak walnut beech pine teak ash birch cherry mahogany bamboo",
}

ADJECTIVES: Final = (
    "vintage used handmade modern small rare large antique compact classic sturdy elegant retro lightweight rustic "
    "restored minimalist original limited-edition portable professional foldable art-deco scandinavian industrial "
    "mid-century hand-painted signed waterproof wireless solid heavy-duty decorative custom refurbished colourful "
    "practical charming well-kept unusual"
)

CONDITIONS: Final = (
    "new", "as good as new", "hardly used", "used once", "in very good condition", "in good condition", "well used",
    "with signs of wear", "with a small scratch", "freshly serviced", "unopened", "in its original box",
    "slightly damaged", "for parts or repair", "cleaned and tested",
)  # fmt: skip

FURTHER_TAGS: Final = (
    "bargain gift sustainable free-shipping pickup-only bundle negotiable second-hand like-new unused wedding christmas "
    "birthday house-clearance moving-out student summer winter spring autumn family travel outdoor-living zero-waste "
    "local fair-trade small-space home-office self-made upcycled spare-part clearance sample storage-find barn-find "
    "one-of-a-kind first-edition out-of-print heirloom oversized fragile assembly-needed "
    "warranty smoke-free pet-free sixties seventies eighties nineties bauhaus brutalist "
    "japandi boho country-house farmhouse balcony festival party school beginner expert "
    "left-handed unisex maternity vegan handwoven embroidered "
    "engraved personalised set-of-two solar bluetooth quiet "
    "multilingual german french japanese prototype "
    "exhibition-piece film-prop café naïve-art"
)
"""Tags beside those that colours, materials, adjectives and categories give."""

TOWNS: Final = (
    "Aberdeen Bristol Cardiff Leeds Norwich York Boston Denver Portland Austin Chicago Seattle Lyon Nantes Lille Berlin "
    "Hamburg Leipzig Köln Zürich Wien Graz Malmö Bergen Aarhus Tampere Kraków Gdańsk Brno Porto Sevilla Valencia Torino "
    "Bologna Utrecht Ghent İzmir Nairobi Accra Lagos Mumbai Pune Osaka Sapporo Busan Melbourne Auckland Toronto Montréal"
)

TITLES: Final = (
    "{adjective} {material} {noun}",
    "{brand} {noun}",
    "{adjective} {noun} in {colour}",
    "{brand} {noun}, {condition}",
    "{brand} {model} {noun}",
    "{colour} {noun}",
    "{noun} by {brand}",
    "{adjective} {noun}",
    "{noun}, {material}, {condition}",
    "{brand} {noun} ({colour})",
    "{adjective} {brand} {noun} in {colour}",
    "{material} {noun} from {town}",
    "{noun} {model}",
    "{adjective} {colour} {noun} – {condition}",  # noqa: RUF001 - a dash
)
"""The common ones first."""

OPENINGS: Final = (
    "Selling this {noun} because {reason}.",
    "This {adjective} {noun} is {condition}.",
    "{brand} {noun} in {colour}, {condition}.",
    "For sale, {noun}: {adjective}, {colour}, {condition}.",
    "We bought the {noun} {number} years ago and have hardly any room for it now.",
    "A {noun} like this is not easy to find any more.",
    "Up for sale: {noun}, {material}, {condition}.",
    "The {noun} belonged to my grandparents in {town}.",
    "I offer a {brand} {noun} that served us well for {number} years.",
    "Found while clearing the attic: {noun}, {condition}.",
)
DETAILS: Final = (
    "The {material} has aged beautifully.",
    "It measures about {length} by {width} cm.",
    "It weighs {number} kg and comes apart for transport.",
    "The {colour} is a little darker than in daylight photographs.",
    "Everything works as it should; I tested it again last week.",
    "There is a small mark on the back that nobody sees.",
    "The original receipt from {town} is still there.",
    "Spare parts from {brand} are easy to get.",
    "It was cleaned thoroughly and is ready for its next home.",
    "Comes with instructions and all the parts that belong to it.",
    "The model is {model}, made by {brand}.",
    "Only {number} of these were ever offered in {colour}.",
    "One corner is worn, which shows in the last photograph.",
    "It has always been kept dry and out of the sun.",
    "We used it about {number} times a year.",
    "A matching second one can be had for a little more.",
)
CLOSINGS: Final = (
    "Pick up in {town}, or shipping at cost.",
    "From a smoke-free home without pets.",
    "Price is negotiable, but please no silly offers.",
    "Cash or transfer, as you like.",
    "Private sale, no returns.",
    "Ask me for more photographs!",
    "Can be seen in {town} at weekends.",
    "I ship within two days, well packed.",
    "First come, first served.",
    "Can be delivered around {town} for a small fee.",
)
REASONS: Final = (
    "we are moving abroad", "I got a new one for my birthday", "it no longer fits in", "the children have grown out of it",
    "I need the space", "it was a present that I never used", "I am giving up the hobby", "we now have two of them",
    "it is the wrong size", "a good home matters more than the money",
)  # fmt: skip

EVENT_TOWNS: Final = {
    "Europe/Berlin": "Berlin Hamburg Leipzig Köln",
    "Europe/London": "Aberdeen Bristol Cardiff Leeds Norwich York",
    "Europe/Paris": "Lyon Nantes Lille",
    "Europe/Lisbon": "Porto",
    "America/New_York": "Boston Toronto",
    "America/Chicago": "Chicago Austin",
    "Africa/Nairobi": "Nairobi",
    "Asia/Kolkata": "Mumbai Pune",
    "Asia/Tokyo": "Osaka Sapporo",
    "Australia/Melbourne": "Melbourne",
}
"""Where people gather, by time zone."""
EVENT_PLACES: Final = (
    "the old fire station", "the town library", "the market hall", "a former bakery", "the community garden",
    "the harbour shed", "the school gym", "a bookshop", "the tram depot", "the church hall",
)  # fmt: skip
EVENTS: Final = (
    ("Repair café {town}", "Bring what is broken to {place}; we bring tools, tea and patience."),
    ("Flea market in {town}", "Tables are free for anybody who sells in person. We meet in {place}, whatever the weather."),
    ("Swap evening: {goods}", "Bring up to ten things, take up to ten home. Doors open half an hour earlier at {place}."),
    ("{goods}: buying without regrets", "What to look at, what to ask, and what a fair price is. A talk at {place} in {town}."),
    ("Guided tour of {place}", "A walk through a place in {town} that is closed to visitors otherwise. Wear sturdy shoes."),
    ("How to photograph {goods}", "A workshop on light, backgrounds and honest pictures. Your telephone is camera enough."),
    ("Meet the sellers of {town}", "Faces to the names. We have booked a room at {place}; food is up to each of us."),
    ("Upcycling workshop: {goods}", "Make something better from something old. Materials are there, and gloves at {place}."),
    ("Charity auction in {town}", "Everything is for the shelter. Viewing an hour before, at {place}."),
    ("Collectors' breakfast: {goods}", "Coffee, rolls and long stories at {place} in {town}. Beginners are welcome."),
)  # fmt: skip
"""What people gather for: a title and a description."""
