//! The architecture of a mode as a picture: the five layers, what stands in each, and the way that requests take.

use gatehouse_domain::assessment::{Mode, Words};
use gatehouse_domain::settings::lint::Language;

use super::block::{escaped, tag};
use crate::pdf::{Ink, Picture, Shape};

/// Boxes of a layer.
const COLUMNS: usize = 3;
/// Size of a box, and where the first one of a layer begins.
const BOX: (usize, usize) = (196, 62);
const LEFT: usize = 196;
/// From one box to the next: the lane between them is where ways pass.
const STEP: usize = 260;
/// Height of a layer, and from one layer to the next.
const BAND: usize = 98;
const ROW: usize = 142;
const TOP: usize = 76;
const WIDTH: usize = 976;

struct Layer {
    name: Words,
    boxes: [Words; COLUMNS],
}

const fn layer(name: Words, boxes: [Words; COLUMNS]) -> Layer {
    Layer { name, boxes }
}

const fn w(en: &'static str, zh_cn: &'static str, zh_tw: &'static str) -> Words {
    Words::new(en, zh_cn, zh_tw)
}

const LAYERS: [Layer; 5] = [
    layer(
        w("Enterprise users", "企业用户层", "企業使用者層"),
        [
            w("Developers", "开发人员", "開發人員"),
            w("Project managers", "项目经理", "專案經理"),
            w("QA engineers", "QA 工程师", "QA 工程師"),
        ],
    ),
    layer(
        w("Access", "接入层", "存取層"),
        [
            w("Enterprise proxy", "企业代理", "企業代理"),
            w("Firewall", "防火墙", "防火牆"),
            w("Load balancer", "负载均衡器", "負載平衡器"),
        ],
    ),
    layer(
        w("Application", "应用层", "應用層"),
        [
            w("Claude Code client", "Claude Code 客户端", "Claude Code 用戶端"),
            w("IDE plug-ins", "IDE 插件", "IDE 外掛"),
            w("Web interface", "Web 界面", "Web 介面"),
        ],
    ),
    layer(
        w("Services", "服务层", "服務層"),
        [
            w("LLM gateway", "LLM 网关", "LLM 閘道"),
            w("Authentication", "认证服务", "驗證服務"),
            w("Configuration", "配置管理", "設定管理"),
        ],
    ),
    layer(
        w("Models", "模型层", "模型層"),
        [
            w("Anthropic API", "Anthropic API", "Anthropic API"),
            w("Amazon Bedrock", "Amazon Bedrock", "Amazon Bedrock"),
            w("Google Vertex AI", "Google Vertex AI", "Google Vertex AI"),
        ],
    ),
];

/// A box: its layer and its column.
type Place = (usize, usize);

const PEOPLE: Place = (0, 0);
const PROXY: Place = (1, 0);
const FIREWALL: Place = (1, 1);
const BALANCER: Place = (1, 2);
const CLIENT: Place = (2, 0);
const GATEWAY: Place = (3, 0);
const SIGN_IN: Place = (3, 1);
const SETTINGS: Place = (3, 2);
const ANTHROPIC: Place = (4, 0);

/// The way of a request, box by box.
const fn way(mode: Mode) -> &'static [Place] {
    match mode {
        Mode::Direct => &[PEOPLE, CLIENT, FIREWALL, ANTHROPIC],
        Mode::Proxy => &[PEOPLE, CLIENT, PROXY, FIREWALL, ANTHROPIC],
        Mode::Gateway => &[PEOPLE, CLIENT, BALANCER, GATEWAY, ANTHROPIC],
        Mode::Hybrid => &[PEOPLE, CLIENT, PROXY, FIREWALL, BALANCER, GATEWAY, ANTHROPIC],
    }
}

/// What the mode has besides, off the way.
const fn besides(mode: Mode) -> &'static [Place] {
    match mode {
        Mode::Direct | Mode::Proxy => &[],
        Mode::Gateway => &[SIGN_IN, SETTINGS, FIREWALL, (4, 1), (4, 2), (2, 1), (2, 2)],
        Mode::Hybrid => &[SIGN_IN, SETTINGS, (4, 1), (4, 2), (2, 1), (2, 2)],
    }
}

