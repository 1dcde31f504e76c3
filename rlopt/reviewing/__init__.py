"""What people say of proposed titles: the database, its append-only audit, and the pages to read them on."""
