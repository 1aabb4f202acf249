"""French words for time."""

from __future__ import annotations

from typing import Final

from agentgraph.temporal.lexicon.vocabulary import Words

CODE: Final = "fr"
WORDS: Final[Words] = {
    "relative_day": {
        -2: "avant-hier|avant hier",
        -1: "hier",
        0: "aujourd'hui|aujourdhui",
        1: "demain",
        2: "après-demain|après demain|apres demain",
    },
    "now": {0: "maintenant"},
    "shift": {0: "ce|cette|cet|ces"},
    "shift_either": {
        -1: "dernière|dernier|dernières|derniers|derniere|dernieres",
        1: "prochain|prochaine|prochains|prochaines",
    },
    "shift_after": {
        -1: "passé|passée|passe|précédent|précédente",
        1: "suivant|suivante|qui vient",
    },
    "unit": {
        "second": "secondes",
        "minute": "minute|minutes",
        "hour": "heure|heures",
        "day": "jour|jours|journée",
        "weekend": "weekend|week end|fin de semaine",
        "week": "semaine|semaines",
        "fortnight": "quinzaine|quinze jours",
        "month": "mois",
        "quarter": "trimestre|trimestres",
        "half_year": "semestre|semestres",
        "year": "an|ans|année|années|annee|annees",
        "decade": "décennie|décennies",
        "century": "siècle|siècles",
    },
    "ago_before": {-1: "il y a|il y a environ|voilà|voici"},
    "later": {1: "plus tard"},
    "edge": {
        "start": "début|au début de|au début du|début de|au début d'|le début de",
        "middle": "mi|milieu de|au milieu de|au milieu du",
        "end": "fin|à la fin de|à la fin du|fin de|la fin de",
    },
    "habit": {0: "chaque"},
    "month": {
        1: "janvier|janv",
        2: "février|fevrier|févr",
        3: "mars",
        4: "avril",
        5: "mai",
        6: "juin",
        7: "juillet|juil",
        8: "août|aout",
        9: "septembre",
        10: "octobre",
        11: "novembre",
        12: "décembre|decembre|déc",
    },
    "weekday": {
        0: "lundi",
        1: "mardi",
        2: "mercredi",
        3: "jeudi",
        4: "vendredi",
        5: "samedi",
        6: "dimanche",
    },
    "season": {
        0: "printemps",
        1: "été",
        2: "automne",
        3: "hiver|l'hiver",
    },
    "part": {
        "morning": "matin|matinée|du matin|au matin",
        "noon": "midi",
        "afternoon": "après-midi|après midi|apres midi|de l'après-midi",
        "evening": "soir|soirée|du soir|au soir",
        "night": "nuit",
        "midnight": "minuit",
    },
    "tonight": {
        "night": "cette nuit",
        "evening": "ce soir",
    },
    "last_night": {
        "evening": "hier soir",
        "morning": "hier matin",
        "afternoon": "hier après-midi",
    },
    "number": {
        1: "un|une",
        2: "deux|une paire de",
        3: "trois|quelques",
        4: "quatre",
        5: "cinq",
        6: "six",
        7: "sept",
        8: "huit",
        9: "neuf",
        10: "dix",
        11: "onze",
        12: "douze",
        15: "quinze",
        20: "vingt",
        30: "trente",
    },
    "ordinal": {1: "1er|1ère|premier|première"},
    "the": {0: "le|la|les|l'"},
    "of": {0: "de|du|d'|de la|de l'"},
    "in": {0: "en|dans|pendant|durant|au|à|au cours de|d'ici"},
    "from": {0: "du"},
    "since": {0: "depuis|depuis le|depuis la|à partir de|à partir du|dès"},
    "between": {0: "entre"},
    "to": {0: "au|à"},
    "until": {0: "jusqu'à|jusqu'au|jusqu'en|jusque"},
    "and": {0: "et"},
    "before": {0: "avant|avant le|avant la"},
    "after": {0: "après|après le|après la"},
    "holiday": {
        "christmas": "noël|noel|jour de noël",
        "christmas_eve": "veille de noël|réveillon de noël",
        "new_year_eve": "saint-sylvestre|saint sylvestre|réveillon",
        "new_year": "nouvel an|jour de l'an",
        "easter": "pâques|paques|dimanche de pâques",
        "easter_monday": "lundi de pâques",
        "pentecost": "pentecôte|pentecote",
        "bastille": "fête nationale",
        "all_saints": "toussaint",
        "valentine": "saint-valentin|saint valentin",
    },
}
CUES: Final = (
    "en le les une un des est et que qui je tu il elle nous vous ils de du dans pour pas au aux sur avec mon ma mes "
    "son ses ai était étais suis sont été avons avez ont fait quoi quand où comment c'est j'ai qu'est-ce ce ne se "
    "parlé acheté vu allé réunion rendez-vous l'an d'été"
)
PAST: Final = "acheté ai allé avons dit fait mangé parlé passé vu étais était étions"
FUTURE: Final = "allons ferai irai sera va vais veux"
EVERYDAY: Final = "mars mai"
WEAK: Final = (
    "hier|mars|mai|an|ans|ce|cette|ces|cet|un|une|six|sept|dix|neuf|le|la|les|de|du|de la|en|au|à|et|mi|fin|"
    "dernier|passe|été|minute|minutes|jour|avant|weekend|week end|week-end|midi|noel|trimestre|semestre|cinq|onze|"
    "voilà|voici|dans|soir|nuit|mois|premier|août|aout|juin|siècle|entre|depuis|suivant|réveillon|d'|l'|minuit|"
    "automne|matin|fin de|semestres"
)
