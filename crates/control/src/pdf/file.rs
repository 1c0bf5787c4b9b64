//! The file: pages, fonts, structure and metadata as objects.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use gatehouse_domain::settings::lint::Language;
use gatehouse_domain::time::UnixMillis;
use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, TabOrder};
use pdf_writer::writers::{StructElement, StructTreeRoot};
use pdf_writer::{Date, Filter, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};
use sha2::{Digest as _, Sha256};

use super::Document;
use super::font::Face;
use super::helvetica::{MORE_FROM, more_names};
use super::paper::{Kid, Node, Paper, ROOT, SETTINGS};

/// Who makes the file.
const MAKER: &str = "Gatehouse";

/// Where everything is: objects are numbered one after the other.
struct Plan {
    pages: Vec<(Ref, Ref)>,
    marks: Vec<Ref>,
    nodes: Vec<Ref>,
    fonts: Vec<(Face, Ref)>,
    next: Ref,
}

impl Plan {
    fn of(paper: &Paper) -> Self {
        let mut next = Ref::new(TREE.get() + 1);
        let mut one = || next.bump();
        let pages: Vec<_> = paper.sheets.iter().map(|_| (one(), one())).collect();
        let marks = paper.sheets.iter().map(|_| one()).collect();
        let nodes = paper.nodes.iter().map(|_| one()).collect();
        let fonts = paper.faces.iter().map(|face| (*face, one())).collect();
        Self { pages, marks, nodes, fonts, next }
    }
}

const CATALOG: Ref = Ref::new(1);
const PAGES: Ref = Ref::new(2);
const INFO: Ref = Ref::new(3);
const TREE: Ref = Ref::new(4);

/// The bytes of a document that was set.
pub(super) fn written(document: &Document, paper: Paper) -> Vec<u8> {
    let mut plan = Plan::of(&paper);
    let mut pdf = Pdf::with_settings(SETTINGS);
    pdf.set_version(1, 7);
    catalog(&mut pdf, document);
    info(&mut pdf, document);
    pdf.pages(PAGES).kids(plan.pages.iter().map(|(page, _)| *page)).count(number(plan.pages.len()));
    structure(&mut pdf, &paper, &plan);
    let fonts = std::mem::take(&mut plan.fonts);
    for (face, at) in &fonts {
        font(&mut pdf, *face, *at, &mut plan.next);
    }
    // The file is known by what is on its pages (ISO 32000-1, 14.4), not by chance.
    let mut known = Sha256::new();
    for (index, sheet) in paper.sheets.into_iter().enumerate() {
        let (page_at, content_at) = plan.pages[index];
        let mut page = pdf.page(page_at);
        page.parent(PAGES).media_box(Rect::new(0.0, 0.0, sheet.size.0, sheet.size.1)).contents(content_at);
        page.struct_parents(number(index)).tab_order(TabOrder::StructureOrder);
        let mut resources = page.resources();
        let mut named = resources.fonts();
        for (face, at) in &fonts {
            named.pair(Name(face.name()), *at);
        }
        named.finish();
        resources.finish();
        page.finish();
        let content = sheet.content.finish();
        known.update(content.as_slice());
        pdf.stream(content_at, &packed(content.as_slice())).filter(Filter::FlateDecode);
    }
    let known = known.finalize()[..16].to_vec();
    pdf.set_file_id((known.clone(), known));
    pdf.finish()
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut out = ZlibEncoder::new(Vec::new(), Compression::default());
    out.write_all(bytes).and_then(|()| out.finish()).expect("memory can be written to")
}

fn catalog(pdf: &mut Pdf, document: &Document) {
    let language = match document.language {
        Language::English => "en",
        Language::SimplifiedChinese => "zh-CN",
        Language::TraditionalChinese => "zh-TW",
    };
    let mut catalog = pdf.catalog(CATALOG);
    catalog.pages(PAGES).lang(TextStr(language));
    catalog.mark_info().marked(true);
    catalog.viewer_preferences().display_doc_title(true);
    catalog.pair(Name(b"StructTreeRoot"), TREE);
}

fn info(pdf: &mut Pdf, document: &Document) {
    let mut info = pdf.document_info(INFO);
    info.title(TextStr(&document.title)).author(TextStr(&document.author));
    info.creator(TextStr(MAKER)).producer(TextStr(MAKER));
    if let Some(at) = date(document.at) {
        info.creation_date(at).modified_date(at);
    }
}

fn date(at: UnixMillis) -> Option<Date> {
    let text = at.to_string();
    let part = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<u8>().ok());
    let date = Date::new(text.get(..4)?.parse().ok()?).month(part(5, 7)?).day(part(8, 10)?);
    Some(date.hour(part(11, 13)?).minute(part(14, 16)?).second(part(17, 19)?).utc_offset_hour(0))
}

