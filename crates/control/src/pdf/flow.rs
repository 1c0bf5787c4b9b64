//! Sets a document's parts on pages, one below the other.

use pdf_writer::Content;
use pdf_writer::types::{LineCapStyle, LineJoinStyle, StructRole};

use super::font::{BOLD, Letter, PLAIN, Style, letters, lines, width};
use super::paper::{BLACK, GRAY, Look, Owner, PALE, Paper, RED, ROOT, SIDE, WASH, fill_with, stroke_with};
use super::{Document, Fact, Ink, Part, Picture, Shape, Shown, table};

/// Most lines of a paragraph or a line of code; more are cut.
const MOST: usize = 200;
/// How wide the names of facts are.
const WHAT: f32 = 112.0;

/// Sets all parts, and then what stands below each page.
pub(super) fn set(document: &Document) -> Paper {
    let mut paper = Paper::new(document.language);
    for part in &document.parts {
        match part {
            Part::Title(text) => {
                paragraph(
                    &mut paper,
                    StructRole::H1,
                    text,
                    Set { size: 19.0, style: BOLD, ink: BLACK, after: 10.0 },
                );
            }
            Part::Heading(text) => heading(&mut paper, text),
            Part::Text(text) => {
                paragraph(
                    &mut paper,
                    StructRole::P,
                    text,
                    Set { size: 9.0, style: PLAIN, ink: BLACK, after: 6.0 },
                );
            }
            Part::Warning(text) => {
                paragraph(
                    &mut paper,
                    StructRole::P,
                    text,
                    Set { size: 9.5, style: BOLD, ink: RED, after: 8.0 },
                );
            }
            Part::Facts(facts) => put_facts(&mut paper, facts),
            Part::List(items) => list(&mut paper, items),
            Part::Table(table) => table::set(&mut paper, table),
            Part::Code(text) => code(&mut paper, text),
            Part::Picture(picture) => put_picture(&mut paper, picture),
            Part::Turn(form) => paper.turn_to(*form),
        }
    }
    footers(&mut paper, &document.footer);
    paper
}

/// How a paragraph is set.
#[derive(Debug, Clone, Copy)]
struct Set {
    size: f32,
    style: Style,
    ink: Ink,
    /// Room after it.
    after: f32,
}

impl Set {
    const fn leading(self) -> f32 {
        self.size * 1.36
    }
}

fn heading(paper: &mut Paper, text: &str) {
    // A heading does not stand alone at the end of a page.
    paper.need(70.0);
    paper.y += 8.0;
    paragraph(paper, StructRole::H2, text, Set { size: 12.0, style: BOLD, ink: BLACK, after: 5.0 });
}

fn paragraph(paper: &mut Paper, role: StructRole, text: &str, set: Set) {
    let letters = paper.letters(text, set.style);
    let node = paper.node(ROOT, role);
    let width = paper.width();
    written(paper, node, &lines(&letters, set.size, width, MOST), SIDE, set);
    paper.y += set.after;
}

/// Writes lines one below the other, on as many pages as they need.
fn written(paper: &mut Paper, node: usize, lines: &[Vec<Letter>], left: f32, set: Set) {
    for line in lines {
        paper.need(set.leading());
        let at = (left, paper.y + set.size);
        paper.write(Owner::Node(node), Look { at, size: set.size, ink: set.ink, style: set.style }, line);
        paper.y += set.leading();
    }
}

