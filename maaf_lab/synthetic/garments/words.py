"""The words people use for garments: synonyms for each attribute, separated by "|".

Phrases come in two forms: "is" ones follow *is* ("striped", "more fitted"), "has" ones follow *has* ("stripes", "a v neck").
Placeholders such as {second}, {belt} or {motif} are filled in by `captions`.
"""

from __future__ import annotations

COLOR_NAMES = {  # the first, plain name is used most
    "black": "black|jet black|dark black|ebony|coal black|pitch black|onyx",
    "white": "white|bright white|snow white|pure white|bleached white",
    "grey": "grey|gray|heather grey|ash gray|medium grey|slate|smoky gray|stone grey",
    "red": "red|bright red|scarlet|crimson|cherry red|tomato red|ruby red|fire red",
    "maroon": "maroon|burgundy|wine red|wine colored|dark red|oxblood|merlot",
    "pink": "pink|light pink|rose|bubblegum pink|baby pink|blush pink|rosy pink",
    "orange": "orange|bright orange|tangerine|pumpkin|orangey|pumpkin orange",
    "yellow": "yellow|golden yellow|mustard|sunny yellow|canary yellow|lemon|bright yellow",
    "green": "green|emerald|kelly green|grass green|jade|forest green|medium green",
    "olive": "olive|olive green|army green|military green|moss green|khaki green",
    "teal": "teal|turquoise|blue green|peacock|dark aqua|teal green|dark turquoise",
    "light blue": "light blue|sky blue|baby blue|pale blue|powder blue|pastel blue|soft blue",
    "blue": "blue|royal blue|cobalt|sapphire|bright blue|cobalt blue|medium blue",
    "navy": "navy|navy blue|dark blue|midnight blue|indigo|very dark blue",
    "purple": "purple|violet|plum|eggplant|grape|amethyst|royal purple",
    "brown": "brown|chocolate brown|coffee colored|chestnut|cocoa|mocha|chocolate",
    "beige": "beige|tan|cream colored|sand colored|camel|nude|oatmeal|light tan",
}
COLOR_IS = "{c}|{c} colored|{c} in color|{c} coloured|in {c}|{c} toned|a {c} color|more {plain}"
SOLID_IS = "solid {c}|all {c}|plain {c}|completely {c}|{c} all over|entirely {c}|just plain {c}"
TWO_IS = "{c} and {d}|{c} with {d}|mostly {c} with some {d}|{c} and {d} colored"
TWO_IS_EVEN = "{c} and {d}|{c} with {d}|both {c} and {d}|{c} and {d} colored"  # where neither color is the ground
SECOND_HAS = "{d} accents|some {d} in it|{d} details|{d} coloring|touches of {d}"

