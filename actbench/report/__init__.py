"""The comparison of runs, from their files alone, without torch: statistics, tables, plots and an HTML page."""
