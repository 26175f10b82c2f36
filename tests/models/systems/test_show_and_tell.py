"""Show and Tell reads the image first."""

import torch


def test_show_and_tell_reads_the_image_first(made_model):
    model = made_model("show_and_tell")
    features = model.encode(torch.randn(2, 3, 56, 56))
    text = model.read(["remove cube", ""])
    image = model.enter(model.image_vector(features))
    with_words = torch.stack([image[0], *model.words.embedding(text.ids[0])])
    states = model.lstm(with_words[None])[0][0]
    found = model.fuse(features, text)[0]
    assert torch.allclose(found[0], model.leave(states[-1]), atol=1e-5)
    assert torch.allclose(found[1], model.leave(model.lstm(image[1][None, None])[0][0, -1]), atol=1e-5)
