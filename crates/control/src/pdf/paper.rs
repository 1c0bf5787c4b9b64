//! Pages that are being written, and what is on them for whoever reads without seeing.

use std::collections::BTreeSet;

use gatehouse_domain::settings::lint::Language;
use pdf_writer::types::{StructRole, TableHeaderScope, TextRenderingMode};
use pdf_writer::{Content, Name, Settings, Str};

use super::font::{Face, Letter, Style, letters};
use super::{Form, Ink};

/// Black enough.
pub(super) const BLACK: Ink = [20, 24, 32];
/// What is beside the point.
pub(super) const GRAY: Ink = [96, 104, 116];
/// Lines between rows.
pub(super) const PALE: Ink = [208, 213, 221];
/// What must not be overlooked.
pub(super) const RED: Ink = [176, 16, 16];
/// Behind heads of tables and code.
pub(super) const WASH: Ink = [241, 244, 248];

/// From the paper's edge to the text, at the sides.
pub(super) const SIDE: f32 = 48.0;
const TOP: f32 = 54.0;
const BOTTOM: f32 = 66.0;

/// A page.
pub(super) struct Sheet {
    /// How wide and high it is, in points.
    pub(super) size: (f32, f32),
    /// What is painted.
    pub(super) content: Content,
    /// The node of each marked piece.
    pub(super) marks: Vec<usize>,
}

/// A node of the document's structure.
pub(super) struct Node {
    /// What it is.
    pub(super) role: StructRole,
    /// The node that it is in; the first node is in none.
    pub(super) parent: usize,
    /// What is in it.
    pub(super) kids: Vec<Kid>,
    /// What it shows, of a picture.
    pub(super) alt: Option<String>,
    /// What it is the head of, in a table.
    pub(super) scope: Option<TableHeaderScope>,
}

impl Node {
    const fn new(role: StructRole, parent: usize) -> Self {
        Self { role, parent, kids: Vec::new(), alt: None, scope: None }
    }
}

/// What is in a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kid {
    /// Another node.
    Node(usize),
    /// A marked piece of a page.
    Mark {
        /// The page.
        page: usize,
        /// Which piece.
        mark: usize,
    },
}

/// The whole document's node.
pub(super) const ROOT: usize = 0;

/// All pages.
pub(super) struct Paper {
    /// The language of the text.
    pub(super) language: Language,
    /// The pages so far; there is one at least.
    pub(super) sheets: Vec<Sheet>,
    /// The nodes so far; the first is the document.
    pub(super) nodes: Vec<Node>,
    /// The fonts that were used.
    pub(super) faces: BTreeSet<Face>,
    /// How far from the upper edge the page is filled, in points.
    pub(super) y: f32,
    form: Form,
}

/// To whom a piece belongs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner {
    /// This node.
    Node(usize),
    /// The page alone: it is no part of the text.
    Page,
}

/// Where a text stands, and what it looks like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Where its base line begins, from the left and from the upper edge.
    pub(super) at: (f32, f32),
    /// Its size.
    pub(super) size: f32,
    /// Its color.
    pub(super) ink: Ink,
    /// What it looks like.
    pub(super) style: Style,
}

/// Compact: nobody reads the file itself.
pub(super) const SETTINGS: Settings = Settings { pretty: false };

impl Paper {
    /// The first page.
    pub(super) fn new(language: Language) -> Self {
        let document = Node::new(StructRole::Document, ROOT);
        let mut paper = Self {
            language,
            sheets: Vec::new(),
            nodes: vec![document],
            faces: BTreeSet::new(),
            y: 0.0,
            form: Form::Portrait,
        };
        paper.turn();
        paper
    }

    /// A text's letters in the document's language.
    pub(super) fn letters(&self, text: &str, style: Style) -> Vec<Letter> {
        letters(text, style, self.language)
    }

    /// Begins a new page.
    pub(super) fn turn(&mut self) {
        let size = match self.form {
            Form::Portrait => (595.28, 841.89),
            Form::Landscape => (841.89, 595.28),
        };
        self.sheets.push(Sheet { size, content: Content::with_settings(SETTINGS), marks: Vec::new() });
        self.y = TOP;
    }

    /// Goes on with pages of this form.
    pub(super) fn turn_to(&mut self, form: Form) {
        self.form = form;
        self.turn();
    }

    /// How wide the text is.
    pub(super) fn width(&self) -> f32 {
        self.last().size.0 - 2.0 * SIDE
    }

    /// How high a whole page's text is.
    pub(super) fn height(&self) -> f32 {
        self.last().size.1 - TOP - BOTTOM
    }

