from __future__ import annotations

from fastai_training import console


def test_what_goes_where(capsys):
    console.log("as\tit is")
    console.log_printable("two\nlines")
    console.warn("half\r")
    console.silent("never")
    console.error("why\nand where")
    out, err = capsys.readouterr()
    assert out.splitlines() == ["as\tit is", r"two\nlines", r"warning: half\r"]
    assert err == "error: why\nand where\n"
