//! Tables: how wide columns are, and rows on pages.

use pdf_writer::types::{StructRole, TableHeaderScope};

use super::font::{BOLD, Letter, PLAIN, Style, letters, lines, width};
use super::paper::{BLACK, Look, Owner, PALE, Paper, ROOT, SIDE, WASH};
use super::{Column, Side, Table};
use gatehouse_domain::settings::lint::Language;

/// Sizes of letters that are tried, in points, until the figures leave enough room for texts.
const SIZES: [f32; 7] = [8.0, 7.5, 7.0, 6.5, 6.0, 5.5, 5.0];
/// As narrow as a column of texts may become because of figures.
const NARROW: f32 = 58.0;
/// Between columns.
const GAP: f32 = 9.0;
/// Above and below a row.
const PAD: f32 = 3.2;
/// Most lines of a cell; more are cut.
const MOST: usize = 40;

/// From a line to the next.
const fn leading(size: f32) -> f32 {
    size * 1.32
}

/// A column as it is set.
#[derive(Debug, Clone, Copy)]
struct Lane {
    side: Side,
    /// Where it begins.
    left: f32,
    /// How wide it is.
    width: f32,
    /// How wide the longest fraction is, with its point.
    fraction: f32,
}

/// A row that is to be set.
struct Row {
    cells: Vec<Vec<Vec<Letter>>>,
    style: Style,
    height: f32,
}

/// Sets a table below what there is.
pub(super) fn set(paper: &mut Paper, table: &Table) {
    let language = paper.language;
    let (size, lanes) = measured(table, language, paper.width());
    let titles: Vec<String> = table.columns.iter().map(|column| column.title.clone()).collect();
    let head = row(&titles, BOLD, language, size, &lanes);
    let node = paper.node(ROOT, StructRole::Table);
    let first = table.rows.first().map(|cells| row(cells, PLAIN, language, size, &lanes).height);
    paper.need(head.height + first.unwrap_or_default());
    put_head(paper, &head, size, &lanes, Some(node));
    let total = table.total.iter().map(|cells| (cells, BOLD));
    for (cells, style) in table.rows.iter().map(|cells| (cells, PLAIN)).chain(total) {
        let row = row(cells, style, language, size, &lanes);
        if !paper.fits(row.height) {
            paper.turn();
            put_head(paper, &head, size, &lanes, None);
        }
        if style == BOLD {
            paper.rule(paper.y, BLACK, 0.8);
        }
        let node = paper.node(node, StructRole::TR);
        put(paper, &row, size, &lanes, |paper, at| {
            if at == 0 {
                title(paper, node, TableHeaderScope::Row)
            } else {
                Owner::Node(paper.node(node, StructRole::TD))
            }
        });
        paper.rule(paper.y, PALE, 0.4);
    }
    paper.y += 12.0;
}

/// The head; it is told of once, and only seen on later pages.
fn put_head(paper: &mut Paper, head: &Row, size: f32, lanes: &[Lane], table: Option<usize>) {
    paper.band(paper.y, paper.y + head.height, WASH);
    let row = table.map(|table| paper.node(table, StructRole::TR));
    put(paper, head, size, lanes, |paper, _| match row {
        Some(row) => title(paper, row, TableHeaderScope::Column),
        None => Owner::Page,
    });
    paper.rule(paper.y, BLACK, 0.6);
}

/// The cell that says what a row or a column is.
fn title(paper: &mut Paper, row: usize, of: TableHeaderScope) -> Owner {
    let cell = paper.node(row, StructRole::TH);
    paper.nodes[cell].scope = Some(of);
    Owner::Node(cell)
}

fn put(
    paper: &mut Paper,
    row: &Row,
    size: f32,
    lanes: &[Lane],
    mut owner: impl FnMut(&mut Paper, usize) -> Owner,
) {
    let top = paper.y + PAD;
    for (at, (cell, lane)) in row.cells.iter().zip(lanes).enumerate() {
        let owner = owner(paper, at);
        for (number, line) in cell.iter().enumerate() {
            let down = f32::from(u16::try_from(number).unwrap_or(u16::MAX)) * leading(size);
            let left = lane.left + indent(line, lane, size, row.style);
            let look = Look { at: (left, top + down + size * 0.92), size, ink: BLACK, style: row.style };
            paper.write(owner, look, line);
        }
    }
    paper.y += row.height;
}

/// How far a line is from the left edge of its lane.
fn indent(line: &[Letter], lane: &Lane, size: f32, style: Style) -> f32 {
    match lane.side {
        Side::Left => 0.0,
        Side::Figure => {
            let (whole, fraction) = split(line, size);
            let is_title = style == BOLD && line.iter().any(|letter| !is_of_figure(*letter));
            let behind = if is_title { fraction } else { lane.fraction };
            (lane.width - whole - behind).max(0.0)
        }
    }
}