PATTERN_IS = {
    "solid": "solid|plain|solid colored|a solid color|one color|monochromatic|unpatterned|one solid color|simpler|more plain|"
    "less patterned|less busy|less printed",
    "striped": "striped|stripey|more striped|striped all over|{direction} striped",
    "plaid": "plaid|checkered|checked|tartan|plaid patterned|flannel looking|gingham like",
    "floral": "floral|flowery|floral printed|more flowery|flower patterned|covered in flowers",
    "polka dot": "polka dotted|dotted|polka dot|covered in dots",
    "animal": "leopard print|animal print|cheetah print|leopard printed|jungle print|leopard spotted",
    "graphic": "printed on the front|printed with {motif}|decorated with {motif}",
}
PATTERN_HAS = {
    "solid": "no pattern|no print|a plain design|no design|no prints on it|a solid color",
    "striped": "stripes|{direction} stripes|{second} stripes|a striped pattern|stripes going {way}|bold stripes|"
    "lines going {way}|{second} {direction} stripes|a striped design",
    "plaid": "a plaid pattern|a checkered print|checks|a tartan pattern|{second} plaid|a checked design|squares all over|"
    "a flannel pattern|crossing lines",
    "floral": "flowers|a floral print|a flower pattern|{second} flowers|a floral pattern|blossoms|a floral design|"
    "{second} floral designs|daisies on it|flowers all over|petals",
    "polka dot": "polka dots|dots|{second} polka dots|{second} dots|a dotted pattern|round dots all over|a polka dot print",
    "animal": "an animal print|a leopard print|leopard spots|a cheetah print|a wild cat print|{second} animal spots|"
    "a jungle pattern",
    "graphic": "a graphic|{motif}|{motif} on the front|{motif} on the chest|{motif} graphic|a {second} graphic|"
    "a picture on the front|an image of {motif}|{motif} printed on it|a picture of {motif}|{motif} in the middle|"
    "artwork on the front|a {second} image|a print of {motif}|an illustration on the chest",
}
GRAPHIC_NEW = (
    "a different graphic|a different picture|another image|a different image|{motif} instead of {old}|{motif} graphic|"
    "{motif} on it|another graphic on the chest|a different design on the front|a new print|different artwork|"
    "a different print with {motif}"
)
NO_PATTERN = {  # what the other garment has and this one lacks
    "striped": "no stripes|stripes removed",
    "plaid": "no plaid|no checks|no squares",
    "floral": "no flowers|no floral print|flowers removed",
    "polka dot": "no dots|no polka dots",
    "animal": "no animal print|no leopard print",
    "graphic": "no graphic|no picture|no image on the front|no {old}",
}
INSTEAD = {
    "solid": "a solid color",
    "striped": "stripes",
    "plaid": "plaid",
    "floral": "flowers",
    "polka dot": "dots",
    "animal": "animal print",
    "graphic": "a graphic",
}
WAYS = {
    "horizontal": "across|side to side|horizontally|left to right",
    "vertical": "up and down|vertically|top to bottom|lengthwise",
}
MOTIFS = {
    "star": "a star|a big star|a star shape",
    "heart": "a heart|a big heart|a love heart|a valentine heart",
    "text": "words|lettering|writing|text|letters|a slogan|a message|some wording|typography",
    "skull": "a skull|a skull face|a skeleton head|a scary skull",
    "cat": "a cat|a kitten|a kitty face|a cat face|a feline face",
    "sun": "a sun|a sunburst|a shining sun|a sunshine",
    "tree": "a tree|a pine tree|a fir tree|an evergreen|a forest tree",
    "flag": "a flag|a country flag|a patriotic flag|a banner flag",
}

SLEEVE_IS = {
    "none": "sleeveless|without sleeves|sleeve free|a sleeveless style",
    "short": "short sleeved|a short sleeve style",
    "elbow": "three quarter sleeved|half sleeved",
    "long": "long sleeved|full sleeved|a long sleeve style",
}
SLEEVE_HAS = {
    "none": "no sleeves|bare arms|uncovered arms|sleeves removed",
    "short": "short sleeves|tee shirt sleeves|t-shirt sleeves",
    "elbow": "three quarter sleeves|elbow length sleeves|3/4 sleeves|half sleeves|mid length sleeves|sleeves to the elbow",
    "long": "long sleeves|full sleeves|full length sleeves|wrist length sleeves|sleeves down to the wrist|covered arms",
}
SLEEVE_LONGER = "longer sleeves|{much} longer sleeves|longer arms|more sleeve|lengthier sleeves"
SLEEVE_SHORTER = "shorter sleeves|{much} shorter sleeves|shorter arms|less sleeve|reduced sleeves"

LENGTH_LONGER = "longer|{much} longer|longer in length|longer overall|lengthier|longer at the bottom"
LENGTH_SHORTER = "shorter|{much} shorter|shorter in length|shorter overall|higher at the hem|shorter at the bottom"
LENGTH_IS = {
    "dress": {
        "short": "above the knee|mini length|a mini dress|short in length|thigh length|a minidress",
        "medium": "knee length|midi length|mid length|down to the knee",
        "long": "floor length|ankle length|a maxi dress|full length|maxi length|long and sweeping|down to the floor",
    },
    "toptee": {
        "short": "cropped|a crop top|a cropped style|midriff baring|waist length",
        "medium": "hip length|a regular length",
        "long": "tunic length|a tunic|thigh length|a long tunic style",
    },
    "shirt": {"medium": "hip length|a regular length", "long": "thigh length|an extra long cut"},
}
LENGTH_HAS = {
    "dress": {
        "longer": "a longer skirt|a lower hemline|a longer hem",
        "shorter": "a shorter skirt|a higher hemline|a shorter hem",
    },
    "toptee": {"longer": "a longer hem|a longer body", "shorter": "a shorter hem|a shorter body"},
    "shirt": {"longer": "a longer hem|a longer body", "shorter": "a shorter hem|a shorter body"},
}

