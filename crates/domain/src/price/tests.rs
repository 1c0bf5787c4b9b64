use proptest::prelude::*;

use super::*;
use crate::model::ModelScope;
use crate::usage::Advisor;

const NOW: UnixMillis = UnixMillis(1_795_390_000_000); // 2026-11-22

fn usage(input: u64, cache_write_5m: u64, cache_write_1h: u64, cache_read: u64, output: u64) -> Usage {
    Usage { tokens: Tokens { input, cache_write_5m, cache_write_1h, cache_read, output }, ..Usage::default() }
}

fn nanos(model: &str, usage: &Usage) -> i64 {
    let priced = PriceTable::builtin().price(model, usage, NOW);
    assert_eq!(priced.cost.basis, PriceBasis::Table, "{model}");
    assert!(!priced.saturated && priced.unknown.is_none());
    priced.cost.nanos.0
}

/// The list, worked out by hand in nano-dollars: one token of each kind, then 1,000 to 5,000 tokens of each.
const LIST: [(&str, [i64; 5], i64); 21] = [
    ("claude-fable-5-1", [10_000, 12_500, 20_000, 250, 50_000], 346_000_000),
    ("claude-mythos-5-1", [10_000, 12_500, 20_000, 250, 50_000], 346_000_000),
    ("claude-fable-5", [10_000, 12_500, 20_000, 1_000, 50_000], 349_000_000),
    ("claude-mythos-5", [10_000, 12_500, 20_000, 1_000, 50_000], 349_000_000),
    ("claude-opus-5-5", [4_000, 5_000, 8_000, 200, 20_000], 138_800_000),
    ("claude-opus-5", [5_000, 6_250, 10_000, 500, 25_000], 174_500_000),
    ("claude-opus-4-8", [5_000, 6_250, 10_000, 500, 25_000], 174_500_000),
    ("claude-opus-4-7", [5_000, 6_250, 10_000, 500, 25_000], 174_500_000),
    ("claude-opus-4-6", [5_000, 6_250, 10_000, 500, 25_000], 174_500_000),
    ("claude-opus-4-5", [5_000, 6_250, 10_000, 500, 25_000], 174_500_000),
    ("claude-opus-4-1", [15_000, 18_750, 30_000, 1_500, 75_000], 523_500_000),
    ("claude-opus-4", [15_000, 18_750, 30_000, 1_500, 75_000], 523_500_000),
    ("claude-sonnet-5-5", [2_000, 2_500, 4_000, 100, 10_000], 69_400_000),
    ("claude-sonnet-5", [2_000, 2_500, 4_000, 200, 10_000], 69_800_000),
    ("claude-sonnet-4-6", [3_000, 3_750, 6_000, 300, 15_000], 104_700_000),
    ("claude-sonnet-4-5", [3_000, 3_750, 6_000, 300, 15_000], 104_700_000),
    ("claude-sonnet-4", [3_000, 3_750, 6_000, 300, 15_000], 104_700_000),
    ("claude-haiku-5-5", [100, 125, 200, 10, 500], 3_490_000),
    ("claude-haiku-4-5", [1_000, 1_250, 2_000, 100, 5_000], 34_900_000),
    ("claude-3-7-sonnet", [3_000, 3_750, 6_000, 300, 15_000], 104_700_000),
    ("claude-3-5-haiku", [800, 1_000, 1_600, 80, 4_000], 27_920_000),
];

#[test]
fn every_row_of_the_list() {
    for (model, each, together) in LIST {
        let one = [
            usage(1, 0, 0, 0, 0),
            usage(0, 1, 0, 0, 0),
            usage(0, 0, 1, 0, 0),
            usage(0, 0, 0, 1, 0),
            usage(0, 0, 0, 0, 1),
        ];
        assert_eq!(one.map(|usage| nanos(model, &usage)), each, "{model}");
        assert_eq!(nanos(model, &usage(1000, 2000, 3000, 4000, 5000)), together, "{model}");
    }
}

#[test]
fn no_listed_model_is_left_out_of_the_tests() {
    let tested = LIST.map(|(model, ..)| model);
    for model in &PriceTable::builtin().models {
        assert!(
            tested.contains(&model.known.id.as_str()) || model.known.id == "claude-3-5-sonnet",
            "{:?}",
            model.known
        );
    }
}

