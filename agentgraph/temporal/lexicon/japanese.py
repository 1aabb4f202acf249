"""Japanese words for time."""

from __future__ import annotations

from typing import Final

from agentgraph.temporal.lexicon.vocabulary import Words

CODE: Final = "ja"
WORDS: Final[Words] = {
    "relative_day": {
        -2: "一昨日|おととい",
        -1: "昨日|きのう",
        0: "今日|きょう|本日",
        1: "明日|あした|あす",
        2: "明後日|あさって",
    },
    "period": {
        ("week", -2): "先々週",
        ("week", -1): "先週|前週",
        ("week", 0): "今週",
        ("week", 1): "来週|翌週",
        ("week", 2): "再来週",
        ("weekend", -1): "先週末|先週の週末",
        ("weekend", 0): "今週末|週末",
        ("weekend", 1): "来週末|来週の週末",
        ("month", -2): "先々月",
        ("month", -1): "先月",
        ("month", 0): "今月",
        ("month", 1): "来月|翌月",
        ("month", 2): "再来月",
        ("year", -2): "一昨年|おととし",
        ("year", -1): "昨年|去年",
        ("year", 0): "今年",
        ("year", 1): "来年|翌年",
        ("year", 2): "再来年",
    },
    "unit": {
        "minute": "分",
        "hour": "時間",
        "day": "日|日間",
        "week": "週間",
        "month": "か月|ヶ月|カ月|ヵ月|ケ月|箇月",
        "year": "年|年間",
    },
    "ago": {-1: "前"},
    "later": {1: "後"},
    "shift": {-1: "過去|この|ここ"},
    "coming": {1: "今後"},
    "weekday": {
        0: "月曜日|月曜",
        1: "火曜日|火曜",
        2: "水曜日|水曜",
        3: "木曜日|木曜",
        4: "金曜日|金曜",
        5: "土曜日|土曜",
        6: "日曜日|日曜",
    },
    "season": {
        0: "春",
        1: "夏",
        2: "秋",
        3: "冬",
    },
    "part": {
        "morning": "朝|午前",
        "noon": "正午",
        "afternoon": "午後",
        "evening": "夕方",
        "night": "夜|晩",
        "midnight": "真夜中",
    },
    "tonight": {
        "morning": "今朝",
        "night": "今夜|今晩",
    },
    "last_night": {"night": "昨夜|昨晩|ゆうべ"},
    "number": {
        1: "一",
        2: "二",
        3: "三|数",
        4: "四",
        5: "五",
        6: "六",
        7: "七",
        8: "八",
        9: "九",
        10: "十",
    },
    "oclock": {0: "時"},
    "of": {0: "の"},
    "abbreviation": {
        ("end", 365): "年末",
        ("end", 30): "月末",
        ("start", 365): "年初|年始",
        ("start", 30): "月初",
    },
    "to": {0: "から"},
    "or_earlier": {-1: "まで|までに"},
    "or_later": {1: "以降|以来"},
    "holiday": {
        "christmas": "クリスマス",
        "new_year": "元日|お正月|正月",
        "new_year_eve": "大晦日",
        "valentine": "バレンタインデー",
    },
}
CUES: Final = "は が を に で た だ の と も か し て い る ま す な"
PAST: Final = "た"
FUTURE: Final = ""
EVERYDAY: Final = ""
WEAK: Final = "前|後|一|二|三|四|五|六|七|八|九|十|数|日|年|分|春|夏|秋|冬|朝|夜|晩|の|この|ここ|から|まで"
