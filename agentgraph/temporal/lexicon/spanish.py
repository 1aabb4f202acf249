"""Spanish words for time."""

from __future__ import annotations

from typing import Final

from agentgraph.temporal.lexicon.vocabulary import Words

CODE: Final = "es"
WORDS: Final[Words] = {
    "relative_day": {
        -2: "anteayer|antes de ayer|antier",
        -1: "ayer",
        0: "hoy",
        1: "mañana",
        2: "pasado mañana",
    },
    "now": {0: "ahora|ahora mismo"},
    "shift": {
        -1: "última|último|últimas|últimos|ultima|ultimo|ultimas|ultimos|pasados|pasadas",
        0: "este|esta|estos|estas",
        1: "siguientes",
    },
    "shift_either": {1: "próximo|próxima|próximos|próximas|proximo|proxima|proximos|proximas"},
    "shift_after": {
        -1: "pasada|pasado|anterior",
        1: "que viene|siguiente|entrante",
        -2: "antepasado|antepasada",
    },
    "unit": {
        "second": "segundos",
        "minute": "minuto|minutos",
        "hour": "hora|horas",
        "day": "día|días|dia|dias",
        "weekend": "fin de semana|fines de semana|finde",
        "week": "semana|semanas",
        "fortnight": "quincena|quincenas",
        "month": "mes|meses",
        "quarter": "trimestre|trimestres",
        "half_year": "semestre|semestres",
        "year": "año|años",
        "decade": "década|décadas",
        "century": "siglo|siglos",
    },
    "ago_before": {-1: "hace|hace ya|hará|hace unos|hace unas"},
    "ago": {-1: "atrás|atras"},
    "later": {1: "más tarde|después de hoy"},
    "edge": {
        "start": "principios de|a principios de|comienzos de|a comienzos de|inicios de|a inicios de|principio de",
        "middle": "mediados de|a mediados de",
        "end": "finales de|a finales de|fines de|a fines de|fin de|final de",
    },
    "habit": {0: "cada"},
    "month": {
        1: "enero",
        2: "febrero",
        3: "marzo",
        4: "abril",
        5: "mayo",
        6: "junio",
        7: "julio",
        8: "agosto",
        9: "septiembre|setiembre",
        10: "octubre",
        11: "noviembre",
        12: "diciembre",
    },
    "weekday": {
        0: "lunes",
        1: "martes",
        2: "miércoles|miercoles",
        3: "jueves",
        4: "viernes",
        5: "sábado|sabado",
        6: "domingo",
    },
    "season": {
        0: "primavera",
        1: "verano",
        2: "otoño",
        3: "invierno",
    },
    "part": {
        "morning": "por la mañana|de la mañana|en la mañana",
        "noon": "mediodía|mediodia",
        "afternoon": "por la tarde|de la tarde|en la tarde|tarde",
        "night": "por la noche|de la noche|en la noche|noche",
        "midnight": "medianoche",
    },
    "tonight": {
        "night": "esta noche|hoy por la noche",
        "morning": "esta mañana",
        "afternoon": "esta tarde",
    },
    "last_night": {"night": "anoche|ayer por la noche"},
    "number": {
        1: "uno|un|una",
        2: "dos|un par de",
        3: "tres|unos|unas|unos pocos|unas pocas|algunos|algunas",
        4: "cuatro",
        5: "cinco",
        6: "seis",
        7: "siete",
        8: "ocho",
        9: "nueve",
        10: "diez",
        11: "once",
        12: "doce",
        15: "quince",
        20: "veinte",
        30: "treinta",
    },
    "the": {0: "el|la|los|las"},
    "of": {0: "de|del|de la"},
    "in": {0: "en|durante|dentro de|en el|en la|al|a las|a la"},
    "since": {0: "a partir de|a partir del|desde|desde el|desde la"},
    "between": {0: "entre"},
    "to": {0: "a"},
    "until": {0: "hasta|hasta el|hasta la"},
    "and": {0: "y"},
    "before": {0: "antes de|antes del|antes de la"},
    "after": {0: "después de|después del|despues de|despues del|tras"},
    "holiday": {
        "christmas": "navidad|navidades",
        "christmas_eve": "nochebuena",
        "new_year_eve": "nochevieja|fin de año",
        "new_year": "año nuevo",
        "epiphany": "día de reyes|dia de reyes|reyes magos",
        "easter": "pascua|domingo de pascua|domingo de resurrección",
        "holy_week": "semana santa",
        "good_friday": "viernes santo",
        "all_saints": "todos los santos",
        "all_souls": "día de muertos|dia de los muertos|día de los muertos",
        "valentine": "san valentín|san valentin",
    },
}
CUES: Final = (
    "el los las una un que de del en y es por con para mi mis tu su se lo qué cuándo cuando dónde donde cómo fue "
    "era hice hizo compré compró dije dijo no sí está estoy soy eres fui fuimos vi voy vamos me te nos hablamos "
    "hicimos pasó tengo la reunión al cita compre"
)
PAST: Final = "compré compró comí dije dijo era eran estuve estuvo fue fui hablamos hice hicimos hizo pasó vi vio"
FUTURE: Final = "haré iré quiero será tendré va vamos voy"
EVERYDAY: Final = "abril marzo julio domingo"
WEAK: Final = (
    "este|esta|estos|estas|un|una|uno|dos|tres|unos|unas|once|mes|hora|tarde|noche|a|el|la|los|las|de|del|de la|en|"
    "al|y|a la|desde|entre|tras|domingo|pascua|mayo|final de|fin de|en el|en la|pasado|pasada|anterior|seis|siete|"
    "pasados|pasadas|ultima|ultimo|trimestre|semestre|dia|dias|martes|marzo|diez|minuto|segundos|siglo|siglos|"
    "navidad"
)
