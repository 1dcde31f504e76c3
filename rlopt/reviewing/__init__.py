"""Review of proposed titles by people: the database, its append-only audit, and the pages to read them on."""
