"""The phases of version 1.5 in a run's record, by those of the engine that take their place."""

PHASES = {"copy": "CreateHardlinks", "directories": "RsyncDelete", "expire": "RemoveSnapshot"}
MOMENTS = {"start": "StartTime", "stop": "StopTime"}
TIMES = {
    f"{name}{time}": (phase, moment)
    for phase, name in PHASES.items()
    for moment, time in MOMENTS.items()
}
"""Which moment of which phase each attribute of the record has."""
