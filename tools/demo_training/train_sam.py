"""Train the demo SAM: `python tools/demo_training/train_sam.py`."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from torch.nn import functional as F
from tqdm import tqdm

from fgvp_eval.demo.models import SAM_WEIGHTS, build_demo_sam, load_weights, save_weights
from fgvp_eval.demo.scenes import Scene, generate_scene
from sam_prompts import SamExample, draw_prompts
from training_log import (
    FIRST_TRAINING_SEED,
    Schedule,
    parameter_groups,
    record_run,
)

logger = logging.getLogger(__name__)
# Held-out scenes for the figures in the log; neither training nor evaluation uses these seeds.
VALIDATION_SEED = 5_000_000
FOCAL_WEIGHT = 20.0


def mask_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Focal plus dice loss of every predicted mask.

    Args:
        logits: float [N, K, S, S].
        targets: float [N, 1, S, S] of 0 or 1.

    Returns:
        float [N, K].
    """
    targets = targets.expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    share = logits.sigmoid()
    miss = share + targets - 2.0 * share * targets  # 1 - p of the true class
    focal = (miss.square() * entropy).mean((-2, -1))  # [N, K]
    overlap = (share * targets).sum((-2, -1))
    dice = 1.0 - (2.0 * overlap + 1.0) / (share.sum((-2, -1)) + targets.sum((-2, -1)) + 1.0)
    return FOCAL_WEIGHT * focal + dice


