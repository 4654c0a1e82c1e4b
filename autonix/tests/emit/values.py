"""Random values and expressions of Nix, with a taste for what breaks printers."""

from typing import Any

from hypothesis import strategies as st

HOSTILE = (
    *("@scope/x", '"', "''", "'", "${", "$${x}", "\\", "\\${", "'${", "'''", "$", "$\n", "'$", "\x1b[2J"),
    *("\n", "\r\n", "\t", " ", "", "  a\n b\n", "a\n\nb\n", "\u2028", "é", "日本", "\U0001f600"),
    *("if", "or", "rec", "a b", "a.b", "-a", "x'", "*/", "# no", "/* */"),
)
texts = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.lists(st.sampled_from(HOSTILE), max_size=5).map("".join),
)
integers = st.one_of(st.sampled_from((-(2**63), 2**63 - 1, 0, -1)), st.integers(-(2**63), 2**63 - 1))
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), integers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