fn put_facts(paper: &mut Paper, facts: &[Fact]) {
    let room = paper.width() - WHAT;
    for fact in facts {
        let style = match fact.shown {
            Shown::Plain => PLAIN,
            Shown::Bold => BOLD,
            Shown::Code => Style::Code,
        };
        let size = if fact.shown == Shown::Code { 8.0 } else { 9.0 };
        let set = Set { size, style, ink: BLACK, after: 0.0 };
        let what = paper.letters(&fact.what, PLAIN);
        let is = lines(&paper.letters(&fact.is, style), size, room, MOST);
        let node = paper.node(ROOT, StructRole::P);
        paper.need(set.leading());
        let at = (SIDE, paper.y + set.size);
        let look = Look { at, size: 9.0, ink: GRAY, style: PLAIN };
        let what = lines(&what, 9.0, WHAT - 8.0, 1);
        paper.write(Owner::Node(node), look, &what[0]);
        written(paper, node, &is, SIDE + WHAT, set);
        paper.y += 2.0;
    }
    paper.y += 6.0;
}

fn list(paper: &mut Paper, items: &[String]) {
    let set = Set { size: 9.0, style: PLAIN, ink: BLACK, after: 3.0 };
    let list = paper.node(ROOT, StructRole::L);
    let room = paper.width() - 12.0;
    for item in items {
        let item_node = paper.node(list, StructRole::LI);
        let (mark, body) = (paper.node(item_node, StructRole::Lbl), paper.node(item_node, StructRole::LBody));
        paper.need(set.leading());
        let look = Look { at: (SIDE + 2.0, paper.y + set.size), size: set.size, ink: GRAY, style: PLAIN };
        let bullet = paper.letters("•", PLAIN);
        paper.write(Owner::Node(mark), look, &bullet);
        let letters = paper.letters(item, PLAIN);
        written(paper, body, &lines(&letters, set.size, room, MOST), SIDE + 12.0, set);
        paper.y += set.after;
    }
    paper.y += 4.0;
}

fn code(paper: &mut Paper, text: &str) {
    let set = Set { size: 7.6, style: Style::Code, ink: BLACK, after: 0.0 };
    let node = paper.node(ROOT, StructRole::P);
    let room = paper.width() - 16.0;
    paper.y += 2.0;
    for line in text.trim_end().lines() {
        let letters = paper.letters(&line.replace('\t', "    "), Style::Code);
        for line in lines(&letters, set.size, room, MOST) {
            paper.need(set.leading());
            paper.band(paper.y - 0.2, paper.y + set.leading() + 0.2, WASH);
            written(paper, node, &[line], SIDE + 8.0, set);
        }
    }
    paper.y += 8.0;
}

fn put_picture(paper: &mut Paper, picture: &Picture) {
    let scale = (paper.width() / picture.width).min(paper.height() / picture.height);
    let height = picture.height * scale;
    paper.need(height);
    let node = paper.node(ROOT, StructRole::Figure);
    paper.nodes[node].alt = Some(picture.what.clone());
    let (language, top) = (paper.language, paper.y);
    let of = |shape: &Shape| match shape {
        Shape::Text { text, bold, .. } => letters(text, if *bold { BOLD } else { PLAIN }, language),
        Shape::Box { .. } | Shape::Arrow { .. } | Shape::Disk { .. } => Vec::new(),
    };
    let texts: Vec<Vec<Letter>> = picture.shapes.iter().map(of).collect();
    paper.faces.extend(texts.iter().flatten().map(|letter| letter.face));
    paper.paint(Owner::Node(node), |content, page| {
        for (shape, text) in picture.shapes.iter().zip(&texts) {
            drawn(content, shape, text, &|(x, y)| (SIDE + x * scale, page - top - y * scale), scale);
        }
    });
    paper.y += height + 8.0;
}