NECK_IS = {
    "collar": "collared|polo collared",
    "strapless": "strapless|a strapless style|a tube style|bare shouldered",
    "v": "v necked|v neck style",
    "halter": "halter style|a halter|halter necked|halter cut",
    "round": "crew necked|round necked",
    "scoop": "scoop necked",
    "boat": "boat necked",
}
NECK_HAS = {
    "round": "a round neck|a crew neck|a crewneck|a round neckline|a closed neck|a rounded neckline",
    "scoop": "a scoop neck|a scooped neckline|a low round neckline|a scoop neckline|a deep scoop",
    "v": "a v neck|a v neckline|a v-neck|a v shaped neck|a plunging v neckline|a pointed neckline",
    "boat": "a boat neck|a wide neckline|a bateau neckline|a straight wide neck|a boatneck",
    "collar": "a collar|a shirt collar|a pointed collar|a polo collar|a folded collar",
    "halter": "a halter neck|a halter top|a halter neckline|a halter strap|straps around the neck",
    "strapless": "no straps|a sweetheart neckline|a strapless top|bare shoulders|a strapless bust|nothing on the shoulders",
}
NECK_OTHER = "a different neckline|a different neck|another neckline|a changed neckline"
NECK_LOWER = "a lower neckline|a deeper neckline|a lower cut neck|a more open neck"
NECK_HIGHER = "a higher neckline|a higher neck|a less deep neckline|a more closed neck"
NO_COLLAR = "no collar|the collar removed"

FIT_TIGHTER = (
    "tighter|more fitted|slimmer|more form fitting|{much} tighter|more snug|tighter fitting|more body hugging|"
    "narrower|closer fitting|more tailored|slinkier"
)
FIT_LOOSER = (
    "looser|less fitted|baggier|roomier|more flowy|looser fitting|{much} looser|wider|more flowing|more relaxed|"
    "less tight|"
    "airier|more billowy|fuller"
)
FIT_IS = {
    "tight": "fitted|tight fitting|form fitting|slim|snug|skin tight|figure hugging|body hugging",
    "loose": "loose|loose fitting|flowy|flowing|baggy|roomy|oversized|free flowing|breezy",
}
DRESS_FIT_IS = {"tight": "bodycon|a sheath dress|a pencil shape", "loose": "flared|fit and flare|full skirted|swingy"}
FIT_HAS = {
    "tight": "a tighter fit|a slimmer cut|a snug shape|a fitted waist",
    "loose": "a looser fit|a wider cut|a relaxed fit|a roomy shape|more volume|more fabric",
}

STRAPS_HAS = {
    "thin": "thin straps|spaghetti straps|skinny straps|thinner straps|string straps|narrow straps|tiny straps",
    "wide": "wide straps|thicker straps|wider straps|tank straps|broad straps|thick straps",
}
SWITCH_HAS = {
    "buttons": "buttons|buttons down the front|a button front|a row of buttons|front buttons|a buttoned front|a button placket",
    "belt": "a belt|a {belt} belt|a belt around the waist|a belted waist|a buckle|a waist belt|a buckled belt",
    "logo": "a small logo|a logo on the chest|an emblem|a badge|a small star logo|a round logo|a chest emblem|a little patch",
    "ruffles": "ruffles|frills|a ruffled hem|ruffles at the bottom|a frilly hem|a ruffle trim|ruffled edges|layered frills",
    "pocket": "a pocket|a chest pocket|a breast pocket|a front pocket|a pocket on the front",
}
SWITCH_IS = {
    "buttons": "button up|buttoned|button down|buttoned up",
    "belt": "belted|cinched with a belt|belted at the waist",
    "logo": "marked with a logo",
    "ruffles": "ruffled|frilly|more frilly|ruffled at the bottom|frillier",
    "pocket": "pocketed",
}
SWITCH_GONE = {
    "buttons": "no buttons|fewer buttons|buttons removed",
    "belt": "no belt|an unbelted waist|the belt removed",
    "logo": "no logo|no emblem|no badge",
    "ruffles": "no ruffles|no frills|a plain hem|a straight hem",
    "pocket": "no pocket|no pockets|the pocket removed",
}