/// The tree of nodes, and for each page the node of each of its pieces.
fn structure(pdf: &mut Pdf, paper: &Paper, plan: &Plan) {
    for (at, node) in plan.nodes.iter().zip(&paper.nodes) {
        let mut element = pdf.struct_element(*at);
        let parent = if *at == plan.nodes[ROOT] { TREE } else { plan.nodes[node.parent] };
        element.kind(node.role).parent(parent);
        if let Some(alt) = &node.alt {
            element.alt(TextStr(alt));
        }
        if let Some(scope) = node.scope {
            element.attributes().push().table().scope(scope);
        }
        kids(&mut element, node, plan);
    }
    for (at, sheet) in plan.marks.iter().zip(&paper.sheets) {
        pdf.indirect(*at).array().items(sheet.marks.iter().map(|node| plan.nodes[*node]));
    }
    let mut tree: StructTreeRoot<'_> = pdf.indirect(TREE).start();
    tree.child(plan.nodes[ROOT]).parent_tree_next_key(number(plan.marks.len()));
    let mut pages = tree.parent_tree();
    let mut pages = pages.nums();
    for (index, at) in plan.marks.iter().enumerate() {
        pages.insert(number(index), *at);
    }
}

fn kids(element: &mut StructElement<'_>, node: &Node, plan: &Plan) {
    let home = node.kids.iter().find_map(|kid| match kid {
        Kid::Mark { page, .. } => Some(*page),
        Kid::Node(_) => None,
    });
    if let Some(page) = home {
        element.page(plan.pages[page].0);
    }
    let mut kids = element.children();
    for kid in &node.kids {
        match *kid {
            Kid::Node(at) => {
                kids.struct_element(plan.nodes[at]);
            }
            Kid::Mark { page, mark } if Some(page) == home => {
                kids.marked_content_id(number(mark));
            }
            Kid::Mark { page, mark } => {
                kids.marked_content_ref().page(plan.pages[page].0).marked_content_id(number(mark));
            }
        }
    }
}

fn font(pdf: &mut Pdf, face: Face, at: Ref, next: &mut Ref) {
    match face {
        Face::Plain => standard(pdf, at, b"Helvetica"),
        Face::Bold => standard(pdf, at, b"Helvetica-Bold"),
        Face::Code => standard(pdf, at, b"Courier"),
        Face::PlainMore => more(pdf, at, b"Helvetica"),
        Face::BoldMore => more(pdf, at, b"Helvetica-Bold"),
        Face::Simplified => chinese(pdf, at, next, &SIMPLIFIED),
        Face::Traditional => chinese(pdf, at, next, &TRADITIONAL),
    }
}

/// One of the fonts that every reader has.
fn standard(pdf: &mut Pdf, at: Ref, name: &[u8]) {
    pdf.type1_font(at).base_font(Name(name)).encoding_predefined(Name(b"WinAnsiEncoding"));
}

/// The same with codes of our own for what the code page has not.
fn more(pdf: &mut Pdf, at: Ref, name: &[u8]) {
    let mut font = pdf.type1_font(at);
    font.base_font(Name(name));
    let mut encoding = font.encoding_custom();
    encoding.base_encoding(Name(b"WinAnsiEncoding"));
    encoding.differences().consecutive(MORE_FROM, more_names().map(|name| Name(name.as_bytes())));
}

/// A collection of Chinese characters, and the font that readers take for it.
struct Collection {
    font: &'static str,
    ordering: &'static str,
    codes: &'static str,
}

const SIMPLIFIED: Collection = Collection { font: "STSong-Light", ordering: "GB1", codes: "UniGB-UTF16-H" };
const TRADITIONAL: Collection = Collection { font: "MSung-Light", ordering: "CNS1", codes: "UniCNS-UTF16-H" };

fn chinese(pdf: &mut Pdf, at: Ref, next: &mut Ref, collection: &Collection) {
    let (cid, descriptor) = (next.bump(), next.bump());
    let name = Name(collection.font.as_bytes());
    let whole = format!("{}-{}", collection.font, collection.codes);
    pdf.type0_font(at)
        .base_font(Name(whole.as_bytes()))
        .encoding_predefined(Name(collection.codes.as_bytes()))
        .descendant_font(cid);
    let info =
        SystemInfo { registry: Str(b"Adobe"), ordering: Str(collection.ordering.as_bytes()), supplement: 4 };
    pdf.cid_font(cid)
        .subtype(CidFontType::Type0)
        .base_font(name)
        .system_info(info)
        .font_descriptor(descriptor)
        .default_width(1000.0);
    // Enough for a reader to choose a font of this kind: upright, with serifs, full width.
    pdf.font_descriptor(descriptor)
        .name(name)
        .flags(FontFlags::SERIF | FontFlags::SYMBOLIC)
        .bbox(Rect::new(-150.0, -250.0, 1100.0, 900.0))
        .italic_angle(0.0)
        .ascent(880.0)
        .descent(-120.0)
        .cap_height(740.0)
        .stem_v(90.0);
}
