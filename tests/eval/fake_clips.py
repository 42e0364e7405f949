"""CLIPs of two random projections, which say what was asked of them."""

import torch

from fgvp_eval.encoding.clip_models import ClipModel, PictureSpec

CPU = torch.device("cpu")


class FakeClip:
    """Two random projections, with a record of what was asked of them."""

    def __init__(self, size: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.image_weight = torch.randn(3 * size * size, 8, generator=generator)
        self.text_weight = torch.randn(128, 8, generator=generator)
        self.image_batches: list[int] = []
        self.texts: list[str] = []

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        self.image_batches.append(len(image))
        return image.flatten(1).float() @ self.image_weight

    def encode_text(self, text: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.bincount(row, minlength=128).float() for row in text]) @ (
            self.text_weight
        )

    def tokenize(self, texts: list[str]) -> torch.Tensor:
        self.texts += texts
        return torch.tensor([[ord(letter) for letter in text.ljust(40)] for text in texts])


def fake(size: int, seed: int, scale: float) -> ClipModel:
    model = FakeClip(size, seed)
    spec = PictureSpec((size, size), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    return ClipModel(
        f"fake{seed}", model, model.tokenize, spec, torch.float32, scale, "0" * 64, "bicubic"
    )
