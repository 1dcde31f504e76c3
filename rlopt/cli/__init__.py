"""The command line: one file a command, no logic; heavy imports happen inside the commands."""
