"""Accuracy of a CLIP on held-out scenes with annotated masks, for the training log."""

from collections.abc import Sequence

import numpy as np
import open_clip
import torch
from torch.nn import functional as F

from fgvp_eval.demo.captions import TEMPLATE
from fgvp_eval.demo.expressions import describe
from fgvp_eval.demo.models import CLIP_IMAGE_SIZE
from fgvp_eval.demo.scenes import generate_scene
from fgvp_eval.demo.tokenizer import WordTokenizer
from fgvp_kernels import render_batch

SENTENCES_PER_OBJECT = 2


@torch.no_grad()
def accuracy_by_mode(
    model: open_clip.CLIP,
    tokenizer: WordTokenizer,
    seeds: Sequence[int],
    modes: Sequence[str],
) -> dict[str, float]:
    """Share of sentences whose best scored object is the one that is meant.

    Args:
        model: the model, in evaluation mode, on the CPU.
        tokenizer: its tokenizer.
        seeds: seeds of the scenes.
        modes: prompt modes.

    Returns:
        Accuracy in 0..1 by mode, and the number of sentences under "n".
    """
    preprocess = model.visual.preprocess_cfg
    correct, total = dict.fromkeys(modes, 0), 0
    for seed in seeds:
        scene, rng = generate_scene(seed), np.random.default_rng(seed)
        gold, texts = [], []
        for index in range(len(scene.objects)):
            for expression in describe(scene.objects, index, SENTENCES_PER_OBJECT, rng):
                gold.append(index)
                texts.append(TEMPLATE.format(expression.raw.lower()))
        words = F.normalize(model.encode_text(tokenizer(texts)), dim=-1)  # [T, E]
        pictures = render_batch(
            scene.image,
            torch.from_numpy(np.stack([item.mask for item in scene.objects])),
            list(modes),
            size=CLIP_IMAGE_SIZE,
            order="resize_first",
            normalize=(preprocess["mean"], preprocess["std"]),
        )  # [K, N, 3, S, S]
        for mode, rendered in zip(modes, pictures, strict=True):
            features = F.normalize(model.encode_image(rendered), dim=-1)  # [N, E]
            chosen = (words @ features.T).argmax(-1)  # [T]
            correct[mode] += int((chosen == torch.tensor(gold)).sum())
        total += len(gold)
    return {**{mode: count / total for mode, count in correct.items()}, "n": float(total)}
