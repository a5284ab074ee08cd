"""The one door to the API server: JSON in and out as frozen values, and caches kept by watches.

Nothing else in Partita imports the `kubernetes` package, which is used for what is hard to get right: finding and
renewing credentials, TLS and the connection pool.
"""
