"""The made-up marketplace's categories, and what is sold in them."""

from dataclasses import dataclass
from functools import cache
from typing import Final

from slugify import slugify

TREE: Final = """
Furniture
  Seating
    Sofas & Armchairs: cloth leather; furniture living-room; corner sofa 620, two-seater 340, armchair 240, sofa bed 410, footstool 60, chaise longue 380
    Chairs & Stools: wood metal; furniture seating; dining chair 70, bar stool 65, rocking chair 150, folding chair 25, office chair 160, kitchen stool 35
  Tables & Desks
    Dining Tables: wood stone; furniture dining; dining table 360, extending table 450, round table 280, bench 120
    Desks & Bureaux: wood metal; furniture office; writing desk 220, standing desk 380, secretaire 540, drawing table 190
    Small Tables: wood glass; furniture living-room; coffee table 130, side table 60, nest of tables 95, console table 160
  Beds & Mattresses: wood metal; furniture bedroom; double bed 320, bunk bed 280, bed frame 210, mattress 240, bedside table 55, headboard 110
  Storage & Shelving: wood metal; furniture storage; bookcase 140, chest of drawers 190, wardrobe 330, sideboard 290, wall shelf 35, shoe cabinet 80, display cabinet 260
  Lighting: metal glass cloth; lighting home; floor lamp 75, table lamp 40, pendant light 90, chandelier 280, reading lamp 35, wall light 50, string of lights 18
Home & Kitchen
  Cookware: metal ceramic; kitchen cooking; frying pan 32, casserole 85, saucepan 38, wok 40, roasting tin 25, stockpot 60, grill pan 35
  Tableware: ceramic glass; kitchen dining; dinner service 110, set of plates 45, teapot 35, coffee cup 12, salad bowl 22, carafe 24, set of wine glasses 38, cutlery set 70
  Kitchen Appliances
    Coffee & Tea: metal plastic; kitchen coffee; espresso machine 290, coffee grinder 85, filter coffee maker 55, kettle 38, moka pot 28, milk frother 32
    Mixing & Baking: metal plastic; kitchen baking; stand mixer 260, hand mixer 35, blender 70, food processor 130, bread maker 95, kitchen scales 20
    Large Appliances: metal; kitchen appliance; refrigerator 420, dishwasher 360, washing machine 390, cooker 480, freezer 310, microwave oven 90
  Bedding & Towels: cloth; textile bedroom; duvet cover 45, wool blanket 65, set of towels 32, bedspread 55, pillow 28, quilt 90
  Decoration: ceramic glass wood cloth; decoration home; vase 30, wall clock 45, mirror 80, picture frame 18, rug 140, cushion 22, candlestick 26, curtain 48
  Cleaning & Laundry: plastic metal; cleaning home; vacuum cleaner 130, steam iron 45, ironing board 35, drying rack 28, robot vacuum 240, laundry basket 24
Electronics
  Computers
    Laptops: metal plastic; computer laptop; ultrabook 780, gaming laptop 1150, business laptop 620, convertible laptop 690, refurbished notebook 340
    Desktop Computers: metal; computer desktop; gaming computer 980, mini computer 310, workstation 1250, all-in-one computer 720
    Parts & Accessories: plastic metal; computer accessory; graphics card 340, mechanical keyboard 95, wireless mouse 30, monitor 190, solid-state drive 75, docking station 110, power supply 80, webcam 45
    Networking: plastic; computer network; mesh router 140, network switch 60, access point 95, network storage 280
  Phones & Tablets
    Smartphones: glass metal; phone electronics; smartphone 380, rugged phone 240, folding phone 790, feature phone 35
    Tablets & Readers: glass metal; tablet electronics; tablet 290, drawing tablet 180, e-book reader 110
    Phone Accessories: plastic leather; phone accessory; phone case 14, fast charger 22, power bank 32, wireless charger 28, screen protector 9
  Sound
    Headphones: plastic leather; audio music; over-ear headphones 140, wireless earbuds 85, studio headphones 120, headset 60
    Hi-fi: wood metal; audio hifi; turntable 220, bookshelf loudspeaker 260, amplifier 310, cassette deck 120, radio 65, soundbar 170, subwoofer 190
  Cameras: metal plastic; camera photography; mirrorless camera 740, film camera 130, zoom lens 320, prime lens 280, tripod 75, instant camera 70, camera bag 48, light meter 90
  Television & Film: glass plastic; television home-cinema; television 430, projector 360, streaming box 55, projection screen 110, television stand 75
  Gaming: plastic; gaming console; game console 310, handheld console 220, game controller 45, retro console 90, video game 28, racing wheel 210
Fashion
  Women's Clothing: cloth leather; fashion women; summer dress 45, winter coat 120, blouse 32, cardigan 40, skirt 34, evening dress 110, trench coat 95, jumper 38
  Men's Clothing: cloth leather; fashion men; overshirt 42, suit 190, rain jacket 85, jeans 45, polo shirt 26, waistcoat 55, pullover 40, chinos 36
  Shoes: leather cloth; fashion shoes; running shoes 75, ankle boots 95, trainers 65, sandals 38, loafers 80, hiking boots 120, slippers 22
  Bags & Luggage: leather cloth; fashion bag; backpack 65, handbag 110, suitcase 120, messenger bag 70, weekend bag 90, wallet 35, toilet bag 24
  Watches: metal leather; fashion watch; wristwatch 180, diving watch 320, pocket watch 140, chronograph 410, smartwatch 170
  Jewellery: precious; fashion jewellery; necklace 85, pair of earrings 45, bracelet 60, signet ring 140, brooch 38, wedding ring 380
Sports & Outdoors
  Cycling
    Bicycles: metal; cycling outdoor; road bicycle 680, city bicycle 290, mountain bicycle 590, folding bicycle 360, cargo bicycle 1450, children's bicycle 110, electric bicycle 1380
    Bicycle Parts: metal plastic; cycling accessory; bicycle light 25, saddle 48, set of pedals 40, pannier 55, cycling helmet 52, bicycle lock 38, wheelset 220, child seat 75
  Camping & Hiking: cloth metal; camping outdoor; two-person tent 140, sleeping bag 85, camping stove 48, hiking backpack 120, sleeping mat 45, headlamp 32, hammock 40, cool box 60
  Fitness: metal plastic; fitness sport; set of dumbbells 80, rowing machine 340, yoga mat 26, exercise bike 260, kettlebell 38, treadmill 420, pull-up bar 35
  Water Sports: plastic cloth; water-sport outdoor; kayak 520, paddle board 290, wetsuit 110, diving mask 32, surfboard 310, life jacket 65
  Winter Sports: plastic metal; winter-sport outdoor; pair of skis 240, snowboard 220, ski boots 160, sledge 45, ice skates 55, ski helmet 60
  Ball & Racket Games: leather plastic; sport game; football 24, tennis racket 75, table tennis table 230, basketball hoop 130, badminton set 32, golf club 95
Books, Film & Music
  Fiction: binding; book reading; crime novel 8, collection of short stories 9, historical novel 9, science fiction novel 8, classic novel 10, book of poems 11, fantasy trilogy 26
  Non-fiction: binding; book non-fiction; cookery book 18, travel guide 12, biography 13, history of art 28, gardening book 15, dictionary 20, atlas 30, field guide 14
  Textbooks: binding; book study; mathematics textbook 32, chemistry textbook 38, grammar 16, law commentary 65, programming book 29
  Comics & Magazines: paper; comic reading; graphic novel 16, comic album 12, manga series 45, magazine collection 25, annual 14
  Vinyl & CDs: vinyl; music record; jazz record 18, rock album 19, box set 55, single 6, orchestral recording 15, soundtrack 17, folk record 14
  Films & Series: paper; film home-cinema; film on disc 9, series box set 28, documentary 10, silent film collection 32
Toys & Children
  Building Sets: plastic wood; toy building; castle set 60, space set 75, set of building blocks 35, marble run 48, crane model 65
  Dolls & Figures: cloth plastic wood; toy doll; rag doll 22, dolls' house 95, action figure 18, teddy bear 28, puppet theatre 55, set of animals 20
  Games & Puzzles: paper wood; toy game; board game 32, jigsaw puzzle 16, chess set 58, card game 12, strategy game 45, wooden puzzle 15
  Trains & Cars: wood metal plastic; toy vehicle; wooden railway 48, model car 24, slot car track 75, pedal car 130, toy tractor 26
  Prams & Car Seats: cloth plastic; baby travel; pram 240, pushchair 160, child car seat 110, baby carrier 60
  Nursery: wood cloth; baby bedroom; cot 140, changing table 95, high chair 70, baby monitor 55, play mat 35, mobile 20
  Children's Clothing: cloth; children clothing; snowsuit 38, bundle of baby clothes 25, rain set 28, school bag 45, pair of wellingtons 15
Garden & DIY
  Hand Tools: metal wood; tool workshop; hammer 16, set of chisels 55, socket set 70, hand plane 65, saw 22, spirit level 20, vice 75, toolbox 48
  Power Tools: plastic metal; tool power-tool; cordless drill 95, circular saw 120, angle grinder 70, jigsaw 65, orbital sander 58, impact driver 110, pressure washer 130
  Plants & Seeds: plant; garden plant; fruit tree 35, rose bush 18, packet of seeds 4, house plant 16, lavender plant 8, box of bulbs 12, olive tree 75, herb collection 14
  Garden Furniture: wood metal plastic; garden furniture; garden bench 140, parasol 65, sun lounger 95, garden table 160, deck chair 38, swing seat 210
  Barbecues & Fire: metal; garden cooking; charcoal barbecue 110, gas barbecue 290, fire bowl 85, smoker 180, pizza oven 260
  Gardening: metal plastic; garden tool; lawn mower 210, hedge trimmer 85, wheelbarrow 60, greenhouse 340, watering can 18, garden hose 32, composter 48, spade 28
  Building Materials: stone wood metal; building material; box of floor tiles 42, pallet of bricks 160, roof window 240, interior door 95, parquet flooring 190, bag of cement 9
Vehicles & Parts
  Car Parts: metal plastic; car part; roof rack 110, tow bar 130, car radio 95, brake disc 55, headlight 80, car battery 75, set of floor mats 28, dash camera 65
  Tyres & Wheels: metal rubber; car wheel; set of winter tyres 260, set of summer tyres 240, alloy wheel 110, snow chains 40
  Motorcycles: metal; motorcycle vehicle; scooter 1350, touring motorcycle 4200, vintage moped 890, trail motorcycle 2300
  Motorcycle Gear: leather cloth; motorcycle clothing; motorcycle jacket 140, motorcycle helmet 120, pair of gloves 45, motorcycle boots 110, tank bag 55
  Trailers & Caravans: metal; trailer travel; luggage trailer 480, horse trailer 2900, folding caravan 3400, bicycle trailer 160
  Boats: wood plastic; boat water-sport; rowing boat 780, sailing dinghy 1650, outboard motor 620, inflatable boat 340, anchor 48
Collectables & Art
  Antiques: wood metal ceramic; antique collectable; longcase clock 780, writing box 120, gramophone 210, barometer 95, sewing machine 85, oil lamp 60, steamer trunk 140
  Coins & Stamps: precious paper; coin collectable; silver coin 38, stamp album 55, commemorative medal 24, banknote collection 60, gold coin 480, first-day cover 9
  Paintings & Prints: paper; art collectable; watercolour 110, oil painting 320, etching 85, lithograph 120, poster 25, map 60, photograph 45
  Ceramics & Glass: ceramic glass; art collectable; figurine 45, paperweight 38, studio vase 95, tile panel 140, decanter 60
  Model Making: plastic metal wood; model hobby; model railway engine 110, model aircraft kit 32, ship model 140, figure painting set 28, model house 24
  Memorabilia: paper cloth; collectable nostalgia; enamel sign 75, signed photograph 60, concert poster 40, football shirt 55, advertising tin 22, postcard collection 35
Musical Instruments
  Guitars
    Acoustic Guitars: wood; guitar music; folk guitar 220, classical guitar 260, twelve-string guitar 310, ukulele 65, travel guitar 150
    Electric Guitars: wood; guitar music; electric guitar 390, bass guitar 340, guitar amplifier 230, effects pedal 85
  Keyboards & Pianos: wood plastic; piano music; digital piano 480, upright piano 1100, synthesiser 420, stage piano 690, accordion 520, piano stool 70
  Drums & Percussion: wood metal; drums music; drum kit 430, snare drum 140, cymbal 110, djembe 95, cajon 80, glockenspiel 38
  Wind Instruments: metal wood; wind music; trumpet 260, alto saxophone 640, clarinet 290, transverse flute 320, recorder 28, harmonica 32
  String Instruments: wood; strings music; violin 380, cello 980, viola 450, bow 110, mandolin 190, violin case 75
  Studio & Stage: metal plastic; studio music; condenser microphone 150, audio interface 130, mixing desk 280, music stand 25, monitor loudspeaker 190, cable set 18
Pets
  Dogs: cloth leather plastic; dog pet; dog bed 48, dog lead 16, dog crate 75, dog coat 28, feeding bowl 12, agility set 40
  Cats: cloth wood plastic; cat pet; scratching post 45, cat carrier 32, litter box 28, cat tree 85, cat flap 34
  Aquariums: glass plastic; aquarium pet; aquarium 140, aquarium filter 38, aquarium light 52, terrarium 110, driftwood root 18
  Birds & Small Animals: wood metal; small-animal pet; bird cage 65, rabbit hutch 95, hamster cage 42, bird house 18, chicken coop 210
Office & Business
  Office Equipment: metal plastic; office business; laser printer 140, document scanner 160, shredder 55, label printer 70, filing cabinet 110, whiteboard 60
  Stationery: paper metal; office stationery; fountain pen 48, notebook 12, set of pencils 14, desk organiser 22, typewriter 120, sealing set 18
  Shop & Catering: metal wood; business catering; display counter 420, cash register 180, market stall 260, coffee bar machine 1450, shop shelf 95, chafing dish 65
  Machines & Workshop: metal; business workshop; lathe 1650, band saw 480, welding set 320, compressor 240, workbench 190, pillar drill 270
"""
"""One category a line, indented by depth: ``Name: materials; tags; noun and its usual price, …``."""


@dataclass(frozen=True)
class Ware:
    """A kind of thing, and what it usually costs in whole units of money."""

    noun: str
    price: int


@dataclass(frozen=True)
class Shelf:
    """A category. ``parent`` is the place of its parent in the list; one without ``wares`` only holds others."""

    name: str
    slug: str
    parent: int | None
    materials: tuple[str, ...]
    tags: tuple[str, ...]
    wares: tuple[Ware, ...]


@cache
def shelves() -> tuple[Shelf, ...]:
    """Return every category, parents before their children."""
    found: list[Shelf] = []
    path: list[int] = []
    for line in TREE.strip().splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, goods = line.strip().partition(":")
        materials, tags, wares = goods.split(";") if goods else ("", "", "")
        del path[depth:]
        found.append(
            Shelf(
                name=name,
                slug=slugify(name),
                parent=path[-1] if path else None,
                materials=tuple(materials.split()),
                tags=tuple(tags.split()),
                wares=tuple(_ware(ware) for ware in wares.split(",") if ware),
            )
        )
        path.append(len(found) - 1)
    return tuple(found)


def _ware(text: str) -> Ware:
    noun, _, price = text.strip().rpartition(" ")
    return Ware(noun, int(price))