const TITLE: Words = w("Architecture: ", "架构：", "架構：");
const LEGEND: Words = w(
    "Numbers: the way of a request. White: part of this mode. Gray: not used by it.",
    "数字：请求经过的顺序。白色：此模式的组成部分。灰色：此模式不使用。",
    "數字：請求經過的順序。白色：此模式的組成部分。灰色：此模式不使用。",
);

/// The picture. It names nothing of an organization, and loads nothing.
pub(super) fn svg(mode: Mode, language: Language) -> String {
    let way = way(mode);
    let height = TOP + 4 * ROW + BAND + 56;
    let title = format!("{}{}", TITLE.of(language), mode.name().of(language));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"t\" xml:lang=\"{}\" font-family=\"'Noto Sans CJK SC',\
         'Noto Sans','Microsoft YaHei','PingFang SC',sans-serif\">\n<title id=\"t\">{title}</title>\n\
         <defs><marker id=\"a\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path d=\"M0 0 10 5 0 10z\" fill=\"#0b5cad\"/></marker></defs>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"20\" y=\"44\" font-size=\"22\" font-weight=\"600\" fill=\"#1c2430\">{}</text>\n",
        tag(language),
        escaped(&title),
        title = escaped(&title),
    );
    for (row, layer) in LAYERS.iter().enumerate() {
        band(&mut out, row, layer.name.of(language));
    }
    for (hop, pair) in way.windows(2).enumerate() {
        put(&mut out, &drawn(&corners(pair[0], pair[1], hop)));
    }
    for (row, layer) in LAYERS.iter().enumerate() {
        for (column, name) in layer.boxes.iter().enumerate() {
            let place = (row, column);
            let number = way.iter().position(|at| *at == place).map(|at| at + 1);
            let used = number.is_some() || besides(mode).contains(&place);
            one_box(&mut out, place, name.of(language), number, used);
        }
    }
    put(
        &mut out,
        &format!(
            "<text x=\"20\" y=\"{}\" font-size=\"14\" fill=\"#4a5566\">{}</text>\n</svg>\n",
            height - 22,
            escaped(LEGEND.of(language))
        ),
    );
    out
}

/// The same picture for a printed document.
pub(super) fn picture(mode: Mode, language: Language) -> Picture {
    let way = way(mode);
    let what = format!("{}{}", TITLE.of(language), mode.name().of(language));
    let mut shapes = Vec::new();
    for (row, layer) in LAYERS.iter().enumerate() {
        let at = place(20, top(row));
        let edge = ([0xd3, 0xdd, 0xe9], 1.0);
        shapes.push(Shape::Box { at, size: extent(WIDTH - 40, BAND), fill: [0xee, 0xf3, 0xf9], edge });
        let name = format!("{}. {}", row + 1, layer.name.of(language));
        let words = Writing { size: 15.0, ink: [0x33, 0x41, 0x5c], bold: true, centered: false };
        shapes.push(words.at(36, top(row) + BAND / 2 + 5, name));
    }
    for (hop, pair) in way.windows(2).enumerate() {
        let points = corners(pair[0], pair[1], hop).into_iter().map(|(x, y)| place(x, y)).collect();
        shapes.push(Shape::Arrow { points, ink: BLUE, thick: 2.5 });
    }
    for (row, layer) in LAYERS.iter().enumerate() {
        for (column, name) in layer.boxes.iter().enumerate() {
            let number = way.iter().position(|at| *at == (row, column)).map(|at| at + 1);
            let used = number.is_some() || besides(mode).contains(&(row, column));
            shapes.extend(printed_box((row, column), name.of(language), number, used));
        }
    }
    let legend = Writing { size: 14.0, ink: [0x4a, 0x55, 0x66], bold: false, centered: false };
    let bottom = top(4) + BAND + 28;
    shapes.push(legend.at(20, bottom, LEGEND.of(language).to_owned()));
    let (width, height) = place(WIDTH, bottom + 8);
    Picture { width, height, what, shapes }
}

