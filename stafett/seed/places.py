"""Places of generated activities: Norwegian municipalities, the larger ones more often, and a few places abroad."""

_LARGE_MUNICIPALITIES = (
    "Oslo",
    "Oslo",
    "Oslo",
    "Bergen",
    "Bergen",
    "Trondheim",
    "Trondheim",
    "Stavanger",
    "Bærum",
    "Kristiansand",
)
_OTHER_MUNICIPALITIES = (
    *("Drammen", "Asker", "Lillestrøm", "Fredrikstad", "Sandnes", "Tromsø", "Ålesund", "Skien", "Tønsberg", "Moss"),
    *("Bodø", "Haugesund", "Sandefjord", "Arendal", "Hamar", "Lillehammer", "Gjøvik", "Molde", "Kristiansund"),
    *("Harstad", "Narvik", "Alta", "Rana", "Steinkjer", "Levanger", "Stjørdal", "Røros", "Sør-Varanger", "Hammerfest"),
    *("Øygarden", "Askøy", "Bømlo", "Tysvær", "Gjøvik", "Våler i Solør", "Ås", "Nøtterøy", "Bø i Telemark", "Årdal"),
    *("Sunnfjord", "Førde", "Ørsta", "Smøla", "Frøya", "Hitra", "Vågan", "Røst", "Andøy", "Målselv", "Vadsø", "Vardø"),
    *("Kárášjohka - Karasjok", "Guovdageaidnu - Kautokeino", "Deatnu - Tana", "Unjárga - Nesseby"),
    *("Porsanger - Porsáŋgu - Porsanki", "Gáivuotna - Kåfjord - Kaivuono", "Hábmer - Hamarøy", "Snåase - Snåsa"),
)
NORWEGIAN_PLACES = _LARGE_MUNICIPALITIES + _OTHER_MUNICIPALITIES
FOREIGN_PLACES = (
    "Göteborg",
    "Stockholm",
    "København",
    "Aalborg",
    "Helsinki",
    "Reykjavík",
    "Berlin",
    "Gran Canaria",
    "Málaga",
)