#[test]
fn a_long_prompt_is_dearer_from_the_first_token_over() {
    for (usage, expected) in [
        (usage(94_000, 2000, 2000, 2000, 780), 10_460_000),
        (usage(94_001, 2000, 2000, 2000, 780), 52_300_500),
        (usage(0, 0, 0, 100_001, 1), 5_002_550),
    ] {
        assert_eq!(nanos("claude-haiku-5-5", &usage), expected);
    }
}

/// Figures of the Claude Code client 2.1.330 (`total_cost_usd`) for replies with these usages.
#[test]
fn agrees_with_the_client() {
    let cached = usage(1010, 2040, 3060, 40_080, 780);
    let plain = usage(1010, 0, 0, 0, 780);
    let fast = |u: &Usage| Usage { speed: Speed::Fast, ..u.clone() };
    let us = |u: &Usage| Usage { geo: Geo::Us, ..u.clone() };
    let searched = |u: &Usage| Usage {
        server_tools: ServerTools { web_search: 3, web_fetch: 2, code_execution: 4 },
        ..u.clone()
    };
    let advised = |u: &Usage, model: &str, tokens: Tokens| Usage {
        advisors: vec![Advisor { model: model.to_owned(), tokens }],
        ..u.clone()
    };
    let by_fable = |u: &Usage| advised(u, "claude-fable-5-1", usage(500, 40, 20, 120, 300).tokens);
    for (model, usage, expected) in [
        ("claude-opus-5-5", us(&cached), 68_569_600),
        ("claude-opus-5-5", fast(&cached), 124_672_000),
        ("claude-opus-5-5", Usage { tier: ServiceTier::Priority, ..cached.clone() }, 62_336_000),
        ("claude-opus-5-5", searched(&plain), 49_640_000),
        ("claude-opus-5-5", by_fable(&plain), 40_570_000),
        ("claude-opus-5-5", by_fable(&us(&plain)), 44_627_000),
        ("claude-opus-5-5", by_fable(&fast(&plain)), 60_210_000),
        ("claude-opus-5-5", by_fable(&searched(&us(&fast(&cached)))), 190_162_200),
        (
            "claude-opus-5-5",
            advised(&fast(&plain), "claude-opus-4-8", usage(500, 0, 0, 0, 300).tokens),
            49_280_000,
        ),
        (
            "claude-opus-5-5",
            advised(&plain, "claude-haiku-5-5", usage(500, 0, 0, 200_000, 300).tokens),
            30_640_000,
        ),
        (
            "claude-opus-5-5",
            advised(&usage(200_000, 0, 0, 0, 780), "claude-haiku-5-5", usage(500, 0, 0, 0, 300).tokens),
            815_800_000,
        ),
        ("claude-opus-4-6", fast(&cached), 527_640_000),
        ("claude-opus-4-6", by_fable(&searched(&us(&fast(&cached)))), 633_427_000),
        ("claude-opus-4-7", fast(&plain), 147_300_000),
        ("claude-opus-4-8", fast(&cached), 175_880_000),
        ("claude-opus-4-5", fast(&cached), 87_940_000),
        ("claude-opus-4-5", us(&cached), 96_734_000),
        ("claude-opus-5", fast(&plain), 49_100_000),
        ("claude-fable-5-1", fast(&plain), 49_100_000),
        ("claude-sonnet-4-5", by_fable(&searched(&us(&fast(&cached)))), 111_063_400),
        ("claude-haiku-5-5", by_fable(&searched(&us(&fast(&cached)))), 54_957_680),
    ] {
        assert_eq!(nanos(model, &usage), expected, "{model} {usage:?}");
    }
}

#[test]
fn batches_cost_half_but_not_their_searches_or_advisors() {
    let batch = Usage {
        tier: ServiceTier::Batch,
        server_tools: ServerTools { web_search: 1, ..ServerTools::default() },
        advisors: vec![Advisor { model: "claude-haiku-4-5".into(), tokens: usage(10, 0, 0, 0, 0).tokens }],
        ..usage(3, 0, 0, 0, 0)
    };
    assert_eq!(nanos("claude-opus-5-5", &batch), 6_000 + 10_000_000 + 10_000);
}

#[test]
fn regional_endpoints_cost_a_tenth_more() {
    let table = PriceTable::builtin();
    let tokens = usage(1000, 2000, 3000, 4000, 5000);
    let regional =
        |usage: &Usage| table.price_in(Place::Regional, "claude-opus-5-5", usage, NOW).cost.nanos.0;
    assert_eq!(regional(&tokens), 152_680_000);
    assert_eq!(regional(&Usage { geo: Geo::Us, ..tokens }), 167_948_000);
}

