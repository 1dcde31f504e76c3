"""Where logs may lie besides local files: data frames, databases, workbooks, lake tables, remote files."""
