"""Sources of logs besides local files: data frames, databases, workbooks, lake tables, remote files."""
