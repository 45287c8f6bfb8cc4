"""The comparison of runs, from their files alone: statistics, tables, plots, a page. Knows nothing of torch."""
