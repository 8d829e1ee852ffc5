"""Under which name a file is offered."""

import pytest

from tradepost.media.file_types import saved_name


@pytest.mark.parametrize(
    ("own", "stored", "offered"),
    [
        ("photo.jpeg", "x.jpg", "photo.jpeg"),
        ("photo.JPG", "x.jpg", "photo.JPG"),
        ("photo.jfif", "x.jpg", "photo.jfif"),
        ("photo.png", "x.jpg", "photo.png.jpg"),
        ("photo.jpeg", "x.png", "photo.jpeg.png"),
        ("photo", "x.png", "photo.png"),
        ("jpeg", "x.jpg", "jpeg.jpg"),
        (".jpeg", "x.jpg", ".jpeg.jpg"),
        ("", "x.jpg", ".jpg"),
        ("photo", "x.avif", "photo.avif"),
        ("notes.md", "x.txt", "notes.md"),
        ("notes.txt", "x.txt", "notes.txt"),
        ("page.html", "x.txt", "page.html.txt"),
        ("run.bat", "x.txt", "run.bat.txt"),
        ("old.pdf.txt", "x.pdf", "old.pdf.txt.pdf"),
        ("a.doc", "x.docx", "a.doc.docx"),
        ("a.docx", "x.docx", "a.docx"),
    ],
)
def test_its_own_name_where_the_extension_fits(own: str, stored: str, offered: str) -> None:
    assert saved_name(own, stored) == offered
