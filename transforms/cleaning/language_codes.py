"""Codes of languages brought to one form, so that what a catalog declares and what two models say can be compared, and
the scripts that tell a language without a model.

Languages that no model here tells apart reliably count as one; so do the varieties of a macrolanguage.
"""

import re
from collections import Counter
from functools import cache


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: ISO 639-1. A declared code that is not among them (``mul``, ``code``, a country) declares nothing that could be
#: checked.
_ISO_639_1 = _codes(
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee"
    " el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is"
    " it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms"
    " mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk"
    " sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi"
    " yo za zh zu"
)
#: ISO 639-3 (and a few older codes) as ISO 639-1.
_TWO_LETTERS = dict(
    pair.split(":")
    for pair in _codes(
        ": afr:af amh:am arb:ar ara:ar apc:ar arq:ar ary:ar arz:ar asm:as azj:az aze:az azb:az bel:be ben:bn bod:bo"
        " bos:bs bul:bg cat:ca ces:cs cym:cy dan:da deu:de ell:el eng:en epo:eo est:et ekk:et eus:eu pes:fa fas:fa"
        " prs:fa fin:fi fra:fr gla:gd gle:ga glg:gl guj:gu hat:ht hau:ha heb:he iw:he hin:hi hrv:hr hun:hu hye:hy"
        " ibo:ig ind:id in:id isl:is ita:it jav:jv jpn:ja kan:kn kat:ka kaz:kk khm:km kin:rw kir:ky kor:ko kmr:ku"
        " ckb:ku lao:lo lit:lt lvs:lv lav:lv ltz:lb mal:ml mar:mr mkd:mk mlt:mt khk:mn mon:mn mri:mi msa:ms zsm:ms"
        " mya:my nld:nl nob:nb nno:nn nor:no npi:ne nep:ne nya:ny ory:or ori:or pan:pa pol:pl por:pt pbt:ps pus:ps"
        " ron:ro run:rn rus:ru sin:si slk:sk slv:sl smo:sm sna:sn snd:sd som:so sot:st spa:es als:sq sqi:sq srp:sr"
        " sun:su swe:sv swh:sw swa:sw tam:ta tel:te tgk:tg tgl:tl fil:tl tha:th tur:tr uig:ug ukr:uk urd:ur uzn:uz"
        " uzb:uz vie:vi xho:xh ydd:yi yid:yi yor:yo zho:zh cmn:zh yue:zh wuu:zh lzh:zh zul:zu"
    )
)
#: Written so alike that the models mistake one for the other in a sentence; the common name is langdetect's.
_ALIKE = dict(pair.split(":") for pair in _codes("ms:id jv:id su:id min:id gl:pt nb:no nn:no bs:hr sh:hr sr:hr"))
#: What langdetect knows, in the form of ``canonical``.
KNOWN_TO_LANGDETECT = _codes(
    "af ar bg bn ca cs cy da de el en es et fa fi fr gu he hi hr hu id it ja kn ko lt lv mk ml mr ne nl no pa pl"
    " pt ro ru sk sl so sq sv sw ta te th tl tr uk ur vi zh"
)
#: Where fastText finds the first language, it may have overlooked the second.
OVERLOOKED = {"hi": "mr", "nl": "af"}

#: Scripts that a language has (nearly) to itself.
_OWN_SCRIPTS = {
    "am": "\u1200-\u139f",
    "bn": "\u0980-\u09ff",
    "el": "\u0370-\u03ff\u1f00-\u1fff",
    "gu": "\u0a80-\u0aff",
    "he": "\u0590-\u05ff",
    "hy": "\u0530-\u058f",
    "ja": "\u3041-\u3096\u30a1-\u30fa",
    "ka": "\u10a0-\u10ff",
    "km": "\u1780-\u17ff",
    "kn": "\u0c80-\u0cff",
    "ko": "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3",
    "lo": "\u0e80-\u0eff",
    "ml": "\u0d00-\u0d7f",
    "my": "\u1000-\u109f",
    "pa": "\u0a00-\u0a7f",
    "si": "\u0d80-\u0dff",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "th": "\u0e00-\u0e7f",
    "zh": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
}


#: Languages that are written in the script of another one, which counts as theirs.
_WRITTEN_LIKE = {"ti": "am", "as": "bn", "yi": "he"}

#: A character of any of these scripts.
_OWN_CHARACTERS = re.compile(f"[{''.join(_OWN_SCRIPTS.values())}]")


#: Words that hardly a text of a language lacks and that no other language writes.
_TELLING_WORDS = {
    "en": "the and what which how with that this from who when where does have their would should because between been"
    " were you your they there about into its than those while whose"
}


@cache
def telling_words(language: str) -> str | None:
    """A regular expression (RE2) of words by which a text shows its language without a model; None where none are
    known.
    """
    words = _TELLING_WORDS.get(language)
    return rf"(?i)\b(?:{'|'.join(words.split())})\b" if words else None


def own_script(language: str) -> str | None:
    """The characters of the script that this language (canonical) has (nearly) to itself, as they stand in the brackets
    of a regular expression; None where it shares its script.
    """
    return _OWN_SCRIPTS.get(_WRITTEN_LIKE.get(language, language))


def written_like(languages: frozenset[str]) -> frozenset[str]:
    """Languages with those whose script they are written in."""
    return languages | {_WRITTEN_LIKE[language] for language in languages if language in _WRITTEN_LIKE}


def script_language(text: str, least: float) -> str:
    """The language whose own script makes at least this share of a text; empty where none does.

    Han characters are Chinese, but beside kana they are Japanese, and beside hangul Korean.
    """
    found = Counter(map(_language_of_character, _OWN_CHARACTERS.findall(text)))
    for other in ("ja", "ko"):
        if found[other]:
            found[other] += found.pop("zh", 0)
    language, size = found.most_common(1)[0] if found else ("", 0)
    return language if size and size >= least * len(text) else ""


@cache
def _language_of_character(character: str) -> str:
    return next(language for language, own in _OWN_SCRIPTS.items() if re.match(f"[{own}]", character))


def canonical(tag: str) -> str:
    """The language of a tag as one code: ``zh-Hant``, ``zho_Hans`` and ``yue`` give ``zh``; ``nb`` gives ``no``."""
    code = tag.strip().replace("_", "-").split("-")[0].lower()
    code = _TWO_LETTERS.get(code, code)
    return _ALIKE.get(code, code)


def declared_languages(tags: frozenset[str] | tuple[str, ...]) -> frozenset[str]:
    """Canonical codes of what is declared; empty where a tag is not the code of one language (``mul``), or there is
    none.
    """
    codes = frozenset(canonical(tag) for tag in tags)
    return codes if all(code in _ISO_639_1 for code in codes) else frozenset()
