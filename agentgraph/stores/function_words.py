"""The words that make a sentence and say nothing of what it is about, language by language."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["FUNCTION_WORDS"]

FUNCTION_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "en": """
            a an the is are was were be been being am do does did doing has have had having will would can could shall
            should may might must i you he she it we they me him her us them my mine your yours his hers its our ours
            their theirs myself yourself himself herself itself ourselves themselves this that these those of to in on
            at by for with from about as into onto out up down over under between through during before after since
            until and or nor but not no if so than then there here what when where who whom whose which why how any
            some all each both few more most other such only own same too very just also ever again once recently
            please tell remind s t re ve ll d m don
        """,
        "es": """
            el la los las un una unos unas lo al del de a en con por para sin sobre entre hasta desde y o u ni pero que
            qué quién quien quiénes cuál cuáles cuándo cuando dónde donde cómo como cuánto cuánta cuántos cuántas porque
            si no sí yo tú él ella usted nosotros ellos ellas me te se nos le les mi mis tu tus su sus es son era eran
            fue fueron ser estar está están estaba he has ha hemos han había hay más muy ya también
        """,
        "fr": """
            le la les un une des du de d l au aux à en dans avec pour par sans sur sous entre chez et ou ni mais que qu
            quoi qui quel quelle quels quelles quand où comment combien pourquoi est-ce si ne pas je j tu il elle on
            nous vous ils elles me m te t se s lui leur mon ma mes ton ta tes son sa ses notre votre c ce cet cette ces
            est sont était étaient été être suis ai as a avons avez ont avait avais y plus très déjà aussi
        """,
        "pt": """
            o a os as um uma uns umas ao à aos às do da dos das no na nos nas de em com por para sem sobre entre até
            desde e ou nem mas que quem qual quais quando onde como quanto quanta quantos quantas porque se não sim eu
            tu ele ela você nós eles elas vocês me te se lhe meu minha meus minhas teu tua seu sua seus suas é são era
            eram foi foram ser estar está estão estava tenho tem têm tinha há mais muito já também
        """,
        "nl": """
            de het een van naar in op aan bij met voor door zonder over tussen tot sinds en of noch maar dat die dit
            deze wie wat welke welk wanneer waar hoe hoeveel waarom als niet geen ja nee ik jij je u hij zij ze wij we
            jullie mij me hem haar ons hen hun mijn jouw uw zijn onze is ben bent was waren geweest heb hebt heeft
            hebben had hadden er meer zeer al ook te om
        """,
        "de": """
            der die das den dem des ein eine einen einem einer eines von vom zu zum zur in im ins auf an am bei mit für
            durch ohne über unter zwischen bis seit und oder noch aber dass wer wen wem wessen was welche welcher
            welches wann wo wohin woher wie wieviel viele warum wenn ob nicht kein keine ja nein ich du er sie es wir
            ihr mich dich ihn uns euch mir dir ihm ihnen mein meine dein deine sein seine unser ist bin bist sind war
            waren gewesen habe hast hat haben hatte hatten mehr sehr schon auch
        """,
    }
)
