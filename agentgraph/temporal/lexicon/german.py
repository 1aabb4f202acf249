"""German words for time."""

from __future__ import annotations

from typing import Final

from agentgraph.temporal.lexicon.vocabulary import Words

CODE: Final = "de"
WORDS: Final[Words] = {
    "relative_day": {
        -2: "vorgestern",
        -1: "gestern",
        0: "heute",
        1: "morgen",
        2: "übermorgen|uebermorgen",
    },
    "now": {0: "jetzt"},
    "shift": {
        -1: "letzte|letzten|letzter|letztes|letztem|vorige|vorigen|voriges|vorigem|voriger|vergangene|vergangenen|"
        "vergangenes|vergangener|vergangenem",
        0: "diese|diesen|dieser|dieses|diesem|aktuellen|aktuelle|laufenden",
        1: "nächste|nächsten|nächster|nächstes|nächstem|naechste|naechsten|folgende|folgenden",
        2: "übernächste|übernächsten|übernächster|übernächstes",
        -2: "vorletzte|vorletzten|vorletzter|vorletztes",
    },
    "coming": {1: "kommende|kommenden|kommender|kommendes|kommendem"},
    "unit": {
        "second": "sekunden",
        "minute": "minute|minuten",
        "hour": "stunde|stunden",
        "day": "tag|tage|tagen|tages",
        "weekend": "wochenende|wochenenden",
        "week": "woche|wochen",
        "month": "monat|monate|monaten|monats",
        "quarter": "quartal|quartale|quartals",
        "half_year": "halbjahr",
        "year": "jahr|jahre|jahren|jahres",
        "decade": "jahrzehnt|jahrzehnte|jahrzehnten",
        "century": "jahrhundert|jahrhunderte",
    },
    "ago_before": {-1: "vor|vor etwa|vor ungefähr|vor rund"},
    "later": {1: "später"},
    "edge": {
        "start": "anfang|anfang des|beginn|zu beginn des|am anfang des",
        "middle": "mitte|mitte des",
        "end": "ende|ende des|am ende des",
    },
    "habit": {0: "jeden|jede|jedes|jedem"},
    "month": {
        1: "januar|jänner",
        2: "februar",
        3: "märz|maerz",
        4: "april",
        5: "mai",
        6: "juni",
        7: "juli",
        8: "august",
        9: "september",
        10: "oktober|okt",
        11: "november",
        12: "dezember|dez",
    },
    "weekday": {
        0: "montag|montags",
        1: "dienstag",
        2: "mittwoch",
        3: "donnerstag",
        4: "freitag",
        5: "samstag|sonnabend",
        6: "sonntag",
    },
    "season": {
        0: "frühling|frühjahr",
        1: "sommer",
        2: "herbst",
        3: "winter",
    },
    "part": {
        "morning": "früh|vormittag|vormittags|morgens|am morgen",
        "noon": "mittag|mittags",
        "afternoon": "nachmittag|nachmittags",
        "evening": "abend|abends",
        "night": "nacht|nachts",
        "midnight": "mitternacht",
    },
    "tonight": {
        "evening": "heute abend",
        "night": "heute nacht",
        "morning": "heute morgen|heute früh",
    },
    "tomorrow_part": {"morning": "morgen früh|morgen vormittag"},
    "last_night": {"night": "letzte nacht"},
    "number": {
        1: "ein|eine|einem|einer|einen|eins",
        2: "zwei|paar|ein paar|einem paar",
        3: "drei|einige|einigen|mehreren",
        4: "vier",
        5: "fünf",
        6: "sechs",
        7: "sieben",
        8: "acht",
        9: "neun",
        10: "zehn",
        11: "elf",
        12: "zwölf",
        15: "fünfzehn",
        20: "zwanzig",
        30: "dreißig",
    },
    "the": {0: "der|die|das|den|dem|des"},
    "in": {0: "in|im|am|an|während|um|innerhalb von|zu"},
    "from": {0: "von|vom"},
    "since": {0: "seit|seit dem|ab|ab dem"},
    "between": {0: "zwischen"},
    "until": {0: "bis|bis zum|bis zur|bis spätestens|spätestens"},
    "and": {0: "und"},
    "before": {0: "vor|vor dem|vor der"},
    "after": {0: "nach|nach dem|nach der"},
    "year_word": {0: "jahr"},
    "oclock": {0: "uhr"},
    "holiday": {
        "christmas": "weihnachten|erster weihnachtstag",
        "christmas_eve": "heiligabend|heilig abend|heiliger abend",
        "boxing": "zweiter weihnachtstag",
        "new_year_eve": "silvester",
        "new_year": "neujahr",
        "easter": "ostern|ostersonntag",
        "easter_monday": "ostermontag",
        "good_friday": "karfreitag",
        "pentecost": "pfingsten|pfingstsonntag",
        "whit_monday": "pfingstmontag",
        "ascension": "christi himmelfahrt|himmelfahrt",
        "german_unity": "tag der deutschen einheit",
        "carnival_monday": "rosenmontag",
        "nicholas": "nikolaus",
    },
}
CUES: Final = (
    "um der die das den dem ein eine ich du er sie wir ihr und ist nicht mit für auf von zu im am hier was wann wo "
    "wie war habe hat haben gekauft gegangen gemacht gesprochen mein meine bin sind waren wurde hatte ging kaufte "
    "sagte termin treffen uns mich über auch passiert"
)
PAST: Final = "gegangen gekauft gemacht gesprochen ging habe haben hat hatte sagte war waren wurde"
FUTURE: Final = "möchte werde werden will wird"
EVERYDAY: Final = ""
WEAK: Final = (
    "morgen|in|im|am|an|um|zu|ab|vor|nach|von|vom|die|das|der|den|dem|des|ein|eine|acht|elf|vier|tag|mai|april|"
    "august|september|november|juni|juli|winter|minute|paar|bis|jahr|ende|mitte|herbst|okt|dez|einen|einem|einer|"
    "abend|nacht|mittag|nikolaus|anfang|beginn|früh|folgende|herbst|und|seit|diese|dieser|silvester|sommer|"
    "neun|rosenmontag"
)
