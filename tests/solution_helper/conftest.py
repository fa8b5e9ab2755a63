from tests.metrics_endpoint import endpoint

__all__ = ["endpoint"]
