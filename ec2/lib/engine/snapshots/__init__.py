"""Where snapshots live, how they are renamed, and how they go."""
