//! Documents as PDF (ISO 32000-1): from parts to bytes. Pure; the same document gives the same bytes.
//!
//! There is no font in a file: Latin letters are those of the standard fonts, Chinese ones those that readers bring along
//! (`font`). Documents are tagged, so that a screen reader, or whoever copies a table, finds what is a heading and
//! what a cell.

mod helvetica;
mod font;
mod paper;
mod table;
mod flow;
mod file;

use gatehouse_domain::settings::lint::Language;
use gatehouse_domain::time::UnixMillis;

use crate::act::ActError;

/// Most rows that a document holds, all its tables together; some hundreds of pages.
pub const MAX_ROWS: usize = 10_000;

/// A document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its language.
    pub language: Language,
    /// What it is called outside: the title of its window.
    pub title: String,
    /// Whose it is.
    pub author: String,
    /// When it was made; it is not asked of any clock.
    pub at: UnixMillis,
    /// What stands below every page, beside its number: at most two lines.
    pub footer: Vec<String>,
    /// What is in it, in this order.
    pub parts: Vec<Part>,
}

/// A part of a document. Texts are as they are: what cannot be shown is replaced by question marks.
#[derive(Debug, Clone)]
pub enum Part {
    /// The title on the first page.
    Title(String),
    /// A heading.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// A paragraph that must not be overlooked.
    Warning(String),
    /// Facts: what, and how it is.
    Facts(Vec<Fact>),
    /// A list.
    List(Vec<String>),
    /// A table.
    Table(Table),
    /// A text to be copied; every line of it is one.
    Code(String),
    /// A picture.
    Picture(Picture),
    /// A new page, and from there on pages of this form.
    Turn(Form),
}

/// A fact.
#[derive(Debug, Clone)]
pub struct Fact {
    /// What.
    pub what: String,
    /// How it is.
    pub is: String,
    /// How it is shown.
    pub shown: Shown,
}

/// How a fact is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// As usual.
    Plain,
    /// It is what counts.
    Bold,
    /// With letters of one width, as digests are.
    Code,
}

/// How a page lies (ISO 216, A4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Upright.
    Portrait,
    /// Broad.
    Landscape,
}

/// A table. Its head is repeated on every page.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows, with a cell for each column.
    pub rows: Vec<Vec<String>>,
    /// The row of sums.
    pub total: Option<Vec<String>>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its title.
    pub title: String,
    /// Where its cells stand.
    pub side: Side,
}

/// Where cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// On the left; long texts are broken into lines.
    Left,
    /// Figures: one below the other by their decimal point. They are never cut or broken.
    Figure,
}

/// A picture: lines and texts at places that are counted from the upper left corner.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// How wide it is, in units of its own.
    pub width: f32,
    /// How high.
    pub height: f32,
    /// What it shows, for whoever cannot see it.
    pub what: String,
    /// What is in it, the lowest first.
    pub shapes: Vec<Shape>,
}

/// A color: red, green and blue, each up to 255.
pub type Ink = [u8; 3];

/// A shape of a picture.
#[derive(Debug, Clone)]
pub enum Shape {
    /// A box.
    Box {
        /// Its upper left corner.
        at: (f32, f32),
        /// Its width and height.
        size: (f32, f32),
        /// What it is filled with.
        fill: Ink,
        /// The color of its edge, and how thick that is.
        edge: (Ink, f32),
    },
    /// A line through these points that ends in an arrow.
    Arrow {
        /// The points.
        points: Vec<(f32, f32)>,
        /// Its color.
        ink: Ink,
        /// How thick it is.
        thick: f32,
    },
    /// A disk.
    Disk {
        /// Its middle.
        at: (f32, f32),
        /// Its radius.
        radius: f32,
        /// Its color.
        ink: Ink,
    },
    /// A text on one line.
    Text {
        /// Where its base line begins, or has its middle.
        at: (f32, f32),
        /// Its size.
        size: f32,
        /// Its color.
        ink: Ink,
        /// Whether it is bold.
        bold: bool,
        /// Whether the place is its middle.
        centered: bool,
        /// What it says.
        text: String,
    },
}

/// The document as bytes.
pub fn written(document: &Document) -> Vec<u8> {
    file::written(document, flow::set(document))
}

/// The same, on a thread that may take its time: a document of ten thousand rows is a second's work.
///
/// # Errors
/// That thread broke down.
pub async fn print(document: Document) -> Result<Vec<u8>, ActError> {
    let written = tokio::task::spawn_blocking(move || written(&document)).await;
    written.map_err(|_| ActError::field("format", "the PDF could not be written"))
}

/// A time for people: `2026-11-02 09:00:00 UTC`.
pub fn moment(at: UnixMillis) -> String {
    let text = at.to_string();
    format!("{} UTC", text.get(..19).unwrap_or(&text).replace('T', " "))
}

/// Its UTC day: `2026-11-02`.
pub fn day(at: UnixMillis) -> String {
    at.to_string().chars().take(10).collect()
}

/// Whether all letters of a text can be shown. Others are replaced, so that two texts may look alike.
pub fn shows(text: &str) -> bool {
    font::shows(text)
}

#[cfg(test)]
mod tests;
