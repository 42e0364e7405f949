"""The two demo models: builders for training, loaders for everybody else."""

from pathlib import Path

import open_clip
import torch
from open_clip.model import set_model_preprocess_cfg
from open_clip.transform import PreprocessCfg
from safetensors.torch import load_file, save_file
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import nn

from fgvp_eval.demo.tokenizer import CONTEXT_LENGTH, WordTokenizer

WEIGHTS_DIR = Path(__file__).parent
SAM_WEIGHTS = WEIGHTS_DIR / "demo_sam.safetensors"
CLIP_WEIGHTS = WEIGHTS_DIR / "demo_clip.safetensors"
SAM_IMAGE_SIZE = 128
SAM_PATCH_SIZE = 8
SAM_CHANNELS = 64
CLIP_IMAGE_SIZE = 64
CLIP_EMBED_DIM = 128


def build_demo_sam() -> Sam:
    """An untrained segment-anything model for 128×128 inputs, on the CPU."""
    grid = SAM_IMAGE_SIZE // SAM_PATCH_SIZE
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=SAM_IMAGE_SIZE,
            patch_size=SAM_PATCH_SIZE,
            embed_dim=96,
            depth=4,
            num_heads=4,
            out_chans=SAM_CHANNELS,
            use_rel_pos=False,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=SAM_CHANNELS,
            image_embedding_size=(grid, grid),
            input_image_size=(SAM_IMAGE_SIZE, SAM_IMAGE_SIZE),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=SAM_CHANNELS,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=SAM_CHANNELS, num_heads=4, mlp_dim=256
            ),
            num_multimask_outputs=3,
            iou_head_depth=3,
            iou_head_hidden_dim=SAM_CHANNELS,
        ),
    )


def build_demo_clip() -> tuple[open_clip.CLIP, WordTokenizer]:
    """An untrained open_clip model for 64×64 inputs, on the CPU, and its tokenizer."""
    tokenizer = WordTokenizer()
    model = open_clip.CLIP(
        embed_dim=CLIP_EMBED_DIM,
        vision_cfg=open_clip.CLIPVisionCfg(
            # A tuple of layers selects open_clip's ResNet: from few pictures, convolutions learn
            # shapes and textures many times faster than attention does.
            layers=(1, 1, 1, 1),
            width=16,
            image_size=CLIP_IMAGE_SIZE,
        ),
        # The default pooling takes the position of the highest id, which is the end token.
        text_cfg=open_clip.CLIPTextCfg(
            context_length=CONTEXT_LENGTH,
            vocab_size=tokenizer.vocab_size,
            width=64,
            heads=2,
            layers=2,
        ),
    )
    preprocess = PreprocessCfg(size=CLIP_IMAGE_SIZE, resize_mode="squash")
    set_model_preprocess_cfg(model, vars(preprocess))
    return model, tokenizer


def save_weights(model: nn.Module, path: Path) -> None:
    """Store the state of a model as fp16 safetensors; the file is replaced in one step."""
    state = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    partial = path.with_name(path.name + ".partial")
    save_file(state, partial)
    partial.chmod(0o644)
    partial.replace(path)


def load_weights(model: nn.Module, path: Path) -> None:
    """Load safetensors into a model, strictly, keeping the model's dtype.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if names or shapes do not fit the model.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"demo weights are missing: expected {path}; they are part of the package and can be "
            "made again with `python tools/demo_training/train_sam.py` and "
            "`python tools/demo_training/train_clip.py`"
        )
    state = {name: value.float() for name, value in load_file(path).items()}
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f"demo weights {path} do not fit the model: {error}") from error


def load_demo_sam(device: str | torch.device = "cpu") -> Sam:
    """The trained demo SAM in evaluation mode, fp32.

    `SamPredictor` and `SamAutomaticMaskGenerator` work with it as with the large models.
    """
    model = build_demo_sam()
    load_weights(model, SAM_WEIGHTS)
    return model.to(device).eval()


def load_demo_clip(device: str | torch.device = "cpu") -> tuple[open_clip.CLIP, WordTokenizer]:
    """The trained demo CLIP in evaluation mode, fp32, and its tokenizer.

    Image size, mean and deviation are in `model.visual.preprocess_cfg`.
    """
    model, tokenizer = build_demo_clip()
    load_weights(model, CLIP_WEIGHTS)
    return model.to(device).eval(), tokenizer
