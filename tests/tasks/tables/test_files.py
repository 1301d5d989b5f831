"""Files of every common form hold the table that pandas wrote; what is no table is refused with one line."""

import bz2
import gzip
import lzma
import zipfile

import numpy as np
import pandas as pd
import pytest

from agent_gym.ground.errors import UserError
from agent_gym.tasks.tables.reading.frames import file_row, read_table

FRAME = pd.DataFrame({"size, cm": [1.5, 2.25, -3.0], "도시": ["서울", "부산; 항구", "한 # 강"], "n": [1, 2, 3]})


def same(path, **options) -> None:
    pd.testing.assert_frame_equal(read_table(path, quiet=True, **options), FRAME, check_dtype=False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-32", "cp949"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_and_encodings(tmp_path, encoding, separator):
    text = FRAME.to_csv(index=False, sep=separator)
    data = b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16-le-bom" else text.encode(encoding)
    (tmp_path / "data.csv").write_bytes(data)
    same(tmp_path / "data.csv")


def test_letters_of_western_europe_and_those_that_a_flag_names(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes("name,n\nJosé,1\nZoë,2\n".encode("latin-1"))
    frame = read_table(path, quiet=True)
    assert frame["name"].tolist() == ["José", "Zoë"] and "cp1252" in frame.attrs["notes"][0]
    path.write_bytes("имя,n\nИван,1\n".encode("koi8-r"))
    assert read_table(path, quiet=True, encoding="koi8-r").columns[0] == "имя"
    for encoding, message in (
        ("klingon", "'klingon' is not known"),
        ("ascii", "is not ascii text"),
        ("utf-8", "byte 0"),
    ):
        with pytest.raises(UserError, match=message):
            read_table(path, quiet=True, encoding=encoding)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files(tmp_path, pack):
    (tmp_path / "data").write_bytes(pack(FRAME.to_csv(index=False).encode()))  # known by its content, not its name
    same(tmp_path / "data")


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_zip_files(tmp_path):
    text = FRAME.to_csv(index=False)
    same(zipped(tmp_path / "one.zip", data=text))
    with pytest.raises(UserError, match="holds 2 files: expected a zip of one table"):
        read_table(zipped(tmp_path / "two.zip", a=text, b=text))
    (tmp_path / "cut.zip").write_bytes((tmp_path / "one.zip").read_bytes()[:-30])
    with pytest.raises(UserError, match="is damaged"):
        read_table(tmp_path / "cut.zip")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, None])
def test_a_packed_bomb_is_refused(tmp_path, pack):
    content = b"a,b\n" + b"0" * 40_000_000
    path = tmp_path / "bomb"
    if pack:
        path.write_bytes(pack(content))
    else:
        zipped(path, data=content)
    with pytest.raises(UserError, match="more than 200 times its size"):
        read_table(path, quiet=True)


def test_what_excel_and_people_put_above_the_names(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("sep=;\na;b\n1,5;x\n")
    assert read_table(path, quiet=True)["a"].tolist() == ["1,5"]
    path.write_text("# exported today, by hand\n#\n\na,b\n1,x\n# halfway\n#red,y\n")
    frame = read_table(path, quiet=True)
    assert frame["a"].tolist() == ["1", "#red"] and "3 lines that begin with #" in frame.attrs["notes"][0]
    assert [file_row(frame, i) for i in range(2)] == [5, 7]  # as an editor numbers them
    path.write_text("#id\tname\n1\tx\n")
    assert list(read_table(path, quiet=True).columns) == ["#id", "name"]


def test_columns_between_blanks(tmp_path):
    (tmp_path / "data.txt").write_text("x   group  y\n0.5   a     1\n-1    b     2\n12.25 a     3\n")
    frame = read_table(tmp_path / "data.txt", quiet=True)
    assert frame["x"].tolist() == [0.5, -1.0, 12.25] and frame["y"].tolist() == [1, 2, 3]


def test_words_of_truth_stay_as_they_are_written(tmp_path):
    (tmp_path / "data.csv").write_text("a,b,c\nTRUE,true,1\nFALSE,,2\n")
    frame = read_table(tmp_path / "data.csv", quiet=True)
    assert frame["a"].tolist() == ["TRUE", "FALSE"] and frame["b"].isna().tolist() == [False, True]
    assert frame["b"].iloc[0] == "true" and frame["c"].tolist() == [1, 2]


@pytest.mark.parametrize("name", ["data.csv", "data.xlsx"])
def test_two_columns_of_one_name(tmp_path, name):
    path = tmp_path / name
    if name.endswith("csv"):
        path.write_text("x,y,x\n1,2,3\n")
    else:
        sheet(path, [["x", "y", "x"], [1, 2, 3]])
    with pytest.raises(UserError, match="columns 1 and 3 are both named 'x'"):
        read_table(path, quiet=True)


def sheet(path, rows):
    """The smallest .xlsx there is."""

    def cell(value):
        if isinstance(value, str):
            return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
        return f"<c><v>{value}</v></c>" if value is not None else "<c/>"

    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    body = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)

    def relation(kind, place):
        return (
            f'<Relationships xmlns="{package}"><Relationship Id="r1" Type="{office}/{kind}" Target="{place}"/>'
            "</Relationships>"
        )

    parts = {
        "_rels/.rels": relation("officeDocument", "xl/workbook.xml"),
        "xl/_rels/workbook.xml.rels": relation("worksheet", "worksheets/sheet1.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="one" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>',
    }
    return zipped(path, **parts)


def test_a_spreadsheet(tmp_path):
    frame = read_table(sheet(tmp_path / "data.xlsx", [list(FRAME.columns), *FRAME.to_numpy().tolist()]), quiet=True)
    assert frame["size, cm"].tolist() == FRAME["size, cm"].tolist() and frame["n"].tolist() == [1, 2, 3]
    assert frame["도시"].tolist() == FRAME["도시"].tolist()


def test_parquet(tmp_path):
    frame = FRAME.assign(day=pd.date_range("2024-01-31", periods=3), kind=pd.Categorical(["a", "b", "a"]))
    frame.to_parquet(tmp_path / "data.parquet")
    read = read_table(tmp_path / "data.parquet", quiet=True)
    assert list(read.columns) == list(frame.columns) and np.array_equal(read["size, cm"], FRAME["size, cm"])
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "data.parquet").read_bytes()[:200])
    with pytest.raises(UserError, match="cannot be read"):
        read_table(tmp_path / "cut.parquet", quiet=True)


@pytest.mark.parametrize(("name", "package"), [("data.parquet", "pyarrow"), ("data.xlsx", "python-calamine")])
def test_a_library_that_is_missing_is_asked_for(tmp_path, monkeypatch, name, package):
    sheet(tmp_path / "data.xlsx", [["x"], [1]])
    FRAME.to_parquet(tmp_path / "data.parquet")
    monkeypatch.setattr("agent_gym.tasks.tables.reading.binary.find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"need {package}: pip install 'agent-gym\[tables\]'"):
        read_table(tmp_path / name, quiet=True)
