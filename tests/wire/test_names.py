"""Numbers and texts of names, against the vectors of the protocol page (§1.1, §11) and the kernels' own records."""

import pytest

from dlmtrace.wire.names import escape, jhash, lockspace_id, resource_text


@pytest.mark.parametrize(("name", "number"), [("test", 0x77222027), ("gfs2", 0xE4F48A18), ("clvmd", 0x4104EEFA)])
def test_lockspace_id_follows_dlm_controld(name: str, number: int) -> None:
    assert lockspace_id(name) == number


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (b"", 0xDEADBEEF),
        (b"a", 0x58D68708),
        (b"test", 0xBE0C1952),
        (b"abcdefghijkl", 0x4012F87B),
        (b"abcdefghijklm", 0x928128F9),
        (b"       2              17", 0xB57FD050),
        (b"       5               9", 0x837ED680),
        (b"x" * 64, 0x136C983A),
    ],
)
def test_hash_of_a_resource_name_is_the_kernels(name: bytes, number: int) -> None:
    assert jhash(name) == number


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"       2              17", "glock 2/17"),
        (b"       9               0", "glock 9/0"),
        (b"       5           ab01f", "glock 5/ab01f"),
        (b"       2              1g", "       2              1g"),
        (b"       2            1 17", "       2            1 17"),
        (b"       2             17", "       2             17"),
        (b" " * 24, " " * 24),
        (b"res-0017", "res-0017"),
        (b"two\0parts\n", r"two\x00parts\n"),
        (b"back\\slash", r"back\\slash"),
        (b"\xe2\x80\xaeabc", r"\xe2\x80\xaeabc"),
        (b"\x1b[31m\x9b\x7f", r"\x1b[31m\x9b\x7f"),
    ],
)
def test_resource_names_are_shown_as_people_know_them_and_cannot_harm_a_terminal(name: bytes, text: str) -> None:
    assert resource_text(name) == text


@pytest.mark.parametrize(
    ("hostile", "text"),
    [
        ("left\u202eright", r"left\u202eright"),
        ("a\u2066b\u200fc\u2028d\ufeff", r"a\u2066b\u200fc\u2028d\ufeff"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x85\x9b", r"\x85\x9b"),
        ("lone \udcff", r"lone \udcff"),
        ("Grüße aus 東京", "Grüße aus 東京"),
        ("c:\\x1b", r"c:\\x1b"),
    ],
)
def test_unicode_text_keeps_its_letters_and_loses_what_moves_the_cursor(hostile: str, text: str) -> None:
    assert escape(hostile) == text