fn printed_box((row, column): Place, name: &str, number: Option<usize>, used: bool) -> Vec<Shape> {
    let (x, y) = corner((row, column));
    let (fill, edge, ink) = match (number, used) {
        (Some(_), _) => ([0xff; 3], (BLUE, 2.5), [0x10, 0x23, 0x3f]),
        (None, true) => ([0xff; 3], ([0x8f, 0xa3, 0xbd], 1.2), [0x10, 0x23, 0x3f]),
        (None, false) => ([0xe3, 0xe7, 0xec], ([0xc9, 0xd1, 0xdc], 1.2), [0x5d, 0x68, 0x77]),
    };
    let words = Writing { size: 15.0, ink, bold: false, centered: true };
    let mut shapes = vec![
        Shape::Box { at: place(x, y), size: extent(BOX.0, BOX.1), fill, edge },
        words.at(x + BOX.0 / 2, y + BOX.1 / 2 + 5, name.to_owned()),
    ];
    if let Some(number) = number {
        shapes.push(Shape::Disk { at: place(x + 2, y + 2), radius: 12.0, ink: BLUE });
        let words = Writing { size: 14.0, ink: [0xff; 3], bold: false, centered: true };
        shapes.push(words.at(x + 2, y + 7, number.to_string()));
    }
    shapes
}

const BLUE: Ink = [0x0b, 0x5c, 0xad];

/// What a text of a printed picture looks like.
struct Writing {
    size: f32,
    ink: Ink,
    bold: bool,
    centered: bool,
}

impl Writing {
    fn at(self, x: usize, y: usize, text: String) -> Shape {
        let Self { size, ink, bold, centered } = self;
        Shape::Text { at: place(x, y), size, ink, bold, centered, text }
    }
}

/// A place in a printed picture, which has no title above it.
fn place(x: usize, y: usize) -> (f32, f32) {
    extent(x, y.saturating_sub(TOP - 4))
}

fn extent(width: usize, height: usize) -> (f32, f32) {
    let of = |length: usize| f32::from(u16::try_from(length).unwrap_or(u16::MAX));
    (of(width), of(height))
}

fn put(out: &mut String, text: &str) {
    out.push_str(text);
}

const fn top(row: usize) -> usize {
    TOP + row * ROW
}

/// The upper left corner of a box.
const fn corner((row, column): Place) -> (usize, usize) {
    (LEFT + column * STEP, top(row) + (BAND - BOX.1) / 2)
}

fn band(out: &mut String, row: usize, name: &str) {
    let (y, middle) = (top(row), top(row) + BAND / 2 + 5);
    let right = WIDTH - 40;
    put(
        out,
        &format!(
            "<rect x=\"20\" y=\"{y}\" width=\"{right}\" height=\"{BAND}\" rx=\"10\" fill=\"#eef3f9\" stroke=\"#d3dde9\"/>\n\
             <text x=\"36\" y=\"{middle}\" font-size=\"15\" font-weight=\"600\" fill=\"#33415c\">{}. {}</text>\n",
            row + 1,
            escaped(name)
        ),
    );
}