fn is_of_figure(letter: Letter) -> bool {
    u8::try_from(letter.code).is_ok_and(|code| code.is_ascii_digit() || b"-.,".contains(&code))
}

/// How wide a figure is before its point, and from there on.
fn split(line: &[Letter], size: f32) -> (f32, f32) {
    let point = line.iter().rposition(|letter| letter.code == u16::from(b'.') && !letter.face.is_chinese());
    let (whole, fraction) = line.split_at(point.unwrap_or(line.len()));
    (width(whole, size), width(fraction, size))
}

fn row(cells: &[String], style: Style, language: Language, size: f32, lanes: &[Lane]) -> Row {
    let cell = |(text, lane): (&String, &Lane)| {
        let letters = letters(text, style, language);
        let is_figure = lane.side == Side::Figure && letters.iter().all(|letter| is_of_figure(*letter));
        if is_figure { vec![letters] } else { lines(&letters, size, lane.width, MOST) }
    };
    let cells: Vec<Vec<Vec<Letter>>> = cells.iter().zip(lanes).map(cell).collect();
    let most = cells.iter().map(Vec::len).max().unwrap_or(1);
    let height = f32::from(u16::try_from(most).unwrap_or(u16::MAX)) * leading(size) + 2.0 * PAD;
    Row { cells, style, height }
}

/// What the cells of a column need at size one.
#[derive(Debug, Clone, Copy, Default)]
struct Need {
    whole: f32,
    fraction: f32,
    word: f32,
}

/// The size of letters, and the columns.
fn measured(table: &Table, language: Language, room: f32) -> (f32, Vec<Lane>) {
    let needs: Vec<Need> =
        table.columns.iter().enumerate().map(|(at, column)| need(table, at, column, language)).collect();
    let texts = table.columns.iter().filter(|column| column.side == Side::Left).count();
    let count = |number: usize| f32::from(u16::try_from(number).unwrap_or(u16::MAX));
    let room = room - GAP * count(table.columns.len().saturating_sub(1));
    let figures = |size: f32| -> f32 {
        let all = table.columns.iter().zip(&needs).filter(|(column, _)| column.side == Side::Figure);
        all.map(|(_, need)| (need.whole + need.fraction).max(need.word) * size).sum()
    };
    let enough = |size: &f32| room - figures(*size) >= NARROW * count(texts);
    let size = SIZES.into_iter().find(enough).unwrap_or(SIZES[SIZES.len() - 1]);
    let of_texts =
        |(column, need): (&Column, &Need)| (column.side == Side::Left).then_some(need.whole * size);
    let wanted: Vec<f32> = table.columns.iter().zip(&needs).filter_map(of_texts).collect();
    let mut shares = shared(&wanted, room - figures(size)).into_iter();
    let mut left = SIDE;
    let lane = |(column, need): (&Column, &Need)| {
        let width = match column.side {
            Side::Left => shares.next().unwrap_or(NARROW),
            Side::Figure => (need.whole + need.fraction).max(need.word) * size,
        };
        let lane = Lane { side: column.side, left, width, fraction: need.fraction * size };
        left += width + GAP;
        lane
    };
    (size, table.columns.iter().zip(&needs).map(lane).collect())
}

fn need(table: &Table, at: usize, column: &Column, language: Language) -> Need {
    let mut need = Need::default();
    let rows = table.rows.iter().map(|row| (row, PLAIN)).chain(table.total.iter().map(|row| (row, BOLD)));
    for (row, style) in rows {
        let Some(text) = row.get(at) else { continue };
        let letters = letters(text, style, language);
        match column.side {
            Side::Left => need.whole = need.whole.max(width(&letters, 1.0)),
            Side::Figure => {
                let (whole, fraction) = split(&letters, 1.0);
                need.whole = need.whole.max(whole);
                need.fraction = need.fraction.max(fraction);
            }
        }
    }
    let title = letters(&column.title, BOLD, language);
    match column.side {
        Side::Left => need.whole = need.whole.max(width(&title, 1.0)),
        // A title may be broken between words, not within one.
        Side::Figure => {
            let words =
                column.title.split(' ').map(|word| width(&letters(word, BOLD, language), 1.0).min(8.0));
            need.word = words.fold(0.0, f32::max);
        }
    }
    need
}

/// Shares room among columns of texts: none gets more than it wants while another has less, and what is left is shared
/// by all.
fn shared(wanted: &[f32], room: f32) -> Vec<f32> {
    let count = |number: usize| f32::from(u16::try_from(number).unwrap_or(u16::MAX));
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut shares = vec![0.0; wanted.len()];
    let mut rest = room.max(NARROW);
    for (done, at) in order.iter().enumerate() {
        let fair = rest / count(wanted.len() - done);
        shares[*at] = wanted[*at].min(fair);
        rest -= shares[*at];
    }
    let more = rest.max(0.0) / count(wanted.len().max(1));
    shares.iter().map(|share| share + more).collect()
}