def mask_iou(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """IoU of bool masks [..., H, W]; 0 where both are empty."""
    inter = (first & second).sum((-2, -1)).float()
    return inter / (first | second).sum((-2, -1)).clamp(min=1)


def enlarge(sam: Sam, logits: torch.Tensor) -> torch.Tensor:
    """Low-resolution logits [N, K, s, s] in SAM's input frame [N, K, S, S]."""
    size = sam.image_encoder.img_size
    return F.interpolate(logits, (size, size), mode="bilinear", align_corners=False)


def example_loss(
    sam: Sam, embedding: torch.Tensor, example: SamExample, points: int, rng: np.random.Generator
) -> torch.Tensor:
    """Loss of one image over freshly drawn prompts; `embedding` is [1, C, 16, 16]."""
    prompts = draw_prompts(example, rng, points)
    box_prompts = sam.prompt_encoder(points=None, boxes=prompts.boxes, masks=None)
    point_prompts = sam.prompt_encoder(
        points=(prompts.points, prompts.labels), boxes=None, masks=None
    )
    groups = [box_prompts, point_prompts]
    if box_prompts[0].shape[1] == point_prompts[0].shape[1]:
        # A box and a padded single point are two tokens each, so one decoder call serves both.
        groups = [tuple(torch.cat(pair) for pair in zip(*groups, strict=True))]
    decoded = [
        sam.mask_decoder.predict_masks(embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense)
        for sparse, dense in groups
    ]
    low, quality = (torch.cat(parts) for parts in zip(*decoded, strict=True))
    boxes = len(prompts.boxes)
    targets = prompts.targets[:, None].float()  # [N, 1, S, S]
    # A box says what is meant, so it asks for mask 0 only.
    box_logits = enlarge(sam, low[:boxes, :1])  # [B, 1, S, S]
    point_logits = enlarge(sam, low[boxes:])  # [P, 4, S, S]
    on_object = prompts.targets[boxes:].flatten(1).any(1).bool()  # [P]
    box_losses = mask_losses(box_logits, targets[:boxes])  # [B, 1]
    point_losses = mask_losses(point_logits[on_object], targets[boxes:][on_object])  # [M, 4]
    # Of masks 1-3 the best one learns, the others a little, so that none of them dies.
    several = point_losses[:, 1:]
    drawn = (
        box_losses.mean()
        + 0.5 * point_losses[:, 0].mean()
        + (several.min(1).values + 0.1 * several.mean(1)).mean()
    )
    with torch.no_grad():
        box_truth = mask_iou(box_logits > 0, targets[:boxes] > 0)  # [B, 1]
        point_truth = mask_iou(point_logits > 0, targets[boxes:] > 0)  # [P, 4]
    rating = F.mse_loss(quality[:boxes, :1], box_truth) + F.mse_loss(quality[boxes:], point_truth)
    return drawn + rating


@torch.no_grad()
def mean_iou(sam: Sam, scenes: Sequence[Scene], prompt: str) -> float:
    """Mean IoU over all objects of the scenes through the ordinary `SamPredictor`.

    Args:
        sam: the model, in evaluation mode.
        scenes: scenes to segment.
        prompt: "box" (tight boxes, single mask) or "point" (the visible pixel nearest to the
            mask's middle, best of three masks by predicted IoU).
    """
    predictor, values = SamPredictor(sam), []
    for scene in scenes:
        predictor.set_image(scene.image)
        for item in scene.objects:
            x, y, w, h = item.box_xywh
            if prompt == "box":
                masks, _, _ = predictor.predict(
                    box=np.array([x, y, x + w, y + h]), multimask_output=False
                )
                best = masks[0]
            elif prompt == "point":
                pixels = np.argwhere(item.mask)
                middle = pixels[np.abs(pixels - pixels.mean(0)).sum(1).argmin()]
                masks, scores, _ = predictor.predict(
                    point_coords=middle[None, ::-1] + 0.5, point_labels=np.ones(1)
                )
                best = masks[scores.argmax()]
            else:
                raise ValueError(f"prompt must be box or point, got {prompt!r}")
            values.append((best & item.mask).sum() / (best | item.mask).sum())
    return float(np.mean(values))


def train(args: argparse.Namespace) -> dict[str, float]:
    """Train, write the weights and the log entry into `args.out`, return the figures."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    examples = [
        SamExample.from_scene(generate_scene(FIRST_TRAINING_SEED + k, twins=k % 4 == 0))
        for k in tqdm(range(args.scenes), desc="scenes", file=sys.stderr)
    ]
    sam = build_demo_sam()
    path = args.out / SAM_WEIGHTS.name
    if args.resume:
        load_weights(sam, path)
    sam.train()
    optimizer = torch.optim.AdamW(parameter_groups(sam, 0.05), lr=args.rate, betas=(0.9, 0.98))
    schedule = Schedule(args.steps, args.max_minutes, args.rate)
    bar = tqdm(total=args.steps, desc="SAM", file=sys.stderr, mininterval=5.0)
    step = 0
    while schedule.progress(step) < 1.0:
        schedule.apply(optimizer, step)
        batch = [examples[k] for k in rng.integers(0, len(examples), args.batch)]
        points = 3 if rng.random() < 0.15 else 1
        images = torch.stack([sam.preprocess(e.image.float()) for e in batch])  # [B, 3, S, S]
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            embeddings = sam.image_encoder(images)  # [B, C, 16, 16]
        embeddings = embeddings.float()
        losses = [
            example_loss(sam, embeddings[k : k + 1], example, points, rng)
            for k, example in enumerate(batch)
        ]
        loss = torch.stack(losses).mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimizer.step()
        step += 1
        bar.update()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if step % args.save_every == 0:
            save_weights(sam, path)
    bar.close()
    minutes = schedule.minutes()
    save_weights(sam, path)
    sam.eval()
    held_out = [generate_scene(VALIDATION_SEED + k) for k in range(args.validation_scenes)]
    figures = {f"mean_iou_{prompt}": mean_iou(sam, held_out, prompt) for prompt in ("box", "point")}
    logger.info("SAM after %d steps, %.1f min: %s", step, minutes, figures)
    record_run(
        args.out,
        "sam",
        {
            "steps": step,
            "minutes": round(minutes, 2),
            "seed": args.seed,
            "scenes": args.scenes,
            "batch": args.batch,
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
        prog="python tools/demo_training/train_sam.py", description=__doc__
    )
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--max-minutes", type=float, default=31.0, help="wall-clock budget")
    parser.add_argument("--scenes", type=int, default=4000, help="training scenes")
    parser.add_argument("--batch", type=int, default=8, help="scenes a step")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--bf16",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="picture encoder in bfloat16 while training",
    )
    parser.add_argument("--validation-scenes", type=int, default=40)
    parser.add_argument(
        "--resume", action="store_true", help="go on from the weights in --out, with a new schedule"
    )
    parser.add_argument("--save-every", type=int, default=200)
    parser.add_argument("--out", type=Path, default=SAM_WEIGHTS.parent)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the script."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    args = build_parser().parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    train(args)


if __name__ == "__main__":
    main()