    /// Whether so much fits below what there is.
    pub(super) fn fits(&self, height: f32) -> bool {
        self.y + height <= self.last().size.1 - BOTTOM
    }

    /// Begins a new page unless so much fits.
    pub(super) fn need(&mut self, height: f32) {
        if !self.fits(height) {
            self.turn();
        }
    }

    fn last(&self) -> &Sheet {
        self.sheets.last().expect("there is one page at least")
    }

    /// Adds a node.
    pub(super) fn node(&mut self, parent: usize, role: StructRole) -> usize {
        let id = self.nodes.len();
        self.nodes.push(Node::new(role, parent));
        self.nodes[parent].kids.push(Kid::Node(id));
        id
    }

    /// Paints something on the last page, for its owner. It is given the page's content and height.
    pub(super) fn paint(&mut self, owner: Owner, painter: impl FnOnce(&mut Content, f32)) {
        let page = self.sheets.len() - 1;
        let Owner::Node(node) = owner else { return self.paint_on(page, painter) };
        let sheet = &mut self.sheets[page];
        let mark = sheet.marks.len();
        sheet.marks.push(node);
        self.nodes[node].kids.push(Kid::Mark { page, mark });
        let role = self.nodes[node].role.to_name();
        let id = i32::try_from(mark).unwrap_or(i32::MAX);
        sheet.content.begin_marked_content_with_properties(role).properties().identify(id);
        painter(&mut sheet.content, sheet.size.1);
        sheet.content.end_marked_content();
    }

    /// Paints something on a page that is no part of the text.
    pub(super) fn paint_on(&mut self, page: usize, painter: impl FnOnce(&mut Content, f32)) {
        let sheet = &mut self.sheets[page];
        sheet.content.begin_marked_content(Name(b"Artifact"));
        painter(&mut sheet.content, sheet.size.1);
        sheet.content.end_marked_content();
    }

    /// Writes letters on the last page.
    pub(super) fn write(&mut self, owner: Owner, look: Look, letters: &[Letter]) {
        if letters.is_empty() {
            return;
        }
        self.faces.extend(letters.iter().map(|letter| letter.face));
        self.paint(owner, |content, height| show(content, look, letters, height));
    }

    /// Draws a level line on the last page.
    pub(super) fn rule(&mut self, y: f32, ink: Ink, thick: f32) {
        let width = self.width();
        self.paint(Owner::Page, |content, height| {
            stroke_with(content, ink);
            content
                .set_line_width(thick)
                .move_to(SIDE, height - y)
                .line_to(SIDE + width, height - y)
                .stroke();
        });
    }

    /// Fills a band of the last page, from one height to another.
    pub(super) fn band(&mut self, from: f32, to: f32, ink: Ink) {
        let width = self.width();
        self.paint(Owner::Page, |content, height| {
            fill_with(content, ink);
            content.rect(SIDE, height - to, width, to - from).fill_nonzero();
        });
    }
}

/// Fills with a color from here on.
pub(super) fn fill_with(content: &mut Content, ink: Ink) {
    let [red, green, blue] = ink.map(|part| f32::from(part) / 255.0);
    content.set_fill_rgb(red, green, blue);
}

/// Draws with a color from here on.
pub(super) fn stroke_with(content: &mut Content, ink: Ink) {
    let [red, green, blue] = ink.map(|part| f32::from(part) / 255.0);
    content.set_stroke_rgb(red, green, blue);
}

/// Writes letters, one piece for each font. Chinese fonts have one weight: bold ones get an edge.
pub(super) fn show(content: &mut Content, look: Look, letters: &[Letter], height: f32) {
    fill_with(content, look.ink);
    content.begin_text();
    content.next_line(look.at.0, height - look.at.1);
    for run in letters.chunk_by(|a, b| a.face == b.face) {
        let face = run[0].face;
        let heavy = face.is_chinese() && look.style == super::font::BOLD;
        content.set_font(Name(face.name()), look.size);
        if heavy {
            stroke_with(content, look.ink);
            content.set_line_width(look.size * 0.03).set_text_rendering_mode(TextRenderingMode::FillStroke);
        }
        content.show(Str(&bytes(run)));
        if heavy {
            content.set_text_rendering_mode(TextRenderingMode::Fill);
        }
    }
    content.end_text();
}

/// The codes of letters of one font.
fn bytes(run: &[Letter]) -> Vec<u8> {
    let of = |letter: &Letter| {
        let [high, low] = letter.code.to_be_bytes();
        if letter.face.is_chinese() { vec![high, low] } else { vec![low] }
    };
    run.iter().flat_map(of).collect()
}
