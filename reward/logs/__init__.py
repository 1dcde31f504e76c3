"""From log files to arms: reading, checking and adding up, with DuckDB; splits and updates."""
