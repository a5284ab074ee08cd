"""Bodies that nobody would send, for hypothesis."""

from __future__ import annotations

import json

from hypothesis import strategies as st

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
_KEYS = st.sampled_from(
    ["Pod", "pod", "NodeNames", "nodeNames", "Nodes", "NodeNameToMetaVictims", "NodeNameToVictims", "claims", "Claims"]
)
_POD = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries({}, optional={"name": st.text(max_size=300) | _JSON, "uid": _JSON}),
        "spec": st.fixed_dictionaries(
            {}, optional={"resourceClaims": _JSON, "containers": _JSON, "tolerations": _JSON}
        ),
        "status": _JSON,
    },
)
_ARGS = st.fixed_dictionaries(
    {"Pod": _POD | _JSON}, optional={"NodeNames": st.lists(st.text(max_size=260), max_size=5) | _JSON, "Claims": _JSON}
)
BODIES = (
    st.binary(max_size=200)
    | st.dictionaries(_KEYS, _JSON | _POD, max_size=5).map(lambda value: json.dumps(value).encode())
    | _ARGS.map(lambda value: json.dumps(value).encode())
    | st.integers(0, 60_000).map(lambda depth: b'{"Pod": ' + b'{"spec": ' * depth)
)