fn one_box(out: &mut String, place: Place, name: &str, number: Option<usize>, used: bool) {
    let (x, y) = corner(place);
    let (fill, edge, ink) = match (number, used) {
        (Some(_), _) => ("#ffffff", "#0b5cad", "#10233f"),
        (None, true) => ("#ffffff", "#8fa3bd", "#10233f"),
        (None, false) => ("#e3e7ec", "#c9d1dc", "#5d6877"),
    };
    let stroke = if number.is_some() { "2.5" } else { "1.2" };
    let (middle, base) = (x + BOX.0 / 2, y + BOX.1 / 2 + 5);
    put(
        out,
        &format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"{fill}\" stroke=\"{edge}\" \
             stroke-width=\"{stroke}\"/>\n<text x=\"{middle}\" y=\"{base}\" font-size=\"15\" text-anchor=\"middle\" \
             fill=\"{ink}\">{}</text>\n",
            BOX.0,
            BOX.1,
            escaped(name)
        ),
    );
    if let Some(number) = number {
        let (cx, cy, base) = (x + 2, y + 2, y + 7);
        put(
            out,
            &format!(
                "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"12\" fill=\"#0b5cad\"/><text x=\"{cx}\" y=\"{base}\" font-size=\"14\" \
                 text-anchor=\"middle\" fill=\"#ffffff\">{number}</text>\n"
            ),
        );
    }
}

/// The way from one box to another, by its corners. It leaves layers between the two alone by going through the lane between
/// columns.
fn corners(from: Place, to: Place, hop: usize) -> Vec<(usize, usize)> {
    let ((x1, y1), (x2, y2)) = (corner(from), corner(to));
    if from.0 == to.0 {
        // Side by side.
        let y = y1 + BOX.1 / 2;
        let (x1, x2) = if x1 < x2 { (x1 + BOX.0, x2) } else { (x1, x2 + BOX.0) };
        return vec![(x1, y), (x2, y)];
    }
    let down = from.0 < to.0;
    // Several ways may leave or reach one box: each hop has a place of its own.
    let shift = 40 + 24 * (hop % 5);
    let (x1, x2) = (x1 + shift, x2 + shift);
    let (start, end) = if down { (y1 + BOX.1, y2) } else { (y1, y2 + BOX.1) };
    let near = |row: usize, below: bool| {
        let gap = ROW - BAND;
        let at = 10 + 6 * (hop % 5);
        if below { top(row) + BAND + at } else { top(row) - gap + at }
    };
    let (out_y, in_y) = (near(from.0, down), near(to.0, !down));
    if from.0.abs_diff(to.0) == 1 {
        vec![(x1, start), (x1, out_y), (x2, out_y), (x2, end)]
    } else {
        let column = from.1.min(to.1);
        let lane = LEFT + column * STEP + BOX.0 + 14 + 9 * (hop % 5);
        vec![(x1, start), (x1, out_y), (lane, out_y), (lane, in_y), (x2, in_y), (x2, end)]
    }
}

/// A line through corners.
fn drawn(corners: &[(usize, usize)]) -> String {
    let points: Vec<_> = corners.iter().map(|(x, y)| format!("{x} {y}")).collect();
    format!(
        "<path d=\"M{}\" fill=\"none\" stroke=\"#0b5cad\" stroke-width=\"2.5\" stroke-linejoin=\"round\" \
         marker-end=\"url(#a)\"/>\n",
        points.join("L")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_shows_all_layers_and_its_own_way() {
        for mode in Mode::ALL {
            for language in [Language::English, Language::SimplifiedChinese, Language::TraditionalChinese] {
                let picture = svg(mode, language);
                for layer in &LAYERS {
                    assert!(picture.contains(layer.name.of(language)));
                    assert!(layer.boxes.iter().all(|name| picture.contains(name.of(language))));
                }
                assert_eq!(picture.matches("marker-end").count(), way(mode).len() - 1, "{mode:?}");
                assert_eq!(picture.matches("<circle").count(), way(mode).len());
                assert!(!picture.contains("href") && !picture.contains("<script"), "it loads nothing");
            }
        }
        let goes = |mode, place| way(mode).contains(&place);
        assert!(goes(Mode::Proxy, PROXY) && !goes(Mode::Proxy, GATEWAY));
        assert!(goes(Mode::Gateway, GATEWAY) && !goes(Mode::Gateway, PROXY));
        assert!(goes(Mode::Hybrid, PROXY) && goes(Mode::Hybrid, GATEWAY));
        assert!(!goes(Mode::Direct, PROXY) && !goes(Mode::Direct, GATEWAY));
    }
}
