"""The page on the dashboard: snapshots, runs, cost, restore links, a search. It only reads."""