#[test]
fn the_sum_is_rounded_once_and_half_up() {
    let batch = |usage: Usage| Usage { tier: ServiceTier::Batch, ..usage };
    // 62.5, then 62.5 + 62.5, then 62.5 + 5.
    assert_eq!(nanos("claude-haiku-5-5", &batch(usage(0, 1, 0, 0, 0))), 63);
    assert_eq!(nanos("claude-haiku-5-5", &batch(usage(0, 2, 0, 0, 0))), 125);
    assert_eq!(nanos("claude-haiku-5-5", &batch(usage(0, 1, 0, 1, 0))), 68);
    // 137.5 * 0.5 = 68.75 and 137.5.
    assert_eq!(nanos("claude-haiku-5-5", &Usage { geo: Geo::Us, ..batch(usage(0, 1, 0, 0, 0)) }), 69);
    assert_eq!(nanos("claude-haiku-5-5", &Usage { geo: Geo::Us, ..usage(0, 1, 0, 0, 0) }), 138);
}

#[test]
fn one_model_has_many_names() {
    let table = PriceTable::builtin();
    for (name, id) in [
        ("claude-opus-5-5", Some("claude-opus-5-5")),
        ("us.anthropic.claude-opus-5-5", Some("claude-opus-5-5")),
        ("anthropic.claude-opus-5-5", Some("claude-opus-5-5")),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", Some("claude-sonnet-4-5")),
        ("anthropic.claude-opus-4-20250514-v1:0", Some("claude-opus-4")),
        ("claude-sonnet-4-5-20250929", Some("claude-sonnet-4-5")),
        ("claude-haiku-4-5@20251001", Some("claude-haiku-4-5")),
        ("claude-3-5-sonnet-v2@20241022", Some("claude-3-5-sonnet")),
        ("claude-sonnet-4-0", Some("claude-sonnet-4")),
        ("claude-opus-5-5[1m]", Some("claude-opus-5-5")),
        ("projects/p/locations/global/publishers/anthropic/models/claude-opus-5", Some("claude-opus-5")),
        (
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-opus-4-1-20250805-v1:0",
            Some("claude-opus-4-1"),
        ),
        ("claude-opus-5-5-preview", None),
        ("claude-opus-6", None),
        ("claude-opus", None),
        ("xclaude-opus-5-5", None),
        ("us.", None),
        ("", None),
        ("@", None),
        ("-v1", None),
        ("]", None),
        ("\u{1F600}/\u{e9}[", None),
    ] {
        assert_eq!(table.find(name).map(|m| m.id.as_str()), id, "{name}");
    }
}

#[test]
fn unknown_models_cost_the_default_and_say_so() {
    let table = PriceTable::builtin();
    let priced = table.price("gpt-9", &usage(1000, 2000, 3000, 4000, 5000), NOW);
    assert_eq!(priced.cost, Cost { nanos: Nanos(174_500_000), basis: PriceBasis::Default });
    assert_eq!(priced.unknown.as_deref(), Some("gpt-9"));
    let mut advised = usage(1, 0, 0, 0, 0);
    advised.advisors = vec![Advisor { model: "what".into(), tokens: usage(1, 0, 0, 0, 0).tokens }];
    let priced = table.price("claude-opus-5-5", &advised, NOW);
    assert_eq!(priced.cost, Cost { nanos: Nanos(9_000), basis: PriceBasis::Default });
    assert_eq!(priced.unknown.as_deref(), Some("what"));
}

#[test]
fn nothing_consumed_costs_nothing() {
    for model in ["claude-opus-5-5", "what"] {
        assert_eq!(PriceTable::builtin().price(model, &Usage::default(), NOW), Priced::default());
    }
}

#[test]
fn absurd_amounts_saturate_and_say_so() {
    let table = PriceTable::builtin();
    for tokens in [usage(u64::MAX, 0, 0, 0, 0), usage(u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX)] {
        let all = Usage { tier: ServiceTier::Batch, geo: Geo::Us, speed: Speed::Fast, ..tokens };
        let priced = table.price("claude-opus-4-7", &all, NOW);
        assert!(priced.saturated);
        assert_eq!(priced.cost.nanos, Nanos(i64::MAX));
    }
    // What the meters let through still fits: 10¹² tokens of the dearest kind are 165 million dollars.
    let most = Usage { speed: Speed::Fast, geo: Geo::Us, ..usage(0, 0, 0, 0, 1_000_000_000_000) };
    assert_eq!(nanos("claude-opus-4-7", &most), 165_000_000_000_000_000);
}