DARKER = (
    "darker|darker in color|{much} darker|a darker color|deeper in color|a darker shade|darker colored|less bright|darker toned"
)
LIGHTER = (
    "lighter|lighter in color|{much} lighter|a lighter color|paler|a lighter shade|lighter colored|brighter|"
    "brighter in color|"
    "less dark|lighter toned"
)
MORE_REVEALING = "more revealing|{much} more revealing|less modest|less covered|more skin baring|skimpier|less conservative"
LESS_REVEALING = "less revealing|more modest|more covered|more conservative|less skin baring|more covered up"

SAME_IS = {
    "length": "the same length|similar in length",
    "color": "the same color|similar in color",
    "fit": "similar in fit|the same fit",
}
SAME_HAS = {
    "sleeve": "the same sleeves|similar sleeves|the same sleeve length",
    "neck": "the same neckline|a similar neck",
    "pattern": "the same pattern|a similar pattern|the same print",
    "color": "the same color",
    "length": "the same length",
    "fit": "a similar fit",
}

# Subjective impressions, by what may have prompted them.
VAGUE = {
    "any": "more casual|more elegant|more stylish|more modern|more fun|more feminine|trendier|more unique|nicer|"
    "more fashionable|prettier|"
    "more interesting|cuter|more classic|more youthful|more everyday|different|more eye catching|more polished|more chic|"
    "better looking|more hip|cooler",
    "long": "more formal|more elegant|dressier|more sophisticated|more mature|classier|more evening appropriate|more romantic|"
    "regal",
    "short": "more flirty|sexier|more playful|more summery|younger looking|sassier|more party like|more daring",
    "covered": "more work appropriate|more professional|warmer looking|more wintry|more businesslike|more autumnal|cozier",
    "bare": "more summery|beachier|sexy|more sultry|cooler for summer|more alluring|more vacation like",
    "floral": "more feminine|girlier|more tropical|more spring like|more romantic|prettier|hawaiian looking|gardeny|bohemian",
    "plaid": "more country|lumberjack like|more rustic|western looking|more preppy|outdoorsy|scottish looking|more rugged",
    "striped": "more nautical|preppier|more sporty|sailor like|more french looking|more geometric",
    "polka dot": "more retro|more vintage|more playful|quirkier|pin up style|more whimsical|fifties style",
    "animal": "wilder|more exotic|edgier|fiercer|more bold|more glamorous|sassy|more daring",
    "graphic": "more whimsical|more fun|more casual|edgier|more humorous|sillier|more artistic|more youthful|cartoonish|"
    "more laid back",
    "solid": "more basic|simpler|more subtle|more minimalist|understated|more muted|less flashy|cleaner looking|more versatile",
    "dark": "more gothic|moodier|more mysterious|more serious|more dramatic|more somber|slimming",
    "light": "fresher|more cheerful|sunnier|more airy|softer looking|more delicate|happier",
    "tight": "sexier|more sleek|curvier|more seductive|more streamlined|clubby|more slimming",
    "loose": "more comfortable|more relaxed|breezier|more bohemian|more laid back|comfier|more easygoing",
}
MUCH = "much|a lot|way|noticeably|far|considerably|a good deal"
A_LITTLE = "slightly|a bit|a little|somewhat|just a little|a touch|a tad"
NOUNS = {
    "dress": "dress|gown|outfit|garment|item|one|frock",
    "shirt": "shirt|top|garment|item|one|piece of clothing",
    "toptee": "top|shirt|blouse|garment|item|one|piece",
}
MISSPELLED = {
    "sleeves": "sleves",
    "sleeveless": "sleevless",
    "pattern": "patern",
    "striped": "stiped",
    "length": "lenght",
    "colored": "colred",
    "neckline": "necklin",
    "revealing": "revealling",
    "different": "diferent",
    "graphic": "grahpic",
    "longer": "loger",
    "shorter": "shoter",
    "lighter": "ligher",
    "darker": "darkr",
    "straps": "starps",
    "buttons": "buttos",
}
