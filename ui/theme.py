"""How the page looks: Gradio's own theme in our colours, with fonts that every system has, and one style sheet."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

STYLES = [Path(__file__).with_name("style.css"), *sorted((Path(__file__).parent / "tabs").glob("*.css"))]
# Gradio puts the page together piece by piece, and brings the style sheets last: it shows when it is whole (page.py says when),
# or after three seconds as it is then.
HEAD = """<style>
.gradio-container { width: 100% !important; max-width: 1320px !important; margin: 0 auto !important; padding: 0 !important; }
.gradio-container { visibility: hidden; animation: rc-show 0s 3s forwards; }
.rc-loaded .gradio-container { visibility: visible; animation: none; }
@keyframes rc-show { to { visibility: visible; } }
</style>"""

# Plum, the middle of the maps' own ramp.
PLUM = gr.themes.Color(
    c50="#fbf4f7", c100="#f6e6ee", c200="#edcddd", c300="#dfa6c1", c400="#cb769f", c500="#b0527f",
    c600="#963c67", c700="#7b2f54", c800="#662a47", c900="#56273e", c950="#331222", name="plum",
)  # fmt: skip


def theme() -> gr.themes.Base:
    """The theme. Nothing in it is loaded from another host."""
    return gr.themes.Base(
        primary_hue=PLUM,
        secondary_hue=PLUM,
        neutral_hue="stone",
        radius_size="lg",
        font=["system-ui", "Segoe UI", "Roboto", "Noto Sans", "Helvetica Neue", "Arial", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    ).set(
        body_background_fill="#faf8f6",
        body_background_fill_dark="#171412",
        block_background_fill="white",
        block_background_fill_dark="#211d1b",
        block_border_width="1px",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        body_text_color_subdued="#6b625c",
        body_text_color_subdued_dark="#a89f98",
    )
