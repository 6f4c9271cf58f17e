"""Every figure of the course: one style, readable in grey, each shown with its text alternative."""

import io
import textwrap

import matplotlib
import matplotlib.pyplot as plt
from cycler import cycler
from IPython.display import display

from course_utils.scale import scale

# Blue, orange, black: apart in grey and for colour-blind readers; line styles and markers differ too.
COLOURS = ("#0b4f9e", "#e08214", "#111111", "#8c8c8c")
STYLE = {
    "figure.figsize": (6.4, 3.6),
    "figure.dpi": 100,
    "savefig.bbox": "tight",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "font.size": 10.5,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=["-", "--", "-.", ":"]),
}


def figure(rows=1, columns=1, size=None):
    """A new figure and its axes in the course's style.

    Args:
        rows, columns: the grid of axes.
        size: (width, height) in inches; by default from the style, wider for more columns.
    """
    matplotlib.rcParams.update(STYLE)  # not a context: legends read the style when they are drawn
    size = size or (6.4 if columns == 1 else 4.2 * columns, 3.6 * rows)
    return plt.subplots(rows, columns, figsize=size, layout="constrained")


def show(fig, alt):
    """Display a figure as PNG with a text alternative, and close it.

    The alternative goes into the image's metadata (exported pages use it) and stands as a caption
    under the figure, since JupyterLab does not read it to a screen reader.

    Args:
        fig: a matplotlib figure.
        alt: what the figure shows, in a sentence; of the default scale, which the fast one says.
    """
    if scale() == "fast":
        alt += " (As it comes out at the default scale; a run at the fast one may be too short to show it.)"
    buffer = io.BytesIO()
    # no version of the library in the file, so that the bytes depend on the picture only
    fig.savefig(buffer, format="png", metadata={"Software": None})
    plt.close(fig)
    bundle = {"image/png": buffer.getvalue(), "text/plain": f"Figure: {alt}"}
    display(bundle, raw=True, metadata={"image/png": {"alt": alt}})
    print(textwrap.fill(f"Figure: {alt}", width=96))


def bars(ax, names, values, label=None, offset=0.0, width=0.8, colour=COLOURS[0], hatch=""):
    """Labelled bars on given axes; hatches keep groups apart in grey."""
    positions = [i + offset for i in range(len(names))]
    drawn = ax.bar(positions, values, width=width, label=label, color=colour, hatch=hatch, edgecolor="white")
    ax.set_xticks(range(len(names)), names)
    ax.grid(axis="x", visible=False)
    return drawn
