"""Golden files: what a release writes on disk and into the API, kept so that later releases are held to it."""
