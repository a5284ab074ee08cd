"""What every implementation of a port must do, as test classes: subclass one, supply its fixtures, and pytest runs it.

class TestMine(DeviceBackendContract):
    @pytest.fixture
    def backend(self): return MyBackend()
"""