fn drawn(
    content: &mut Content,
    shape: &Shape,
    text: &[Letter],
    place: &dyn Fn((f32, f32)) -> (f32, f32),
    scale: f32,
) {
    match shape {
        Shape::Box { at, size, fill, edge: (edge, thick) } => {
            let (x, y) = place((at.0, at.1 + size.1));
            fill_with(content, *fill);
            stroke_with(content, *edge);
            content
                .set_line_width(thick * scale)
                .rect(x, y, size.0 * scale, size.1 * scale)
                .fill_nonzero_and_stroke();
        }
        Shape::Arrow { points, ink, thick } => arrow(content, points, *ink, *thick, place, scale),
        Shape::Disk { at, radius, ink } => {
            // A line of no length with round ends is a disk.
            let (x, y) = place(*at);
            stroke_with(content, *ink);
            content.set_line_cap(LineCapStyle::RoundCap).set_line_width(2.0 * radius * scale);
            content.move_to(x, y).line_to(x, y).stroke().set_line_cap(LineCapStyle::ButtCap);
        }
        Shape::Text { at, size, ink, bold, centered, .. } => {
            let (x, y) = place(*at);
            let size = size * scale;
            let left = if *centered { x - width(text, size) / 2.0 } else { x };
            let style = if *bold { BOLD } else { PLAIN };
            super::paper::show(content, Look { at: (left, -y), size, ink: *ink, style }, text, 0.0);
        }
    }
}

fn arrow(
    content: &mut Content,
    points: &[(f32, f32)],
    ink: Ink,
    thick: f32,
    place: &dyn Fn((f32, f32)) -> (f32, f32),
    scale: f32,
) {
    let points: Vec<(f32, f32)> = points.iter().map(|point| place(*point)).collect();
    let [.., before, end] = points.as_slice() else { return };
    stroke_with(content, ink);
    fill_with(content, ink);
    content.set_line_join(LineJoinStyle::RoundJoin).set_line_width(thick * scale);
    // The line ends within its head.
    let long = (end.0 - before.0).hypot(end.1 - before.1).max(0.001);
    let (dx, dy) = ((end.0 - before.0) / long, (end.1 - before.1) / long);
    let head = 7.0 * thick * scale;
    let neck = (end.0 - dx * head * 0.8, end.1 - dy * head * 0.8);
    content.move_to(points[0].0, points[0].1);
    for point in &points[1..points.len() - 1] {
        content.line_to(point.0, point.1);
    }
    content.line_to(neck.0, neck.1).stroke();
    let (back, half) = ((end.0 - dx * head, end.1 - dy * head), head / 2.0);
    content.move_to(end.0, end.1);
    content.line_to(back.0 - dy * half, back.1 + dx * half).line_to(back.0 + dy * half, back.1 - dx * half);
    content.close_path().fill_nonzero();
}

/// Below each page: the document's lines on the left, and on the right which page of how many it is.
fn footers(paper: &mut Paper, footer: &[String]) {
    use gatehouse_domain::settings::lint::Language;
    let count = paper.sheets.len();
    let size = 7.0;
    for page in 0..count {
        let number = match paper.language {
            Language::English => format!("Page {} of {count}", page + 1),
            Language::SimplifiedChinese => format!("第 {} 页，共 {count} 页", page + 1),
            Language::TraditionalChinese => format!("第 {} 頁，共 {count} 頁", page + 1),
        };
        let number = paper.letters(&number, PLAIN);
        let (wide, high) = paper.sheets[page].size;
        let (top, taken) = (high - 46.0, width(&number, size));
        let room = wide - 2.0 * SIDE - taken - 16.0;
        let below: Vec<_> = footer
            .iter()
            .map(|text| lines(&paper.letters(text, PLAIN), size, room, 1).swap_remove(0))
            .collect();
        let faces = number.iter().chain(below.iter().flatten()).map(|letter| letter.face);
        paper.faces.extend(faces);
        paper.paint_on(page, |content, height| {
            let look = |x: f32, line: u8| Look {
                at: (x, top + 12.0 + f32::from(line) * 10.0),
                size,
                ink: GRAY,
                style: PLAIN,
            };
            stroke_with(content, PALE);
            content
                .set_line_width(0.5)
                .move_to(SIDE, height - top)
                .line_to(wide - SIDE, height - top)
                .stroke();
            for (line, text) in (0u8..2).zip(&below) {
                super::paper::show(content, look(SIDE, line), text, height);
            }
            super::paper::show(content, look(wide - SIDE - taken, 0), &number, height);
        });
    }
}
