"""Character sets: the examples of PS3.5 Annexes H to K, and what must not raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import TEXT_VR_DELIMS

from asyncdicom.protocol.part10_text import decode_text

YAMADA_H31 = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
YAMADA_H32 = (
    b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"
    b"=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J"
)
HONG = (
    b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
)
ZHANG = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="


@pytest.mark.parametrize(
    ("raw", "character_set", "text"),
    [
        pytest.param(b"Doe^Jane ", b"", "Doe^Jane", id="padding is dropped"),
        pytest.param(b"1.2.3\0", b"", "1.2.3", id="a NUL is dropped"),
        pytest.param(b"A\\B ", b"", "A\\B", id="several values stay together"),
        pytest.param(b"", b"ISO_IR 192", "", id="empty"),
        pytest.param(b"J\xe9r\xf4me", b"", "Jérôme", id="Latin-1 without a character set"),
        pytest.param(b"J\xe9r\xf4me", b"ISO_IR 6", "Jérôme", id="Latin-1 in the default set"),
        pytest.param(b"J\xe9r\xf4me", b"ISO_IR 100", "Jérôme", id="ISO_IR 100"),
        pytest.param(b"\xb1", b"ISO_IR 101", "ą", id="ISO_IR 101"),
        pytest.param(b"\xb1", b"ISO_IR 109", "ħ", id="ISO_IR 109"),
        pytest.param(b"\xb1", b"ISO_IR 110", "ą", id="ISO_IR 110"),
        pytest.param(
            b"\xbb\xee\xda", b"ISO_IR 144", "Люк", id="ISO_IR 144"
        ),
        pytest.param(
            b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", b"ISO_IR 127 ", "قباني^لنزار",
            id="ISO_IR 127",
        ),
        pytest.param(b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", b"ISO_IR 126", "Διονυσιος",
                     id="ISO_IR 126"),
        pytest.param(b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", b"ISO_IR 138", "שרון^דבורה",
                     id="ISO_IR 138"),
        pytest.param(b"\xd0\xdd\xfe", b"ISO_IR 148", "Ğİş", id="ISO_IR 148"),
        pytest.param(b"\xa4", b"ISO_IR 203", "€", id="ISO_IR 203"),
        pytest.param(b"\xd4\xcf\xc0\xde", b"ISO_IR 13", "ﾔﾏﾀﾞ", id="ISO_IR 13"),
        pytest.param(b"\xca\xc1\xaa\xd2\xc2", b"ISO_IR 166", "สมชาย", id="ISO_IR 166"),
        pytest.param("王^小东".encode(), b"ISO_IR 192", "王^小东", id="ISO_IR 192"),
        pytest.param("王^小东".encode("gb18030"), b"GB18030 ", "王^小东", id="GB18030"),
        pytest.param("王^小东".encode("gbk"), b"GBK", "王^小东", id="GBK"),
        pytest.param(
            YAMADA_H31, b"\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう",
            id="Japanese, PS3.5 §H.3.1",
        ),
        pytest.param(
            YAMADA_H32, b"ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
            id="Japanese, PS3.5 §H.3.2",
        ),
        pytest.param(b"\x1b$(D0f", b"\\ISO 2022 IR 159", "佀", id="ISO 2022 IR 159"),
        pytest.param(HONG, b"\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동",
                     id="Korean, PS3.5 §I.2"),
        pytest.param(ZHANG, b"\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东=",
                     id="Chinese, PS3.5 §K.2"),
        pytest.param(b"\x1b-F\xc4\xe9", b"ISO 2022 IR 100\\ISO 2022 IR 126", "Δι",
                     id="Greek by escape"),
        pytest.param(b"\xe9\x1b-L\xbb", b"ISO 2022 IR 100\\ISO 2022 IR 144", "éЛ",
                     id="a second set after the first"),
        pytest.param(b"\xe9\x1b%Gx", b"ISO_IR 100", "é", id="an escape that DICOM does not know"),
        pytest.param(b"\x1b(Zx", b"ISO_IR 192", "x", id="a set that DICOM does not know"),
        pytest.param(b"\xe9", b"ISO_IR 192", "\N{REPLACEMENT CHARACTER}", id="not of the set"),
        pytest.param(b"\xe9", b"KOI8", "é", id="an unknown character set"),
        pytest.param(b"\xe9", b"ISO-IR 100", "é", id="a misspelt character set"),
        pytest.param(b"\xb1", b"ISO_2022_IR_101", "ą", id="underscores instead of blanks"),
        pytest.param(b"\xe9", b"\xff", "é", id="a character set that is garbage"),
    ],
)  # fmt: skip
def test_text_is_read_in_its_character_set(raw: bytes, character_set: bytes, text: str) -> None:
    assert decode_text(raw, character_set) == text


@pytest.mark.parametrize(
    ("raw", "character_set"),
    [
        pytest.param(YAMADA_H31, "\\ISO 2022 IR 87", id="Japanese, PS3.5 §H.3.1"),
        pytest.param(YAMADA_H32, "ISO 2022 IR 13\\ISO 2022 IR 87", id="Japanese, PS3.5 §H.3.2"),
        pytest.param(HONG, "\\ISO 2022 IR 149", id="Korean, PS3.5 §I.2"),
        pytest.param(b"\xe2\xc8\xc7\xe6\xea", "ISO_IR 127", id="Arabic"),
        pytest.param(b"\xca\xc1\xaa\xd2\xc2", "ISO_IR 166", id="Thai"),
    ],
)
def test_pydicom_reads_the_same(raw: bytes, character_set: str) -> None:
    codecs = convert_encodings(character_set.split("\\"))
    expected = decode_bytes(raw, codecs, TEXT_VR_DELIMS)
    assert decode_text(raw, character_set.encode()) == expected


@given(
    raw=st.lists(
        st.sampled_from([b"\x1b$B", b"\x1b$)C", b"\x1b(", b"\x1b", b"\xff", b"a", b"^", b"\x1b$(D"])
    ).map(b"".join),
    character_set=st.sampled_from(
        [b"", b"ISO 2022 IR 87", b"ISO_IR 13", b"GBK", b"\\ISO 2022 IR 149", b"ISO_IR 192"]
    ),
)
def test_no_text_raises(raw: bytes, character_set: bytes) -> None:
    assert isinstance(decode_text(raw, character_set), str)