const RATES: Rates = Rates {
    input: 1_000_000,
    cache_write_5m: 2_000_000,
    cache_write_1h: 3_000_000,
    cache_read: 4_000_000,
    output: 5_000_000,
};

fn terms(discount: u64, contracts: &[(&str, Option<u64>, Option<Rates>)]) -> PriceTable {
    let contracts = contracts
        .iter()
        .map(|(pattern, discount, rates)| Contract {
            models: ModelScope::only(&[*pattern]).unwrap(),
            discount: discount.map(Discount),
            rates: *rates,
        })
        .collect();
    PriceTable::builtin()
        .with_terms(Terms { discount: Discount(discount), contracts, default: None })
        .unwrap()
}

#[test]
fn contracts_change_prices() {
    let one = usage(1, 0, 0, 0, 0);
    let fast = Usage { speed: Speed::Fast, ..one.clone() };
    let searched =
        Usage { server_tools: ServerTools { web_search: 1, ..ServerTools::default() }, ..one.clone() };
    let everything_off = terms(1250, &[]);
    let some = terms(
        1000,
        &[
            ("claude-haiku-*", Some(2500), None),
            ("claude-opus-*", None, Some(RATES)),
            ("own-*", Some(0), Some(RATES)),
        ],
    );
    for (table, model, usage, expected, basis) in [
        (&everything_off, "claude-opus-5-5", &one, 3_500, PriceBasis::Contract),
        (&everything_off, "claude-opus-5-5", &fast, 7_000, PriceBasis::Contract),
        (&everything_off, "claude-opus-5-5", &searched, 8_753_500, PriceBasis::Contract),
        (&everything_off, "what", &one, 5_000, PriceBasis::Default),
        (&some, "claude-sonnet-5-5", &one, 1_800, PriceBasis::Contract),
        (&some, "claude-haiku-4-5", &one, 750, PriceBasis::Contract),
        (&some, "us.anthropic.claude-haiku-4-5", &one, 750, PriceBasis::Contract),
        (&some, "claude-opus-5-5", &one, 900, PriceBasis::Contract),
        (&some, "claude-opus-5-5", &fast, 7_200, PriceBasis::Contract),
        (&some, "own-model", &one, 1_000, PriceBasis::Contract),
        (&some, "own-model", &fast, 1_000, PriceBasis::Contract),
    ] {
        let cost = table.price(model, usage, NOW).cost;
        assert_eq!((cost.nanos.0, cost.basis), (expected, basis), "{model} {usage:?}");
    }
}

#[test]
fn bad_terms_are_refused() {
    let with = |terms| PriceTable::builtin().with_terms(terms).unwrap_err();
    assert_eq!(with(Terms { discount: Discount(10_001), ..Terms::default() }), BadTerms::Discount(10_001));
    let contract = Contract { models: ModelScope::all(), discount: Some(Discount(20_000)), rates: None };
    assert_eq!(with(Terms { contracts: vec![contract], ..Terms::default() }), BadTerms::Discount(20_000));
    let free = Rates { cache_read: 0, ..RATES };
    assert_eq!(with(Terms { default: Some(free), ..Terms::default() }), BadTerms::FreeDefault);
}

#[test]
fn models_are_offered_until_they_retire() {
    let table = PriceTable::builtin();
    let offered = |at: &str| table.models(at.parse().unwrap()).map(|m| m.id.as_str()).collect::<Vec<_>>();
    let (before, after) = (offered("2026-11-29T23:59:59Z"), offered("2026-11-30"));
    assert!(before.contains(&"claude-sonnet-4-5") && !after.contains(&"claude-sonnet-4-5"));
    assert_eq!(before.len(), after.len() + 1);
    assert!(
        ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-1"]
            .iter()
            .all(|m| after.contains(m))
    );
    assert!(!before.contains(&"claude-opus-4-1"));
    assert_eq!(table.as_of().to_string(), "2026-11-22T00:00:00.000Z");
}

/// A table with one model, whose `prices` are given.
fn table(prices: &str) -> Result<PriceTable, BadTable> {
    let builtin = include_str!("../../data/prices.toml");
    let head = &builtin[..builtin.find("[[model]]").unwrap()];
    PriceTable::parse(&format!("{head}\n[[model]]\nid = \"m\"\nname = \"M\"\nprices = [{prices}]\n"))
}

