"""Everyday phrases in seven languages besides English, each in a text of its own, whatever the locale."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agentgraph.temporal import resolve

# A Wednesday.
NOW = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)

_YESTERDAY = "Tue 3 Mar 2026"
_TOMORROW = "Thu 5 Mar 2026"
_LAST_WEEK = "Mon 23 Feb 2026 to Sun 1 Mar 2026"
_LAST_MONTH = "Sun 1 Feb 2026 to Sat 28 Feb 2026"
_NEXT_MONTH = "Wed 1 Apr 2026 to Thu 30 Apr 2026"
_THREE_DAYS_AGO = "Sun 1 Mar 2026"
_IN_TWO_WEEKS = "Mon 16 Mar 2026 to Sun 22 Mar 2026"
_THREE_MONTHS = "Thu 4 Dec 2025 to Wed 4 Mar 2026"
_A_YEAR_AGO = "Wed 1 Jan 2025 to Wed 31 Dec 2025"
_NEXT_MONDAY = "Mon 9 Mar 2026"
_LAST_FRIDAY = "Fri 27 Feb 2026"
_MAY = "Fri 1 May 2026 to Sun 31 May 2026"
_FIFTH_OF_MAY = "Tue 5 May 2026"
_MAY_3_TO_5 = "Sun 3 May 2026 to Tue 5 May 2026"
_WEEKEND = "Sat 7 Mar 2026 to Sun 8 Mar 2026"
_LAST_SUMMER = "Sat 21 Jun 2025 to Mon 22 Sep 2025"
_END_OF_MONTH = "Sat 21 Mar 2026 to Tue 31 Mar 2026"
_UNTIL_FRIDAY = "until Fri 6 Mar 2026"
_AFTER_CHRISTMAS = "from Sat 26 Dec 2026"
_TOMORROW_AT_15 = "Thu 5 Mar 2026 15:00 to 16:00"
_TOMORROW_MORNING = "Thu 5 Mar 2026 06:00 to 12:00"
_LAST_NIGHT = "Tue 3 Mar 2026 18:00 to 24:00"
_SINCE_JANUARY = "from Thu 1 Jan 2026"
_MARCH_TO_MAY = "Sat 1 Mar 2025 to Sat 31 May 2025"

_SPANISH = {
    "¿qué hice ayer?": _YESTERDAY,
    "mañana llamo a Ana": _TOMORROW,
    "llovió la semana pasada": _LAST_WEEK,
    "el mes pasado": _LAST_MONTH,
    "el mes que viene": _NEXT_MONTH,
    "hace tres días": _THREE_DAYS_AGO,
    "dentro de dos semanas": _IN_TWO_WEEKS,
    "los últimos tres meses": _THREE_MONTHS,
    "hace un año": _A_YEAR_AGO,
    "el lunes vamos al cine": _NEXT_MONDAY,
    "el viernes pasado": _LAST_FRIDAY,
    "en mayo": _MAY,
    "el 5 de mayo": _FIFTH_OF_MAY,
    "del 3 al 5 de mayo": _MAY_3_TO_5,
    "este fin de semana": _WEEKEND,
    "el verano pasado": _LAST_SUMMER,
    "a finales de mes": _END_OF_MONTH,
    "hasta el viernes": _UNTIL_FRIDAY,
    "después de Navidad": _AFTER_CHRISTMAS,
    "mañana por la mañana": _TOMORROW_MORNING,
    "desde enero": _SINCE_JANUARY,
    "entre marzo y mayo de 2025": _MARCH_TO_MAY,
}
_FRENCH = {
    "hier j'ai mangé du pain": _YESTERDAY,
    "demain je pars": _TOMORROW,
    "il a plu la semaine dernière": _LAST_WEEK,
    "le mois dernier": _LAST_MONTH,
    "le mois prochain": _NEXT_MONTH,
    "il y a trois jours": _THREE_DAYS_AGO,
    "dans deux semaines": _IN_TWO_WEEKS,
    "les trois derniers mois": _THREE_MONTHS,
    "il y a un an": _A_YEAR_AGO,
    "lundi nous allons au cinéma": _NEXT_MONDAY,
    "vendredi dernier": _LAST_FRIDAY,
    "en mai": _MAY,
    "le 5 mai": _FIFTH_OF_MAY,
    "du 3 au 5 mai": _MAY_3_TO_5,
    "ce week-end": _WEEKEND,
    "l'été dernier": _LAST_SUMMER,
    "à la fin du mois": _END_OF_MONTH,
    "jusqu'à vendredi": _UNTIL_FRIDAY,
    "après Noël": _AFTER_CHRISTMAS,
    "demain à 15 heures": _TOMORROW_AT_15,
    "hier soir": _LAST_NIGHT,
    "depuis janvier": _SINCE_JANUARY,
    "entre mars et mai 2025": _MARCH_TO_MAY,
}
_PORTUGUESE = {
    "ontem fui ao mercado": _YESTERDAY,
    "amanhã vou ao médico": _TOMORROW,
    "choveu na semana passada": _LAST_WEEK,
    "no mês passado": _LAST_MONTH,
    "no mês que vem": _NEXT_MONTH,
    "há três dias": _THREE_DAYS_AGO,
    "daqui a duas semanas": _IN_TWO_WEEKS,
    "nos últimos três meses": _THREE_MONTHS,
    "há um ano": _A_YEAR_AGO,
    "na segunda-feira": _NEXT_MONDAY,
    "na sexta-feira passada": _LAST_FRIDAY,
    "em maio": _MAY,
    "no dia 5 de maio": _FIFTH_OF_MAY,
    "este fim de semana": _WEEKEND,
    "no verão passado": _LAST_SUMMER,
    "no final do mês": _END_OF_MONTH,
    "até sexta": _UNTIL_FRIDAY,
    "depois do Natal": _AFTER_CHRISTMAS,
    "amanhã às 15h": _TOMORROW_AT_15,
    "ontem à noite": _LAST_NIGHT,
    "desde janeiro": _SINCE_JANUARY,
    "entre março e maio de 2025": _MARCH_TO_MAY,
}
_DUTCH = {
    "gisteren heb ik gefietst": _YESTERDAY,
    "morgen ga ik zwemmen": _TOMORROW,
    "vorige week": _LAST_WEEK,
    "vorige maand": _LAST_MONTH,
    "volgende maand": _NEXT_MONTH,
    "drie dagen geleden": _THREE_DAYS_AGO,
    "over twee weken": _IN_TWO_WEEKS,
    "de afgelopen drie maanden": _THREE_MONTHS,
    "een jaar geleden": _A_YEAR_AGO,
    "op maandag gaan we naar de film": _NEXT_MONDAY,
    "afgelopen vrijdag": _LAST_FRIDAY,
    "in mei": _MAY,
    "op 5 mei": _FIFTH_OF_MAY,
    "3 tot 5 mei": _MAY_3_TO_5,
    "komend weekend": _WEEKEND,
    "komende vrijdag": "Fri 6 Mar 2026",
    "afgelopen zomer": _LAST_SUMMER,
    "eind van de maand": _END_OF_MONTH,
    "tot vrijdag": _UNTIL_FRIDAY,
    "na kerst": _AFTER_CHRISTMAS,
    "morgen om 15 uur": _TOMORROW_AT_15,
    "morgenochtend": _TOMORROW_MORNING,
    "gisteravond": _LAST_NIGHT,
    "sinds januari": _SINCE_JANUARY,
    "tussen maart en mei 2025": _MARCH_TO_MAY,
}
_GERMAN = {
    "gestern war ich krank": _YESTERDAY,
    "ich rufe morgen an": _TOMORROW,
    "letzte Woche": _LAST_WEEK,
    "letzten Monat": _LAST_MONTH,
    "nächsten Monat": _NEXT_MONTH,
    "vor drei Tagen": _THREE_DAYS_AGO,
    "in zwei Wochen": _IN_TWO_WEEKS,
    "in den letzten drei Monaten": _THREE_MONTHS,
    "vor einem Jahr": _A_YEAR_AGO,
    "kommenden Freitag": "Fri 6 Mar 2026",
    "kommende Woche": "Mon 9 Mar 2026 to Sun 15 Mar 2026",
    "am Montag gehen wir ins Kino": _NEXT_MONDAY,
    "letzten Freitag": _LAST_FRIDAY,
    "im Mai": _MAY,
    "am 5. Mai": _FIFTH_OF_MAY,
    "vom 3. bis 5. Mai": _MAY_3_TO_5,
    "dieses Wochenende": _WEEKEND,
    "letzten Sommer": _LAST_SUMMER,
    "Ende des Monats": _END_OF_MONTH,
    "bis Freitag": _UNTIL_FRIDAY,
    "nach Weihnachten": _AFTER_CHRISTMAS,
    "morgen um 15 Uhr": _TOMORROW_AT_15,
    "morgen früh": _TOMORROW_MORNING,
    "gestern Abend": _LAST_NIGHT,
    "seit Januar": _SINCE_JANUARY,
    "zwischen März und Mai 2025": _MARCH_TO_MAY,
    "am 3.8. fahren wir": "Mon 3 Aug 2026",
}
_CHINESE = {
    "昨天我去了超市": _YESTERDAY,
    "明天打电话": _TOMORROW,
    "上周": _LAST_WEEK,
    "上个月": _LAST_MONTH,
    "下个月": _NEXT_MONTH,
    "3天前": _THREE_DAYS_AGO,
    "两周后": _IN_TWO_WEEKS,
    "过去三个月": _THREE_MONTHS,
    "一年前": _A_YEAR_AGO,
    "星期一见": _NEXT_MONDAY,
    "上周五": _LAST_FRIDAY,
    "五月": _MAY,
    "5月5日": _FIFTH_OF_MAY,
    "这个周末": _WEEKEND,
    "去年夏天": _LAST_SUMMER,
    "月底": _END_OF_MONTH,
    "周五之前": "until Thu 5 Mar 2026",
    "圣诞节后": _AFTER_CHRISTMAS,
    "明天下午3点": _TOMORROW_AT_15,
    "昨晚": _LAST_NIGHT,
    "2025年3月到5月": _MARCH_TO_MAY,
}
_JAPANESE = {
    "昨日映画を見た": _YESTERDAY,
    "明日電話する": _TOMORROW,
    "先週": _LAST_WEEK,
    "先月": _LAST_MONTH,
    "来月": _NEXT_MONTH,
    "三日前": _THREE_DAYS_AGO,
    "二週間後": _IN_TWO_WEEKS,
    "過去三ヶ月": _THREE_MONTHS,
    "一年前": _A_YEAR_AGO,
    "月曜日に会う": _NEXT_MONDAY,
    "先週の金曜日": _LAST_FRIDAY,
    "5月": _MAY,
    "5月5日": _FIFTH_OF_MAY,
    "今週末": _WEEKEND,
    "去年の夏": _LAST_SUMMER,
    "月末": _END_OF_MONTH,
    "金曜日まで": _UNTIL_FRIDAY,
    "クリスマスの後": _AFTER_CHRISTMAS,
    "明日の午後3時": _TOMORROW_AT_15,
    "明日の朝": _TOMORROW_MORNING,
    "昨夜": _LAST_NIGHT,
    "2025年3月から5月まで": _MARCH_TO_MAY,
}
_PHRASES = {
    "es": _SPANISH,
    "fr": _FRENCH,
    "pt": _PORTUGUESE,
    "nl": _DUTCH,
    "de": _GERMAN,
    "zh": _CHINESE,
    "ja": _JAPANESE,
}


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [(language, text, window) for language, phrases in _PHRASES.items() for text, window in phrases.items()],
)
def test_an_everyday_phrase_is_understood(language: str, text: str, expected: str) -> None:
    for locale in ("en", language):
        (window,) = resolve(text, now=NOW, locale=locale)
        assert window.describe() == expected


_QUIET = {
    "es": "la segunda vez|el fin de la historia|tengo tres hijos|página 12|este libro|Julio es mi hermano",
    "fr": "un jour peut-être|la fin du film|le premier ministre|Mars attaque|avant de partir",
    "pt": "a segunda vez|na segunda vez|quarta divisão|a sexta sinfonia|tenho três filhos|um dia destes",
    "nl": "het begin van het boek|hij is acht jaar oud|voor het huis|de tweede keer|over de brug",
    "de": "der Tag der Freude|er ist acht Jahre alt|vor dem Haus|ein Paar Schuhe|die zweite Wahl",
    "zh": "人民日报|三个苹果|第一次|天气很好|上海很大|前面和后面",
    "ja": "日本語|月がきれい|一番|前に進む|分かりました|時間がない",
}


@pytest.mark.parametrize(
    ("language", "text"), [(language, text) for language, texts in _QUIET.items() for text in texts.split("|")]
)
def test_a_look_alike_names_no_time(language: str, text: str) -> None:
    for locale in ("en", language):
        assert resolve(text, now=NOW, locale=locale) == []
