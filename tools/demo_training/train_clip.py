"""Train the demo CLIP: `python tools/demo_training/train_clip.py`."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch
from segment_anything import SamPredictor
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from clip_accuracy import accuracy_by_mode
from fgvp_eval.demo.captions import CHOICES, could_be_true, write_caption
from fgvp_eval.demo.expressions import ATTRIBUTES
from fgvp_eval.demo.models import (
    CLIP_EMBED_DIM,
    CLIP_WEIGHTS,
    build_demo_clip,
    load_demo_sam,
    load_weights,
    save_weights,
)
from fgvp_eval.demo.scenes import generate_scene
from fgvp_eval.demo.tokenizer import WordTokenizer
from prompted_pictures import (
    BLUR_VARIANTS,
    TRAINING_MODES,
    PromptedScene,
    mirrored,
    render_scene,
)
from training_log import (
    FIRST_TRAINING_SEED,
    Schedule,
    parameter_groups,
    record_run,
)

logger = logging.getLogger(__name__)
# Training scenes of SAM and CLIP do not overlap either.
FIRST_SCENE_SEED = 2 * FIRST_TRAINING_SEED
VALIDATION_SEED = 6_000_000
BLUR_SHARE, CROP_SHARE = 0.84, 0.08
LOCATION_SHARE = 0.2
ATTRIBUTE_WEIGHT = 1.0
MAX_LOGIT_SCALE = 100.0


def pick_variant(rng: np.random.Generator) -> tuple[int, float]:
    """Variant of one scene's pictures, and how often their captions state a location.

    A batch holds all kinds of picture, so that batch normalisation sees the same mixture at
    every step; the objects of one scene, which are the hard cases, are drawn alike.
    """
    draw = rng.random()
    if draw < BLUR_SHARE:
        return int(rng.integers(BLUR_VARIANTS)), LOCATION_SHARE
    if draw < BLUR_SHARE + CROP_SHARE:
        # A crop does not show where it was cut.
        return BLUR_VARIANTS, 0.0
    return BLUR_VARIANTS + 1, LOCATION_SHARE


def contrastive_loss(
    features: torch.Tensor, words: torch.Tensor, fits: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """CLIP's symmetric loss without the pairs that fit by accident.

    Args:
        features: float [N, E], unit length, of the pictures.
        words: float [N, E], unit length, of the captions.
        fits: bool [N, N], picture × caption, true where the caption could be true.
        scale: logit scale, a scalar.
    """
    logits = scale * features @ words.T  # [N, N]
    own = torch.eye(len(logits), dtype=torch.bool)
    logits = logits.masked_fill(fits & ~own, float("-inf"))
    target = torch.arange(len(logits))
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))


class AttributeHeads(nn.Module):
    """Linear classifiers of the attributes on CLIP's picture features.

    They teach the picture tower directly while the text tower still knows nothing, and are
    thrown away after training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(CLIP_EMBED_DIM, len(CHOICES[a])) for a in ATTRIBUTES)

    def forward(self, features: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        """Mean cross entropy; features float [N, E], attributes int64 [N, 4]."""
        losses = [
            F.cross_entropy(head(features), attributes[:, k]) for k, head in enumerate(self.heads)
        ]
        return torch.stack(losses).mean()


def batch_loss(
    model: open_clip.CLIP,
    heads: AttributeHeads,
    tokenizer: WordTokenizer,
    scenes: Sequence[PromptedScene],
    rng: np.random.Generator,
    captions_per_picture: int,
    bf16: bool,
) -> torch.Tensor:
    """Loss over all objects of some scenes; objects of one scene are each other's hard cases."""
    scenes = [mirrored(scene) if rng.random() < 0.5 else scene for scene in scenes]
    drawn = [(scene, *pick_variant(rng)) for scene in scenes]
    pictures = torch.cat([scene.pictures[variant] for scene, variant, _ in drawn])  # [N, 3, S, S]
    location_shares = [share for scene, _, share in drawn for _ in scene.objects]  # N
    attributes = torch.cat([scene.indices for scene in scenes])  # [N, 4]
    centres = torch.cat([scene.centres for scene in scenes])  # [N, 2]
    objects = [item for scene in scenes for item in scene.objects]
    preprocess = model.visual.preprocess_cfg
    mean, std = (torch.tensor(preprocess[key]).view(3, 1, 1) for key in ("mean", "std"))
    inputs = ((pictures / 255.0 - mean) / std).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        raw_features = model.encode_image(inputs)  # [N, E]
    raw_features = raw_features.float()
    features = F.normalize(raw_features, dim=-1)
    scale = model.logit_scale.exp()
    losses = []
    for _ in range(captions_per_picture):
        captions = [
            write_caption(item, (float(x), float(y)), rng, share)
            for item, (x, y), share in zip(objects, centres, location_shares, strict=True)
        ]
        words = F.normalize(
            model.encode_text(tokenizer([caption.text for caption in captions])), dim=-1
        )  # [N, E]
        fits = could_be_true(captions, attributes, centres)
        losses.append(contrastive_loss(features, words, fits, scale))
    attribute_loss: torch.Tensor = heads(raw_features, attributes)
    return torch.stack(losses).mean() + ATTRIBUTE_WEIGHT * attribute_loss


def train(args: argparse.Namespace) -> dict[str, float]:
    """Train, write the weights and the log entry into `args.out`, return the figures."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    predictor = SamPredictor(load_demo_sam())
    scenes = [
        render_scene(generate_scene(FIRST_SCENE_SEED + k, twins=k % 4 == 0), rng, predictor)
        for k in tqdm(range(args.scenes), desc="pictures", file=sys.stderr, mininterval=5.0)
    ]
    model, tokenizer = build_demo_clip()
    path = args.out / CLIP_WEIGHTS.name
    if args.resume:
        load_weights(model, path)
    # Convolutions on a CPU run faster on this layout.
    model.visual.to(memory_format=torch.channels_last)
    model.train()
    heads = AttributeHeads()
    groups = parameter_groups(model, 0.1) + parameter_groups(heads, 0.0)
    optimizer = torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.98))
    schedule = Schedule(args.steps, args.max_minutes, args.rate)
    bar = tqdm(total=args.steps, desc="CLIP", file=sys.stderr, mininterval=5.0)
    step = 0
    while schedule.progress(step) < 1.0:
        schedule.apply(optimizer, step)
        picked = rng.choice(len(scenes), min(args.batch, len(scenes)), replace=False)
        chosen = [scenes[k] for k in picked]
        loss = batch_loss(model, heads, tokenizer, chosen, rng, args.captions, args.bf16)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0.0, float(np.log(MAX_LOGIT_SCALE)))
        step += 1
        bar.update()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if step % args.save_every == 0:
            save_weights(model, path)
    bar.close()
    minutes = schedule.minutes()
    save_weights(model, path)
    model.eval()
    figures = accuracy_by_mode(
        model,
        tokenizer,
        [VALIDATION_SEED + k for k in range(args.validation_scenes)],
        (*TRAINING_MODES, "none"),
    )
    logger.info("CLIP after %d steps, %.1f min: %s", step, minutes, figures)
    record_run(
        args.out,
        "clip",
        {
            "steps": step,
            "minutes": round(minutes, 2),
            "seed": args.seed,
            "scenes": args.scenes,
            "batch": args.batch,
            "captions": args.captions,
            "rate": args.rate,
            "bfloat16": args.bf16,
            "validation_scenes": args.validation_scenes,
            "validation": {name: round(value, 4) for name, value in figures.items()},
        },
        resumed=args.resume,
    )
    return figures


def build_parser() -> argparse.ArgumentParser:
    """Options of the script; the defaults are those of the committed weights."""
    parser = argparse.ArgumentParser(
        prog="python tools/demo_training/train_clip.py", description=__doc__
    )
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--max-minutes", type=float, default=17.0, help="wall-clock budget")
    parser.add_argument("--scenes", type=int, default=2000, help="training scenes")
    parser.add_argument("--batch", type=int, default=20, help="scenes a step")
    parser.add_argument("--captions", type=int, default=1, help="captions a picture and step")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--bf16",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="picture tower in bfloat16 while training",
    )
    parser.add_argument("--validation-scenes", type=int, default=60)
    parser.add_argument(
        "--resume", action="store_true", help="go on from the weights in --out, with a new schedule"
    )
    parser.add_argument("--save-every", type=int, default=200)
    parser.add_argument("--out", type=Path, default=CLIP_WEIGHTS.parent)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the script."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    args = build_parser().parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    train(args)


if __name__ == "__main__":
    main()
