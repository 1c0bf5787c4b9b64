//! A document as a list of blocks, and the forms that it can be given.

use std::fmt::Write as _;

use gatehouse_domain::settings::lint::Language;

use crate::pdf;

/// A part of a document. Texts are as they are; each form escapes what it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block {
    /// The title.
    Title(String),
    /// A heading.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// A list.
    List(Vec<String>),
    /// A table: its head, and its rows.
    Table(Vec<String>, Vec<Vec<String>>),
    /// A text to be copied, and its language.
    Code(&'static str, String),
    /// A picture: the file that it is beside Markdown, what it shows, and itself.
    Picture(&'static str, String, String),
}

/// The document as Markdown (GitHub's, for tables).
pub(super) fn markdown(blocks: &[Block]) -> String {
    let blocks: Vec<String> = blocks.iter().map(markdown_of).collect();
    blocks.join("\n\n") + "\n"
}

fn markdown_of(block: &Block) -> String {
    match block {
        Block::Title(text) => format!("# {}", plain(text)),
        Block::Heading(text) => format!("## {}", plain(text)),
        Block::Text(text) => plain(text),
        Block::List(items) => {
            let items: Vec<_> = items.iter().map(|item| format!("- {}", plain(item))).collect();
            items.join("\n")
        }
        Block::Table(head, rows) => {
            let rule = format!("|{}", " --- |".repeat(head.len()));
            let rows = rows.iter().map(|row| markdown_row(row));
            let lines: Vec<_> = [markdown_row(head), rule].into_iter().chain(rows).collect();
            lines.join("\n")
        }
        Block::Code(language, text) => format!("```{language}\n{}\n```", text.trim_end()),
        Block::Picture(file, what, _) => format!("![{}]({file})", plain(what)),
    }
}

fn markdown_row(cells: &[String]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| plain(cell)).collect();
    format!("| {} |", cells.join(" | "))
}

/// A text in which nothing is markup.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#') {
            out.push('\\');
        }
        out.push(if letter.is_control() { ' ' } else { letter });
    }
    out
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:68rem;margin:2rem auto;padding:0 1rem;color:#1c2430}\
    table{border-collapse:collapse;margin:1rem 0;width:100%}th,td{border:1px solid #c9d1dc;padding:.35rem .6rem;\
    text-align:left;vertical-align:top}th{background:#eef2f7}pre{background:#f4f6f9;padding:1rem;overflow-x:auto}\
    svg{max-width:100%;height:auto}h2{margin-top:2.2rem;border-bottom:1px solid #c9d1dc}";

/// The document as a page of its own, which loads nothing.
pub(super) fn html(blocks: &[Block], language: Language) -> String {
    let title =
        blocks.iter().find_map(|block| if let Block::Title(text) = block { Some(text) } else { None });
    let mut out = format!(
        "<!doctype html>\n<html lang=\"{}\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{}</title>\n<style>{STYLE}</style>\n<body>\n",
        tag(language),
        escaped(title.map_or("", String::as_str))
    );
    for block in blocks {
        // Writing into a text cannot fail.
        let _: Result<(), std::fmt::Error> = match block {
            Block::Title(text) => writeln!(out, "<h1>{}</h1>", escaped(text)),
            Block::Heading(text) => writeln!(out, "<h2>{}</h2>", escaped(text)),
            Block::Text(text) => writeln!(out, "<p>{}</p>", escaped(text)),
            Block::List(items) => writeln!(out, "<ul>{}</ul>", each("li", items)),
            Block::Table(head, rows) => {
                let rows: Vec<_> = rows.iter().map(|row| format!("<tr>{}</tr>", each("td", row))).collect();
                writeln!(out, "<table>\n<tr>{}</tr>\n{}\n</table>", each("th", head), rows.join("\n"))
            }
            Block::Code(_, text) => writeln!(out, "<pre><code>{}</code></pre>", escaped(text.trim_end())),
            Block::Picture(_, _, svg) => writeln!(out, "<figure>{svg}</figure>"),
        };
    }
    out.push_str("</body>\n</html>\n");
    out
}

/// The document's parts as they are printed, with this picture in the place of the drawn one.
pub(super) fn printed(blocks: &[Block], picture: &pdf::Picture) -> Vec<pdf::Part> {
    let part = |block: &Block| match block {
        Block::Title(text) => pdf::Part::Title(text.clone()),
        Block::Heading(text) => pdf::Part::Heading(text.clone()),
        Block::Text(text) => pdf::Part::Text(text.clone()),
        Block::List(items) => pdf::Part::List(items.clone()),
        Block::Table(head, rows) => {
            let column = |title: &String| pdf::Column { title: title.clone(), side: pdf::Side::Left };
            let columns = head.iter().map(column).collect();
            pdf::Part::Table(pdf::Table { columns, rows: rows.clone(), total: None })
        }
        Block::Code(_, text) => pdf::Part::Code(text.clone()),
        Block::Picture(..) => pdf::Part::Picture(picture.clone()),
    };
    blocks.iter().map(part).collect()
}

fn each(tag: &str, texts: &[String]) -> String {
    let all: Vec<_> = texts.iter().map(|text| format!("<{tag}>{}</{tag}>", escaped(text))).collect();
    all.concat()
}

/// The language's tag.
pub(super) const fn tag(language: Language) -> &'static str {
    match language {
        Language::English => "en",
        Language::SimplifiedChinese => "zh-CN",
        Language::TraditionalChinese => "zh-TW",
    }
}

/// A text as HTML and XML want it.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_is_never_markup() {
        let hostile = "<script>alert(1)</script> | [x](javascript:y) `z` 'q'";
        let row = || vec![hostile.to_owned()];
        let blocks = [
            Block::Title(hostile.to_owned()),
            Block::Text(hostile.to_owned()),
            Block::List(row()),
            Block::Table(row(), vec![row()]),
            Block::Code("sh", hostile.to_owned()),
        ];
        let page = html(&blocks, Language::English);
        assert!(!page.contains("<script") && page.matches("&lt;script&gt;").count() == 7, "{page}");
        let text = markdown(&blocks[..4]);
        assert!(
            !text.replace("\\<", "").contains("<script") && !text.contains(" | [") && !text.contains("[x]"),
            "{text}"
        );
        assert!(text.contains("\\| \\[x\\](javascript:y)"), "{text}");
    }
}
