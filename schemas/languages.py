"""Codes of languages brought to one form, so that what a catalog declares, what rows carry, what models say and what a
configuration names can be compared.

Languages that no model here tells apart reliably count as one; so do the varieties of a macrolanguage.
"""


def codes(text: str) -> frozenset[str]:
    """Words that stand in a text with spaces between them."""
    return frozenset(text.split())


#: ISO 639-1. A declared code that is not among them (``mul``, ``code``, a country) declares nothing that could be
#: checked.
_ISO_639_1 = codes(
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
    for pair in codes(
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
_ALIKE = dict(pair.split(":") for pair in codes("ms:id jv:id su:id min:id gl:pt nb:no nn:no bs:hr sh:hr sr:hr"))


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
