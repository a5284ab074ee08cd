"""The pure parts of hack/cluster; no root, no build, nothing started."""
