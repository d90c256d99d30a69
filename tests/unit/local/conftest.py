from tests.unit.local.endpoint_server import server

__all__ = ["server"]
