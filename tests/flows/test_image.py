"""The image is for deployment: started as it is, it must not be a developer's server that everybody can reach."""

from tests.flows.live import ROOT


def test_the_image_does_not_start_in_local() -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]
    assert "ENVIRONMENT=production" in image
