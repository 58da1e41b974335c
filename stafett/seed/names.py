"""Given names and surnames that are common in Norway, in all its letters; a pair of them names no real person."""

FIRST_NAMES = (
    *("Anne", "Inger", "Kari", "Marit", "Ingrid", "Liv", "Eva", "Berit", "Astrid", "Bjørg", "Hilde", "Solveig"),
    *("Åse", "Åshild", "Gøril", "Sølvi", "Synnøve", "Øydis", "Ingebjørg", "Nora", "Thea", "Frøydis", "Ragnhild"),
    *("Jan", "Per", "Bjørn", "Ole", "Lars", "Kjell", "Knut", "Svein", "Thomas", "Arne", "Geir", "Morten", "Tor"),
    *("Håkon", "Pål", "Jørn", "Øyvind", "Åge", "Gjøran", "Sjur", "Torbjørn", "Stian", "Håvard", "Bård", "Eirik"),
    *("Máret", "Ánne", "Biret", "Risten", "Elle", "Sárá", "Niillas", "Áilu", "Mihkkal", "Jovnna", "Ánte", "Máhtte"),
    *("Amina", "Fatima", "Mohammed", "Ali", "Zofia", "Piotr", "Thi Mai", "Hawa", "Anne-Grethe", "Karl Øystein"),
)
SURNAMES = (
    *("Hansen", "Johansen", "Olsen", "Larsen", "Andersen", "Pedersen", "Nilsen", "Kristiansen", "Jensen", "Karlsen"),
    *("Berg", "Haugen", "Hagen", "Bakken", "Solberg", "Lund", "Moen", "Strand", "Eide", "Lie", "Dahl", "Vik"),
    *("Bjørnstad", "Sørensen", "Ødegård", "Åsen", "Næss", "Sæther", "Røed", "Grønlund", "Østby", "Bråten", "Håland"),
    *("Fjørtoft", "Ytterøy", "Skår", "Kvåle", "Rønning", "Myhre", "Aas", "Tangen", "Nygård", "Løken", "Brekke"),
    *("Hætta", "Gaup", "Eira", "Utsi", "Somby", "Bæhr", "Guttorm", "Triumf", "Áhkká", "Bongo", "Balto", "Valkeapää"),
    *("Nguyen", "Ahmed", "Kowalska", "Hassan", "Tesfaye", "Sæbø-Lie", "Haug Sørli", "von der Lippe", "d'Ølberg"),
)
