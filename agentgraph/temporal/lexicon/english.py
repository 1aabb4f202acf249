"""English words for time."""

from __future__ import annotations

from typing import Final

from agentgraph.temporal.lexicon.vocabulary import Words

CODE: Final = "en"
WORDS: Final[Words] = {
    "relative_day": {
        -2: "day before yesterday|the day before yesterday|ereyesterday",
        -1: "yesterday|yesterdays|yday",
        0: "today|todays|tody|current date|this date|otd",
        1: "tomorrow|tomorrows|tmrw|tmr|tomorow|tommorow|tommorrow|2morrow|2moro",
        2: "day after tomorrow|the day after tomorrow|day after tmrw|the day after tmrw|day after tmr|overmorrow",
    },
    "now": {0: "now|right now|just now|at this moment|at the moment|at present|present|currently|asap|this moment"},
    "to_now": {0: "to date|until now|till now"},
    "shift": {
        -1: "last|previous|past|prior|preceding",
        0: "this|current|present",
        1: "next|following|ensuing",
    },
    "coming": {1: "coming|upcoming|forthcoming"},
    "shift_after": {
        2: "after next|after the next",
        -2: "before last|before the last",
        1: "to come",
    },
    "unit": {
        "second": "seconds|sec|secs",
        "minute": "minute|minutes|min|mins",
        "hour": "hour|hours|hr|hrs",
        "day": "day|days",
        "workday": "workday|workdays|business day|business days|working day|working days|work day|work days",
        "weekend": "weekend|weekends|week end|week ends|wkend",
        "workweek": "workweek|work week|working week|business week",
        "week": "week|weeks|wk|wks",
        "fortnight": "fortnight|fortnights",
        "month": "month|months",
        "quarter": "quarter|quarters|qtr|qtrs",
        "half_year": "half year|half-year|semester|semesters",
        "season": "season|seasons",
        "year": "year|years|yr|yrs|calendar year|calendar years",
        "decade": "decade|decades",
        "century": "century|centuries",
    },
    # One letter after a number only ("2h ago", "3d").
    "short_unit": {
        "day": "d",
        "hour": "h",
        "minute": "m",
        "second": "s",
        "week": "w",
        "year": "y",
    },
    "ago": {-1: "ago|back|earlier|before now"},
    "later": {1: "later|hence|in the future|from this moment|out from now"},
    "edge": {
        "start": "beginning of|start of|beginning|early|early in|early on in|at the beginning of|the beginning of|"
        "first part of",
        "middle": "middle of|mid|middle|mid of",
        "end": "end of|late|late in|ending of|close of|latter part of|tail end of|end",
        "earlier": "earlier|earlier in",
        "later": "later in|later on",
        "rest": "rest of|rest|remainder of|remaining of|remaining|balance of",
        "all": "all|whole|entire",
    },
    "abbreviation": {
        ("end", 365): "eoy",
        ("end", 30): "eom",
        ("end", 7): "eow",
        ("start", 365): "boy",
        ("start", 30): "bom",
        ("end", 1): "eod|end of day|end of the day|cob|close of business",
    },
    # Phrases that hold a word of time and name none.
    "other": {0: "up to date|up to the minute"},
    "habit": {0: "every|each"},
    "month": {
        1: "january|jan|janv",
        2: "february|feb|febr",
        3: "march|mar",
        4: "april|apr",
        5: "may",
        6: "june|jun",
        7: "july|jul",
        8: "august|aug",
        9: "september|sept|sep",
        10: "october|oct",
        11: "november|nov",
        12: "december|dec",
    },
    "weekday": {
        0: "monday|mon",
        1: "tuesday|tue|tues",
        2: "wednesday|wed|weds|wednesdays|wendesday",
        3: "thursday|thu|thur|thurs",
        4: "friday|fri",
        5: "saturday|sat",
        6: "sunday|sun",
    },
    # Habits ("on Mondays"), unless counted ("3 Fridays from now").
    "weekdays": {
        0: "mondays",
        1: "tuesdays",
        2: "wednesdays",
        3: "thursdays",
        4: "fridays",
        5: "saturdays",
        6: "sundays",
    },
    "season": {
        0: "spring|springtime",
        1: "summer|summertime",
        2: "autumn|fall",
        3: "winter|wintertime",
    },
    "part": {
        "morning": "morning|mornings",
        "noon": "noon|midday|noontime",
        "lunch": "lunch|lunchtime|lunch time",
        "afternoon": "afternoon|arvo|afternoonish",
        "evening": "evening|evenings",
        "night": "night|nighttime|overnight",
        "midnight": "midnight",
        "early_morning": "early morning|early hours of the morning|early hours|early in the morning|early-morning",
        "late_morning": "late morning|late-morning",
        "early_afternoon": "early afternoon|early-afternoon|early in the afternoon",
        "late_afternoon": "late afternoon|late-afternoon|late in the afternoon",
        "early_evening": "early evening|early-evening",
        "late_evening": "late evening|late-evening",
        "early_night": "early night|early-night",
        "late_night": "late night|late-night|late at night",
        "early_day": "early in the day",
        "late_day": "late in the day",
        "mid_day": "mid day",
    },
    "tonight": {
        "night": "tonight|tonite|to-night",
        "late_night": "late tonight|late tonite|later tonight",
    },
    "meridiem": {
        "am": "am|a.m.|a.m",
        "pm": "pm|p.m.|p.m",
    },
    "oclock": {0: "o'clock|oclock|o’clock"},
    "past_hour": {
        15: "quarter past",
        -15: "quarter to",
        30: "half past",
    },
    "number": {
        0: "zero",
        1: "one",
        2: "two|couple|couple of|a couple of|a couple|a pair of",
        3: "three|few|a few|several|some",
        4: "four",
        5: "five",
        6: "six",
        7: "seven",
        8: "eight",
        9: "nine",
        10: "ten",
        11: "eleven",
        12: "twelve|dozen|a dozen",
        13: "thirteen",
        14: "fourteen",
        15: "fifteen",
        16: "sixteen",
        17: "seventeen",
        18: "eighteen",
        19: "nineteen",
        20: "twenty",
        30: "thirty",
        40: "forty",
        50: "fifty",
        60: "sixty",
        70: "seventy",
        80: "eighty",
        90: "ninety",
        0.5: "half a|half an|half",
        1.5: "one and a half|one and half",
        2.5: "two and a half|two and half",
        3.5: "three and a half|three and half",
    },
    "hundred": {
        100: "hundred",
        1000: "thousand",
    },
    "article": {1: "a|an"},
    "ordinal": {
        1: "first|1st",
        2: "second|2nd",
        3: "third|3rd",
        4: "fourth",
        5: "fifth",
        6: "sixth",
        7: "seventh",
        8: "eighth",
        9: "ninth",
        10: "tenth",
        11: "eleventh",
        12: "twelfth",
        13: "thirteenth",
        14: "fourteenth",
        15: "fifteenth",
        16: "sixteenth",
        17: "seventeenth",
        18: "eighteenth",
        19: "nineteenth",
        20: "twentieth",
        30: "thirtieth",
    },
    "decade_name": {
        1920: "twenties|roaring twenties",
        1930: "thirties",
        1940: "forties",
        1950: "fifties",
        1960: "sixties",
        1970: "seventies",
        1980: "eighties",
        1990: "nineties",
        2000: "noughties|two thousands|aughts",
        2010: "two thousand and tens|twenty tens",
    },
    "the": {0: "the|my|our|your"},
    "of": {0: "of"},
    "in": {0: "in|during|throughout|over|within the space of|inside|for|at|on|by the time of"},
    "within": {0: "within|in less than|less than|in under|no more than"},
    "more_than": {0: "more than|over more than"},
    "from": {0: "from"},
    "since": {
        0: "since|ever since|as early as|starting|starting from|starting on|beginning on|beginning from|effective",
    },
    "between": {0: "between"},
    "to": {0: "to"},
    "until": {
        0: "until|till|til|by|up to|up until|no later than|as late as|not later than|at the latest by|'til|through|"
        "thru|upto",
    },
    "and": {0: "and|&"},
    "before": {0: "before|prior to|earlier than|sooner than|ahead of"},
    "after": {0: "after|later than|following|past"},
    "or_later": {
        1: "or later|and later|or after|and after|and greater|or greater|onwards|onward|and onwards|and up|and beyond",
    },
    "or_earlier": {-1: "or earlier|and earlier|or before|and before"},
    "year_word": {0: "year|calendar year|cy|fy|fiscal year|anno"},
    "era": {0: "ad|a.d.|a.d|ce"},
    "with_verb": {0: "do|be|have"},
    "filler": {
        0: "around|about|approximately|approx|circa|roughly|exactly|sometime|sometimes|anytime|just|only|time|"
        "period of|some time|the whole|latest|at latest|around about|same|very|or so",
    },
    "holiday": {
        "new_year": "new year|new years|new year's|new years day|new year's day|new year day|yuandan",
        "new_year_eve": "new years eve|new year's eve|new year eve|nye|silvester",
        "epiphany": "epiphany|three kings day",
        "mlk": "mlk day|martin luther king day|martin luther king's day|martin luther king jr day|mlk|"
        "civil rights day|martin luther king jr. day|mlk jr. day|mlk jr day",
        "australia_day": "australia day",
        "groundhog": "groundhog day|groundhogs day|ground hog day",
        "valentine": "valentine's day|valentines day|valentine day|valentine's|valentine|valentines|lover's day|"
        "st valentine's day|saint valentine's day|st. valentine's day",
        "presidents": "presidents day|president's day|presidents' day|president day|washington's birthday|"
        "washington day|washingtons birthday|daisy gatson bates day",
        "womens_day": "women's day|international women's day|womens day|international womens day",
        "pi_day": "pi day",
        "patrick": "st patrick's day|st patricks day|saint patrick's day|saint patricks day|st. patrick's day|"
        "saint patrick|st patrick|paddy's day|st paddy's day|st. patrick day|st patrick day|saint patrick day",
        "april_fools": "april fools|april fool's|april fool's day|april fools day|april fools' day|all fools day|"
        "april fool day",
        "tax_day": "tax day",
        "earth_day": "earth day",
        "anzac": "anzac day",
        "koningsdag": "koningsdag|king's day|kings day",
        "labour_day_may": "international workers' day|workers' day|workers day|international workers day|may day|"
        "international worker's day|worker's day",
        "law_day": "law day",
        "star_wars": "star wars day",
        "cinco": "cinco de mayo",
        "mother": "mother's day|mothers day|mother day|mothers' day|mum's day|mothering sunday us",
        "memorial": "memorial day|decoration day",
        "victoria": "victoria day|sovereign's birthday",
        "father": "father's day|fathers day|father day|fathers' day|dad's day",
        "siblings": "siblings day|national siblings day|sibling day|national sibling day",
        "lincoln": "lincoln's birthday|lincolns birthday|lincolns' birthday",
        "flag_day": "flag day",
        "juneteenth": "juneteenth|freedom day|juneteenth day|emancipation day",
        "canada_day": "canada day",
        "independence_us": "independence day|us independence day|u.s. independence day",
        "bastille": "bastille day",
        "friendship": "friendship day",
        "indian_independence": "indian independence day|india independence day",
        "labor_us": "labor day|labour day",
        "grandparents": "grandparents day|grandparent's day|grandparents' day|national grandparents day",
        "patriot": "patriot day|9/11 day",
        "teachers_world": "world teachers' day|teachers' day|teacher's day|teachers day",
        "boss": "boss's day|boss day|bosses day|boss's|bosses' day",
        "columbus": "columbus day|indigenous peoples' day|indigenous peoples day|indigenous people's day",
        "halloween": "halloween|hallowe'en|all hallow's eve|all hallows eve|all hallows' eve|hallows' eve",
        "halloween_day": "halloween day",
        "all_saints": "all saints day|all saints' day|all saint's day|all hallows|all hallows day|all hallows' day",
        "all_souls": "all souls day|all souls' day|all soul's day|day of the dead|dia de los muertos",
        "vegan": "world vegan day|vegan day",
        "guy_fawkes": "guy fawkes night|guy fawkes day|guy fawkes|bonfire night|fireworks night",
        "veterans": "veterans day|veteran's day|veterans' day|veteran day|armistice day|remembrance day|poppy day",
        "martinmas": "martinmas|st martin's day|saint martin's day",
        "singles": "singles day|singles' day",
        "mens_day": "men's day|international men's day|mens day",
        "thanksgiving": "thanksgiving|thanksgiving day|thanks giving|thanks giving day|turkey day|"
        "american thanksgiving",
        "thanksgiving_ca": "canadian thanksgiving",
        "black_friday": "black friday",
        "small_business": "small business saturday",
        "cyber_monday": "cyber monday",
        "giving_tuesday": "giving tuesday",
        "nicholas": "st nicholas day|saint nicholas day|st. nicholas day|st nicholas' day|sinterklaas",
        "human_rights": "human rights day",
        "christmas_eve": "christmas eve|xmas eve|x-mas eve|xmas's eve|christmas's eve",
        "christmas": "christmas|xmas|x-mas|christmas day|xmas day|x-mas day|christmastime",
        "boxing": "boxing day|st stephen's day|second day of christmas",
        "kwanzaa": "kwanzaa",
        "arbor": "arbor day|national arbor day",
        "admin_day": "administrative professionals day|administrative professionals' day|secretaries day|"
        "secretary's day|secretaries' day|admin day|administrative professional day|secretary day",
        "dst_start": "daylight saving start day|daylight savings start day|daylight saving start|"
        "daylight savings start|daylight saving begins",
        "dst_end": "daylight saving end day|daylight savings end day|daylight saving end|daylight savings end|"
        "daylight saving ends",
        "election_day": "election day|us election day",
        "shrove_tuesday": "shrove tuesday|pancake day|pancake tuesday|mardi gras|fat tuesday|shrove day|fasching",
        "carnival_monday": "shrove monday|rosenmontag|clean monday west",
        "ash_wednesday": "ash wednesday",
        "lent": "lent",
        "palm_sunday": "palm sunday|branch sunday",
        "holy_week": "holy week",
        "maundy_thursday": "maundy thursday|holy thursday|covenant thursday|thu of mysteries|thursday of mysteries|"
        "great thursday|sheer thursday",
        "good_friday": "good friday|great friday|easter friday|black easter friday",
        "holy_saturday": "holy saturday|black saturday|easter eve|great saturday",
        "easter": "easter|easter sunday|easter day|resurrection sunday",
        "easter_monday": "easter monday",
        "ascension": "ascension day|ascension thursday|holy thursday ascension|feast of the ascension|ascension",
        "pentecost": "pentecost|whit sunday|whitsunday|white sunday|whitsun",
        "whit_monday": "whit monday|pentecost monday|monday of the holy spirit",
        "trinity_sunday": "trinity sunday",
        "corpus_christi": "corpus christi|feast of corpus christi|corpus domini",
        "orthodox_easter": "orthodox easter|orthodox easter sunday|greek easter|orthodox easter day",
        "orthodox_easter_monday": "orthodox easter monday",
        "orthodox_good_friday": "orthodox good friday|orthodox great friday",
        "orthodox_holy_saturday": "orthodox holy saturday",
        "orthodox_palm_sunday": "orthodox palm sunday|orthodox branch sunday",
        "orthodox_ash": "clean monday|orthodox clean monday|ash monday|pure monday|monday of lent|"
        "orthodox shrove monday|green monday",
        "orthodox_ascension": "orthodox ascension|orthodox ascension day",
        "orthodox_pentecost": "orthodox pentecost|orthodox whit sunday",
        "orthodox_whit_monday": "orthodox whit monday|orthodox pentecost monday",
        "great_lent": "great lent|orthodox lent|great fast",
        "lazarus": "lazarus saturday",
        "advent": "advent|first advent|advent sunday",
        "rosh_hashanah": "rosh hashanah|rosh hashana|rosh hashanna|rosh ha-shanah|jewish new year|yom teruah|"
        "rosh ha shanah",
        "yom_kippur": "yom kippur|day of atonement",
        "sukkot": "sukkot|sukkoth|succot|succos|feast of tabernacles|feast of booths|feast of the ingathering",
        "shemini_atzeret": "shemini atzeret|shmini atzeret|shemini atseret",
        "simchat_torah": "simchat torah|simhat torah|simchas torah",
        "hanukkah": "hanukkah|chanukah|hanukah|chanukkah|hannukah|hanuka|feast of dedication|festival of lights jewish",
        "tu_bishvat": "tu bishvat|tu b'shevat|tu bshvat|tu bishevat|tu b'shvat|tu b'shvat",
        "purim": "purim",
        "shushan_purim": "shushan purim",
        "passover": "passover|pesach|pesah",
        "yom_hashoah": "yom hashoah|yom ha'shoah|yom hasho'ah|holocaust day|holocaust remembrance day",
        "yom_haatzmaut": "yom haatzmaut|yom ha'atzmaut|israeli independence day|yom ha'atzma'ut",
        "lag_baomer": "lag baomer|lag b'omer|lag ba'omer|lag l'omer|lag bomer|lag laomer",
        "shavuot": "shavuot|shavuoth|shavuos|feast of weeks|shovuos",
        "tisha_bav": "tisha b'av|tisha bav|tish'a b'av",
        "ramadan": "ramadan|ramadhan|ramzan|ramadaan",
        "eid_fitr": "eid al-fitr|eid al fitr|eid ul-fitr|eid ul fitr|eid|eid-al-fitr|eid-ul-fitr",
        "eid_adha": "eid al-adha|eid al adha|eid ul-adha|id ul-adha|bakr id|bakrid|feast of the sacrifice|"
        "sacrifice feast|eid ul adha|eid-al-adha|sacrifice feast day|feast of sacrifice|id al-adha|eid-ul-adha|"
        "festival of sacrifice",
        "islamic_new_year": "islamic new year|hijri new year|arabic new year|amun jadid|muslim new year",
        "ashura": "ashura|day of ashura|yom ashura",
        "mawlid": "mawlid|mawlid al-nabi|mawlid al nabi|prophet's birthday|prophet muhammad's birthday|"
        "milad un nabi|mawlid un nabi|eid milad un nabi|the prophet's birthday",
        "isra_miraj": "isra and mi'raj|isra and miraj|isra mi'raj|the prophet's ascension|prophet's ascension|"
        "laylat al-mi'raj|isra' and mi'raj|the prophet's night journey|ascension to heaven|night journey",
        "laylat_qadr": "laylat al-qadr|laylat al qadr|night of power|laylat al kadr|night of destiny|night of measures",
        "jumatul_wida": "jumu'atul-wida|jumatul wida|jumu'atul wida|jamat ul-vida|jamat ul vida|jumatul-wida|"
        "jumu'atul-wada|jumatul-wida'",
        "tasua": "tasua",
        "chinese_new_year": "chinese new year|chinese new years|chinese new year's day|lunar new year|"
        "chinese lunar new year|"
        "lunar new year's day|chinese lunar new year's day|spring festival|spring festival day",
        "lantern_festival": "lantern festival",
        "dragon_boat": "dragon boat festival|duanwu|duanwu festival|dragon boat day",
        "mid_autumn": "mid-autumn festival|mid autumn festival|moon festival|mooncake festival|mid-autumn day|"
        "mid autumn day",
        "double_ninth": "double ninth festival|chung yeung festival|chung yeung|double ninth",
        "diwali": "diwali|deepavali|dipavali|divali|lakshmi puja|laxmi puja|lakshmi puja day",
        "naraka_chaturdashi": "naraka chaturdashi|choti diwali|chhoti diwali|kali chaudas|narak chaturdashi|"
        "roop chaudas|narak nivaran chaturdashi|kali chaudas|bhoot chaturdashi",
        "dhanteras": "dhanteras|dhanatrayodashi",
        "govardhan": "govardhan puja|gowardhan puja|annakut|bali pratipada|balipratipada",
        "bhai_dooj": "bhai dooj|bhau beej|bhai bij|bhai phonta|bhau-beej|bhai tika|bhai beej",
        "chhath": "chhath|chhath puja|dala chhath|surya shashthi|dala puja|chhath parv|chhath parva|chhat",
        "makar_sankranti": "makar sankranti|makara sankranti|makara sankranthi|maghi|makar sankranthi|sankranti|"
        "pongal|thai pongal",
        "bhogi": "bhogi|bogi pandigai|bhogi pongal|bogi",
        "maattu_pongal": "maattu pongal|mattu pongal",
        "kaanum_pongal": "kaanum pongal|kanum pongal|kanu pongal",
        "lohri": "lohri",
        "vaisakhi": "vaisakhi|vaishakhi|baisakhi|vaisakhadi|vasakhi|mesadi",
    },
}
CUES: Final = (
    "the an of is are was were be been to and or not you i we he she it they my your what when where who how did "
    "do does have has had will would can could should with that this for at on by as from about me us"
)
# What tells whether the speaker looks back or ahead.
PAST: Final = (
    "ago ate been began born bought came did didn't drove flew found gave got had hadn't happen've happened he've "
    "heard held i've kept knew left lost made met paid read said saw sent since sold spent spoke taught they've "
    "thought told took was wasn't we've went were weren't won wore wrote"
)
FUTURE: Final = (
    "arrange book deadline due expect going gonna he'll i'll it'll let's plan planning plans remind reserve "
    "schedule shall she'll soon they'll tomorrow upcoming we'll will won't you'll"
)
# Words in -ed that look back at nothing.
NOT_PAST: Final = (
    "bed bleed breed embed exceed fed feed greed hundred indeed interested led med naked need planned proceed red "
    "reed sacred scheduled seed shed speed succeed supposed ted used wed weed"
)
# Words with another everyday meaning, and people's names: alone they are no time.
EVERYDAY: Final = (
    "may march mar april june august jan dec sept jun sat sun mon wed fri lent advent epiphany ascension eid"
)
WEAK: Final = "y|s|m|d|w|h"
