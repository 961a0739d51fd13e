#!/usr/bin/env bash
# One would guess: charset-normalizer names cp1252 (or its kin latin-1, cp850) for a few hundred bytes of
# ordinary French, Spanish or Swedish that were written in cp1252.
#
# What happens: it prefers cp1250, the code page of Central Europe, with a chaos of 0.0: 'bibliothèque' is
# read as 'bibliothčque', 'año' as 'ańo', 'två' as 'tvĺ'. Every byte decodes, so that nothing is raised, and
# cp1252 stands second in the list.
#
# Why it matters: whoever decodes a corpus by the first guess has its letters replaced without a word. The
# product never decodes by a guess: it names one, and the user sets source.encoding; for Latin letters it
# counts itself which code page makes letters of the bytes, and asks charset-normalizer for other scripts
# only: `guess_encoding` in transforms/sources/readers/encodings.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check charset-normalizer==3.5.2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import charset_normalizer

print("charset-normalizer", charset_normalizer.__version__)
TEXTS = {
    "French": "La mairie rappelle que la bibliothèque sera fermée pendant les congés d'été. Les élèves inscrits à l'école "
    "pourront toutefois déposer leurs livres à l'accueil, où une boîte a été prévue à cet effet. Merci de votre compréhension.",
    "Spanish": "El año pasado los niños del pueblo plantaron un pequeño jardín junto a la estación. Ahora, cada mañana, los "
    "vecinos se detienen a mirar los árboles y recuerdan cómo era la plaza cuando todavía no había ni una sombra.",
    "Swedish": "På ön går barnen i skolan varje dag, även när det blåser så hårt att färjan inte kan gå. Då får läraren stanna "
    "på fastlandet, och de äldsta eleverna läser högt för de små.",
}
for language, text in TEXTS.items():
    data = text.encode("cp1252")
    matches = charset_normalizer.from_bytes(data)
    best = matches.best()
    if best is None:
        sys.exit(f"changed: nothing is guessed for {language}")
    print(f"{language}, {len(data)} bytes of cp1252: {[match.encoding for match in matches][:3]}, chaos {best.chaos}")
    print("  ", str(best)[:60])
    if str(best) == text:
        sys.exit(f"changed: {language} is decoded right, by {best.encoding}")
PYTHON
