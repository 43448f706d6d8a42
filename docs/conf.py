"""The documentation site: pages in Markdown, tutorials that are executed, and the API's docstrings.

Nothing is fetched, neither by the build nor by a reader's browser. Formulas become MathML, which
browsers draw themselves: MathJax would be a script from another host, or megabytes beside ours.
`make docs` lays out the sources as they lie in the repository, so that links lead where they do
there, and treats a warning as an error.
"""

import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.domains.python import PyObject

sys.path.insert(0, str(Path(__file__).parent))

import api_pages

project = "remjax"
copyright = "the remjax authors"
root_doc = "docs/index"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["docs/site", "docs/static"]
default_role = "code"
# Docstrings are plain text with formulas: docutils sees markup, and Python names, here and there.
suppress_warnings = ["docutils", "ref.python"]

html_theme = "furo"
html_title = "remjax"
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["formulas.css", "pages.css"]
html_extra_path = ["site"]  # index.html, which leads to docs/

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 1200  # of a cell, on a busy machine
nb_execution_excludepatterns = ["experiments/notebooks/*"]  # shown as it is
nb_execution_show_tb = True
nb_output_stderr = "remove"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature of a named tuple has the types
python_maximum_signature_line_length = 80

html_math_renderer = "mathml"
_THIN_SPACE = '<mspace width="0.17em"/>'


def _mathml(translator, node):
    block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=block)
    # The converter sets "log p" as one word.
    formula = re.sub(r"(<mi>(?:log|exp|max|min)</mi>)(?=\s*<m[a-z])", rf"\1{_THIN_SPACE}", formula)
    translator.body.append(formula)
    raise nodes.SkipNode


def _link_pictures(app, doctree, name):
    """A picture of its natural size, or as wide as the page, that a click shows by itself."""
    for picture in doctree.findall(nodes.image):
        file = Path(app.srcdir, picture.get("uri", ""))
        free = not isinstance(picture.parent, nodes.reference)
        if free and file.suffix == ".png" and file.is_file():
            picture["scale"] = 100  # Sphinx links what has a scale


for _field in PyObject.doc_field_types:
    if _field.name == "variable":  # the fields of a named tuple, which no page calls variables
        _field.label = "Attributes"


def setup(app):
    """The renderer of formulas, docstrings that are no reStructuredText, and the API's pages."""
    app.add_html_math_renderer("mathml", (_mathml, None), (_mathml, None))
    app.connect("autodoc-process-docstring", api_pages.as_text, priority=400)
    app.connect("autodoc-process-signature", api_pages.short_types)
    app.connect("autodoc-skip-member", api_pages.skip_fields)
    app.connect("doctree-resolved", _link_pictures)
    app.connect("builder-inited", _make_pages)


def _make_pages(app):
    sources = Path(app.srcdir)
    api_pages.write(sources / "docs" / "api")
    api_pages.give_titles(sources / "benchmarks" / "results")
