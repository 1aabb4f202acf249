"""Dutch words for time."""

from __future__ import annotations

from typing import Final

from agentgraph.temporal.lexicon.vocabulary import Words

CODE: Final = "nl"
WORDS: Final[Words] = {
    "relative_day": {
        -2: "eergisteren",
        -1: "gisteren",
        0: "vandaag",
        1: "morgen",
        2: "overmorgen",
    },
    "now": {0: "nu"},
    "shift": {
        -1: "vorige|vorig|afgelopen|laatste",
        0: "deze|dit|huidige",
        1: "volgende|volgend",
    },
    "coming": {1: "komende|komend|aankomende|aankomend|eerstvolgende"},
    "unit": {
        "second": "seconden",
        "minute": "minuut|minuten",
        "hour": "uur|uren",
        "day": "dag|dagen",
        "weekend": "weekend|weekeinde|weekenden",
        "week": "week|weken",
        "month": "maand|maanden",
        "quarter": "kwartaal|kwartalen",
        "half_year": "halfjaar",
        "year": "jaar|jaren",
        "decade": "decennium|decennia",
        "century": "eeuw|eeuwen",
    },
    "habit": {0: "elke|iedere"},
    "ago": {-1: "geleden|terug"},
    "later": {1: "later"},
    "edge": {
        "start": "begin|begin van|het begin van|aan het begin van",
        "middle": "midden|half|medio|midden van",
        "end": "eind|einde van|eind van|het einde van|aan het eind van",
    },
    "month": {
        1: "januari",
        2: "februari",
        3: "maart|mrt",
        4: "april",
        5: "mei",
        6: "juni",
        7: "juli",
        8: "augustus",
        9: "september",
        10: "oktober|okt",
        11: "november",
        12: "december",
    },
    "weekday": {
        0: "maandag",
        1: "dinsdag",
        2: "woensdag",
        3: "donderdag",
        4: "vrijdag",
        5: "zaterdag",
        6: "zondag",
    },
    "season": {
        0: "lente|voorjaar",
        1: "zomer",
        2: "herfst|najaar",
        3: "winter",
    },
    "part": {
        "morning": "ochtend|'s ochtends|ochtends|voormiddag|vanochtends",
        "noon": "middaguur",
        "afternoon": "middag|'s middags|middags|namiddag",
        "evening": "avond|'s avonds|avonds",
        "night": "nacht|'s nachts|nachts",
        "midnight": "middernacht",
    },
    "tonight": {
        "evening": "vanavond",
        "night": "vannacht",
        "morning": "vanochtend|vanmorgen",
        "afternoon": "vanmiddag",
    },
    "tomorrow_part": {
        "morning": "morgenochtend|morgenvroeg",
        "afternoon": "morgenmiddag",
        "evening": "morgenavond",
        "night": "morgennacht",
    },
    "last_night": {
        "morning": "gisterochtend|gistermorgen",
        "afternoon": "gistermiddag",
        "evening": "gisteravond",
        "night": "gisternacht",
    },
    "number": {
        1: "een|één",
        2: "twee|paar|een paar",
        3: "drie|enkele|enige",
        4: "vier",
        5: "vijf",
        6: "zes",
        7: "zeven",
        8: "acht",
        9: "negen",
        10: "tien",
        11: "elf",
        12: "twaalf",
        15: "vijftien",
        20: "twintig",
        30: "dertig",
    },
    "the": {0: "de|het"},
    "of": {0: "van"},
    "in": {0: "in|op|tijdens|gedurende|om"},
    "ahead": {1: "over|binnen"},
    "since": {0: "sinds|vanaf"},
    "between": {0: "tussen"},
    "until": {0: "tot|t/m|tot en met|tot aan|uiterlijk"},
    "and": {0: "en"},
    "before": {0: "voor|vóór"},
    "after": {0: "na"},
    "holiday": {
        "christmas": "kerst|kerstmis|eerste kerstdag",
        "boxing": "tweede kerstdag",
        "christmas_eve": "kerstavond",
        "new_year_eve": "oudejaarsavond|oud en nieuw|oudjaar",
        "new_year": "nieuwjaar|nieuwjaarsdag",
        "easter": "pasen|eerste paasdag",
        "easter_monday": "tweede paasdag|paasmaandag",
        "pentecost": "pinksteren",
        "ascension": "hemelvaart|hemelvaartsdag",
        "good_friday": "goede vrijdag",
    },
}
CUES: Final = (
    "na de het een en ik je jij hij zij wij we van op is niet dat die wat waar wanneer hoe met voor mijn ben was heb "
    "heeft hebben zijn gekocht gegaan gedaan deed ging had er naar ook maar om te vergadering afspraak gesproken "
    "hebt"
)
PAST: Final = "deed gedaan gegaan gekocht gesproken gezegd ging had heb waren was"
FUTURE: Final = "ga gaan wil zal zullen"
EVERYDAY: Final = ""
WEAK: Final = (
    "morgen|over|week|weekend|begin|half|een|de|het|van|en|in|op|om|na|voor|tot|terug|later|elf|acht|winter|midden|"
    "paar|mei|juni|juli|september|november|december|april|vier|nu|jaren|eeuw|dag|uur|middag|avond|enige|eind|"
    "laatste|medio|mrt"
)
