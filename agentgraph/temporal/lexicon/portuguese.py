"""Portuguese words for time."""

from __future__ import annotations

from typing import Final

from agentgraph.temporal.lexicon.vocabulary import Words

CODE: Final = "pt"
WORDS: Final[Words] = {
    "relative_day": {
        -2: "anteontem|antes de ontem",
        -1: "ontem",
        0: "hoje",
        1: "amanhã|amanha",
        2: "depois de amanhã|depois de amanha",
    },
    "now": {0: "agora"},
    "shift": {
        -1: "última|último|últimas|últimos|passados|passadas",
        0: "este|esta|estes|estas|neste|nesta|nestes|nestas|deste|desta",
    },
    "shift_either": {1: "próximo|próxima|próximos|próximas|proximo|proxima"},
    "shift_after": {
        -1: "passada|passado|anterior",
        1: "que vem|seguinte",
        -2: "retrasado|retrasada",
    },
    "unit": {
        "second": "segundos",
        "minute": "minuto|minutos",
        "hour": "hora|horas",
        "day": "dia|dias",
        "weekend": "fim de semana|fins de semana|final de semana",
        "week": "semana|semanas",
        "fortnight": "quinzena",
        "month": "mês|meses|mes",
        "quarter": "trimestre|trimestres",
        "half_year": "semestre|semestres",
        "year": "ano|anos",
        "decade": "década|décadas",
        "century": "século|séculos",
    },
    "ago_before": {-1: "há|há cerca de|faz"},
    "ago": {-1: "atrás|atras"},
    "later": {1: "mais tarde|depois de hoje"},
    "edge": {
        "start": "início de|início do|no início de|no início do|começo de|começo do|no começo de|no começo do",
        "middle": "meados de|em meados de|meio de|no meio de|no meio do",
        "end": "fim de|fim do|no fim de|no fim do|final de|final do|no final de|no final do",
    },
    "habit": {0: "toda|todas as"},
    "month": {
        1: "janeiro",
        2: "fevereiro",
        3: "março",
        4: "abril",
        5: "maio",
        6: "junho",
        7: "julho",
        8: "agosto",
        9: "setembro",
        10: "outubro",
        11: "novembro",
        12: "dezembro",
    },
    "weekday": {
        0: "segunda-feira|segunda feira|segunda",
        1: "terça-feira|terça feira|terça|terca-feira",
        2: "quarta-feira|quarta feira|quarta",
        3: "quinta-feira|quinta feira|quinta",
        4: "sexta-feira|sexta feira|sexta",
        5: "sábado|sabado",
        6: "domingo",
    },
    "season": {
        0: "primavera",
        1: "verão",
        2: "outono",
        3: "inverno",
    },
    "part": {
        "morning": "de manhã|da manhã|pela manhã|manhã",
        "noon": "meio-dia|meio dia",
        "afternoon": "à tarde|da tarde|de tarde|tarde",
        "night": "à noite|da noite|de noite|noite",
        "midnight": "meia-noite|meia noite",
    },
    "tonight": {
        "night": "hoje à noite|esta noite",
        "morning": "esta manhã|hoje de manhã",
        "afternoon": "esta tarde|hoje à tarde",
    },
    "last_night": {"night": "ontem à noite"},
    "number": {
        1: "um|uma",
        2: "dois|duas|um par de",
        3: "três|alguns|algumas|uns|umas|tres",
        4: "quatro",
        5: "cinco",
        6: "seis",
        7: "sete",
        8: "oito",
        9: "nove",
        10: "dez",
        11: "onze",
        12: "doze",
        15: "quinze",
        20: "vinte",
        30: "trinta",
    },
    "other": {0: "rio de janeiro|segunda vez|segunda mão|quarta vez|quinta vez|sexta vez"},
    "the": {0: "o|a|os|as"},
    "of": {0: "de|do|da"},
    "in": {0: "em|no|na|nos|nas|durante|dentro de|daqui a|às"},
    "since": {0: "a partir de|desde|desde o|desde a"},
    "between": {0: "entre"},
    "to": {0: "a|ao"},
    "until": {0: "até|até o|até a|até ao"},
    "and": {0: "e"},
    "before": {0: "antes de|antes do|antes da"},
    "after": {0: "depois de|depois do|depois da|após"},
    "holiday": {
        "christmas": "natal",
        "christmas_eve": "véspera de natal",
        "new_year_eve": "véspera de ano novo|réveillon",
        "new_year": "ano novo",
        "easter": "páscoa",
        "good_friday": "sexta-feira santa|sexta feira santa",
        "shrove_tuesday": "carnaval",
    },
}
CUES: Final = (
    "o os as um uma que de do da das em no na e é eu você ele ela nós eles meu minha por para com não foi era fiz "
    "fez comprei comprou disse está estou são fomos vi vou vamos me se quando onde como falamos aconteceu reunião "
    "tenho fui"
)
PAST: Final = "aconteceu comi comprei comprou disse era estive falamos fez fiz fizemos foi fui vi"
FUTURE: Final = "farei quero será vai vamos vou"
# The ordinals double as weekdays ("a sexta sinfonia"): alone they name none.
EVERYDAY: Final = "domingo segunda quarta quinta sexta"
WEAK: Final = (
    "este|esta|hora|horas|dia|dias|mes|ano|anos|minuto|tarde|noite|um|uma|uns|tres|o|a|os|as|de|do|da|em|no|na|nos|"
    "nas|e|ao|faz|natal|segunda|terça|quarta|quinta|sexta|passado|passada|anterior|seguinte|desde|entre|dez|onze|"
    "seis|abril|durante|julho|carnaval|trimestre|semestre|atras|agora|sete|nove|manhã|verão|primavera|segundos|"
    "oito|desta|deste"
)
