"""Names of systems and encoders."""

import pytest

from maaf_lab.errors import ConfigError


def test_unknown_names_list_the_known(smoke):
    with pytest.raises(ConfigError, match=r"'maff'; known: .*maaf.*tirg.*image_only.*text_only"):
        smoke("maff")
    with pytest.raises(ConfigError, match=r"'gru'; known: lstm.*bert"):
        smoke(**{"model.text_encoder": "gru"})
    with pytest.raises(ConfigError, match=r"'vgg'; known: .*resnet50.*tiny"):
        smoke(**{"model.image_encoder": "vgg"})