const TOKENS: &str = "input = \"1\", write_5m = \"1\", write_1h = \"1\", read = \"1\", output = \"1\"";

#[test]
fn prices_have_dates() {
    let dear = TOKENS.replace("\"1\"", "\"2\"");
    let table = table(&format!(
        "{{ from = \"2026-01-01\", until = \"2026-06-01\", {TOKENS} }}, {{ from = \"2026-06-01\", {dear} }}"
    ))
    .unwrap();
    for (at, expected, basis) in [
        ("2025-12-31T23:59:59Z", 5_000, PriceBasis::Default),
        ("2026-01-01", 1_000, PriceBasis::Table),
        ("2026-05-31T23:59:59.999Z", 1_000, PriceBasis::Table),
        ("2026-06-01", 2_000, PriceBasis::Table),
        ("2036-06-01", 2_000, PriceBasis::Table),
    ] {
        let cost = table.price("m", &usage(1, 0, 0, 0, 0), at.parse().unwrap()).cost;
        assert_eq!((cost.nanos.0, cost.basis), (expected, basis), "{at}");
    }
}

#[test]
fn bad_tables_are_refused_with_a_reason() {
    for (prices, reason) in [
        (String::new(), "no line without conditions"),
        (format!("{{ speed = \"fast\", {TOKENS} }}"), "no line without conditions"),
        (format!("{{ {TOKENS} }}, {{ {TOKENS} }}"), "same conditions at the same time"),
        (
            format!("{{ until = \"2026-02-01\", {TOKENS} }}, {{ from = \"2026-01-31\", {TOKENS} }}"),
            "same time",
        ),
        (format!("{{ from = \"2026-02-01\", until = \"2026-02-01\", {TOKENS} }}"), "ends before it begins"),
        (format!("{{ from = \"soon\", {TOKENS} }}"), "`from` of m is `soon`"),
        (format!("{{ {} }}", TOKENS.replacen("\"1\"", "\"-1\"", 1)), "`input` of m is `-1`"),
        (format!("{{ {} }}", TOKENS.replacen("\"1\"", "\"1e3\"", 1)), "`input` of m is `1e3`"),
        (format!("{{ {} }}", TOKENS.replacen("\"1\"", "\"0.1234567\"", 1)), "at most six decimals"),
        (format!("{{ {} }}", TOKENS.replacen("\"1\"", "\"1000000.1\"", 1)), "at most 1000000"),
        (format!("{{ {} }}", TOKENS.replacen("\"1\"", "1.5", 1)), "string"),
        (format!("{{ sped = \"fast\", {TOKENS} }}"), "unknown field"),
        (
            format!("{{ {TOKENS} }}]\n[[model]]\nid = \"m\"\nname = \"N\"\nprices = [{{ {TOKENS} }}"),
            "name of two models",
        ),
        (
            format!("{{ {TOKENS} }}]\n[[model]]\nid = \"a b\"\nname = \"N\"\nprices = [{{ {TOKENS} }}"),
            "not a model's name",
        ),
    ] {
        let error = table(&prices).unwrap_err().to_string();
        assert!(error.contains(reason), "{prices}: {error}");
    }
    let free = include_str!("../../data/prices.toml").replacen("read = \"0.5\"", "read = \"0.0\"", 1);
    assert_eq!(PriceTable::parse(&free).unwrap_err(), BadTable::FreeDefault);
}

fn any_usage() -> impl Strategy<Value = Usage> {
    let count = || prop_oneof![0_u64..10, 0_u64..300_000, 0_u64..1_000_000_000_000];
    let tokens = || {
        (count(), count(), count(), count(), count()).prop_map(|(a, b, c, d, e)| usage(a, b, c, d, e).tokens)
    };
    let advisor = (any_model(), tokens()).prop_map(|(model, tokens)| Advisor { model, tokens });
    (tokens(), 0_u64..100, 0_u8..3, any::<bool>(), any::<bool>(), proptest::collection::vec(advisor, 0..3))
        .prop_map(|(tokens, web_search, tier, fast, us, advisors)| Usage {
            tokens,
            thinking: 0,
            server_tools: ServerTools { web_search, ..ServerTools::default() },
            tier: [ServiceTier::Standard, ServiceTier::Priority, ServiceTier::Batch][usize::from(tier)],
            speed: if fast { Speed::Fast } else { Speed::Standard },
            geo: if us { Geo::Us } else { Geo::Global },
            advisors,
        })
}

