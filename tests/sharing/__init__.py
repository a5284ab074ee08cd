"""Sharing strategies: devices to hardware steps, pure values."""
