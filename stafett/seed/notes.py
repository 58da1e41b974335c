"""Notes of generated activities: plain ones, and rare ones with text that breaks spreadsheets."""

_OPENING_SENTENCES = (
    *("Godt oppmøte.", "Fin samtale om hverdagen.", "Snakket om hjelpemidler.", "Tema: arbeid og studier."),
    *("Tema: å leve med smerter.", "Første møte etter sommeren.", "Pårørende var med.", "Tolk var til stede."),
    *("Møtet ble holdt på biblioteket.", "Vi gikk en tur langs sjøen.", "Kaffe og vafler.", "Erfaringsutveksling."),
    *("Ønsker mer informasjon om rettigheter.", "Gjennomgang av søknad om BPA.", "Samtale på sykehuset."),
    *("Deltakerne delte egne erfaringer.", "Bønn om ny samtale før jul.", "Øvde på å bruke høreapparat."),
)
_CLOSING_SENTENCES = (
    *("", "", "Ny avtale om to uker.", "Følges opp på telefon.", "Heisen var ute av drift.", "Skyss ordnet."),
    *("Teleslynga virket fint.", "To meldte avbud.", "Alle vil komme igjen.", "Neste gang: Ålesund."),
    *("Trenger større lokale.", "Takk til frivillige!", "Ingen utgifter.", "Bilag er lagt ved."),
)
PLAIN_NOTES = tuple(f"{opening} {ending}".strip() for opening in _OPENING_SENTENCES for ending in _CLOSING_SENTENCES)

AWKWARD_NOTES = (
    *('Deltaker sa: "Endelig noen som forstår"', '"Kafé "Solsiden""', "kaffe; kake; samtale", "én, to; tre, fire"),
    *("Første linje\nAndre linje", "Linje én\r\nLinje to\r\n\r\nLinje fire", "Navn\tAntall\nGruppe\t7"),
    *("Så fint! 🎉 Vi sees 👩🏽‍🦽", "Tolk for 𠮷田", "Áhkku bođii maiddái, šaddá buorre", "  to mellomrom foran"),
    *("=SUM(A1:A3)", "+47 22 33 44 55", "-ingen-", "@alle i gruppa", "=1+1", "'apostrof først", "\tTabulator først"),
    *("007", "1,5", "2024-01-02", "1e5", "TRUE", "NULL", "&amp; <b>ikke fet</b>", "C:\\temp\\nytt", "½ time for sent"),
)
LONG_NOTE = " ".join(
    f"{number}. Gruppa drøftet tilgjengelighet på buss og tog, og hva den enkelte selv har erfart på reise."
    for number in range(1, 61)
)
