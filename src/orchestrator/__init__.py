"""The orchestrator Lambda: starts, ends and reports backup runs.

handler (edge) -> events (typed input) -> core.decide (pure) -> aws.Account.apply (effects).
"""
