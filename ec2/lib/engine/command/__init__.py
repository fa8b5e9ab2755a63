"""What the engine's commands share: arguments, how a run ends, its result, progress and signals."""
