"""One file per published system, each a short composition of the nouns, with the paper's claims beside ours."""