fn any_model() -> impl Strategy<Value = String> {
    let known = LIST.map(|(model, ..)| model.to_owned()).to_vec();
    prop_oneof![proptest::sample::select(known), "[a-z@/:.\\[\\]-]{0,12}"]
}

proptest! {
    #[test]
    fn costs_are_never_negative_and_never_zero_by_default(model in any_model(), usage in any_usage()) {
        let priced = PriceTable::builtin().price(&model, &usage, NOW);
        prop_assert!(priced.cost.nanos.0 >= 0 && !priced.saturated);
        prop_assert_eq!(priced.cost.basis == PriceBasis::Default, priced.unknown.is_some());
        if usage.total() != Tokens::default() {
            prop_assert!(priced.cost.nanos.0 > 0 && priced.cost.basis != PriceBasis::None);
        }
    }

    #[test]
    fn more_tokens_never_cost_less(model in any_model(), usage in any_usage(), kind in 0_usize..5, more in 0_u64..1_000_000) {
        let mut bigger = usage.clone();
        let t = &mut bigger.tokens;
        *[&mut t.input, &mut t.cache_write_5m, &mut t.cache_write_1h, &mut t.cache_read, &mut t.output][kind] += more;
        let table = PriceTable::builtin();
        prop_assert!(table.price(&model, &bigger, NOW).cost.nanos >= table.price(&model, &usage, NOW).cost.nanos);
    }

    #[test]
    fn the_whole_is_the_sum_of_its_parts(usage in any_usage()) {
        // A model whose price does not depend on the prompt's length, so that the parts can be priced alone.
        let (table, model) = (PriceTable::builtin(), "claude-opus-5-5");
        let with = |tokens| Usage { tokens, server_tools: ServerTools::default(), advisors: Vec::new(), ..usage.clone() };
        let t = usage.tokens;
        let mut parts = vec![
            with(Tokens { input: t.input, ..Tokens::default() }),
            with(Tokens { cache_write_5m: t.cache_write_5m, ..Tokens::default() }),
            with(Tokens { cache_write_1h: t.cache_write_1h, ..Tokens::default() }),
            with(Tokens { cache_read: t.cache_read, ..Tokens::default() }),
            with(Tokens { output: t.output, ..Tokens::default() }),
            Usage { server_tools: usage.server_tools, ..with(Tokens::default()) },
        ];
        parts.extend(usage.advisors.iter().map(|a| Usage { advisors: vec![a.clone()], ..with(Tokens::default()) }));
        let price = |usage: &Usage| i128::from(table.price(model, usage, NOW).cost.nanos.0);
        let sum: i128 = parts.iter().map(price).sum();
        // Each part is rounded by at most half a nano-dollar, and so is the whole.
        prop_assert!((sum - price(&usage)).unsigned_abs() * 2 <= parts.len() as u128 + 1);
    }

    #[test]
    fn any_text_is_a_name(name in ".{0,40}") {
        let _ = PriceTable::builtin().find(&name);
    }
}

#[test]
fn the_worst_case_is_never_below_what_any_usage_of_that_size_costs() {
    let table = PriceTable::builtin();
    let at = "2026-11-22".parse::<UnixMillis>().unwrap();
    for model in ["claude-opus-5-5", "claude-haiku-5-5", "claude-sonnet-5-5", "nobody-knows-this"] {
        for (speed, geo) in [(Speed::Standard, Geo::Global), (Speed::Fast, Geo::Us)] {
            for size in [0, 1, 1000, 100_000, 100_001, 900_000] {
                let worst = table.worst(model, &Worst { input: size, output: 64, speed, geo }, at);
                for kind in 0..4 {
                    let mut tokens = Tokens { output: 64, ..Tokens::default() };
                    *[
                        &mut tokens.input,
                        &mut tokens.cache_write_5m,
                        &mut tokens.cache_write_1h,
                        &mut tokens.cache_read,
                    ][kind] = size;
                    let usage = Usage { tokens, speed, geo, ..Usage::default() };
                    let cost = table.price(model, &usage, at).cost.nanos;
                    assert!(cost <= worst, "{model} {size} {kind}: {cost} of {worst}");
                    assert!(kind != 2 || cost == worst, "{model}: an hour in the cache is the dearest");
                }
            }
        }
    }
    assert_eq!(
        table.worst("m", &Worst { input: u64::MAX, output: u64::MAX, ..Worst::default() }, at).0,
        i64::MAX
    );
}
