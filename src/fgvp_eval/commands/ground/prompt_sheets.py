"""The prompts of a grounding as each CLIP saw them, one sheet for each text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fgvp_eval.commands.ground.annotated_picture import color_of
from fgvp_eval.commands.ground.report import GroundReport
from fgvp_eval.encoding.clip_models import PictureSpec
from fgvp_eval.encoding.prompt_pictures import draw_prompts
from fgvp_eval.encoding.prompt_strips import as_seen, prompt_strip, stacked
from fgvp_eval.masks.masked_image import MaskedImage


def prompt_sheet(report: GroundReport, top: int) -> Image.Image:
    """Draw the prompts of each text's best candidates, best first.

    CLIPs that take different pictures have a strip each. The chosen candidate is framed in the
    text's colour and is always there.

    Args:
        report: The grounding.
        top: How many candidates of each text.
    """
    found = report.found
    specs = list(dict.fromkeys(clip.pictures for clip in report.clips))
    seen = {
        (spec, color): _seen(report, spec, color)
        for spec in specs
        for color in dict.fromkeys(found.colors)
    }  # each [K, N, h, w, 3]
    strips = []
    for text, color in enumerate(found.colors):
        shown = found.ranked(text)[:top]
        chosen = found.assigned[text]
        if chosen is not None and chosen not in shown:
            shown.append(chosen)
        for spec in specs:
            title = f"{text + 1}  {report.inputs.texts[text]}  ({_reader(report, spec)})"
            strips.append(_strip(report, text, shown, seen[spec, color][:, shown], title))
    return stacked(strips)


def _reader(report: GroundReport, spec: PictureSpec) -> str:
    """Say which CLIPs take pictures of ``spec``."""
    names = " + ".join(clip.name for clip in report.clips if clip.pictures == spec)
    height, width = spec.size
    sums = "; logits are sums over all CLIPs" if len(report.clips) > 1 else ""
    return f"CLIP {names}, {width}x{height}{sums}"


def _strip(
    report: GroundReport,
    text: int,
    shown: Sequence[int],
    pictures: NDArray[np.uint8],
    title: str,
) -> Image.Image:
    """Draw one text's candidates ``shown``, whose pictures are ``[K, shown, h, w, 3]``."""
    found = report.found
    chosen = found.assigned[text]
    heads = [
        f"{index}   p {found.probabilities[text, index]:.2f}   "
        f"score {found.scores[text, index]:.2f}   {report.label(index)}"
        for index in shown
    ]
    return prompt_strip(
        pictures,
        report.inputs.plan.settings.modes,
        heads,
        notes=[[f"logit {row[index]:.2f}" for index in shown] for row in found.by_mode[text]],
        frames={} if chosen is None else {shown.index(chosen): color_of(text)},
        title=title,
    )


def _seen(report: GroundReport, spec: PictureSpec, color: str | None) -> NDArray[np.uint8]:
    """Draw all prompts as they were scored, ``[K, N, h, w, 3]``."""
    plan, found = report.inputs.plan, report.found
    styles = plan.styles(report.seed)
    pictures = draw_prompts(
        MaskedImage(report.inputs.photo.pixels, found.masks, found.boxes_xyxy),
        range(len(found.boxes_xyxy)),
        {
            mode: styles[mode] if color is None else styles[mode].colored(color)
            for mode in plan.settings.modes
        },
        spec=spec,
        dtype=next(clip.dtype for clip in report.clips if clip.pictures == spec),
        device=report.device,
    )  # [K, N, 3, h, w]
    return as_seen(pictures, spec)
