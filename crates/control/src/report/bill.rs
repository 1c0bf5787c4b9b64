//! Bills of providers, as files: read into amounts by day and model.
//!
//! Formats: Anthropic's cost report (JSON as `GET /v1/organizations/cost_report` answers, one page or an array of pages),
//! AWS Cost and Usage Report 2.0 (CSV), Google Cloud's billing export from `BigQuery` (CSV, a JSON array or JSON lines), and
//! a plain CSV of `day,model,usd`. Amounts must be in US dollars. Credits, taxes and refunds are left out, since the
//! ledger knows prices only.

use gatehouse_domain::money::Nanos;
use gatehouse_domain::report::Month;
use gatehouse_domain::report::reconcile::{Amounts, family};
use gatehouse_domain::time::UnixMillis;
use serde_json::Value;

/// Where a bill comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Anthropic's cost report.
    AnthropicCost,
    /// AWS Cost and Usage Report 2.0.
    AwsCur2,
    /// Google Cloud's billing export.
    BigQuery,
    /// A table of day, model and dollars.
    Plain,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bill {
    /// By day and model family.
    pub amounts: Amounts,
    /// Rows that count.
    pub rows: u64,
    /// Rows of other months, other products, credits, taxes.
    pub left_out: u64,
}

/// Why a bill cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {why}")]
pub struct BadBill {
    place: String,
    why: String,
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better without `&`")]
fn bad(place: impl ToString, why: impl Into<String>) -> BadBill {
    BadBill { place: place.to_string(), why: why.into() }
}

impl Source {
    /// The source of this name.
    pub fn named(text: &str) -> Option<Self> {
        Some(match text {
            "anthropic-cost" => Self::AnthropicCost,
            "aws-cur2" => Self::AwsCur2,
            "bigquery" => Self::BigQuery,
            "plain" => Self::Plain,
            _ => return None,
        })
    }

    /// Reads a bill of a month.
    ///
    /// # Errors
    /// It is not of this format, or not in dollars; the first row that cannot be read.
    pub fn read(self, text: &str, month: Month) -> Result<Bill, BadBill> {
        let mut reading = Reading { bill: Bill::default(), month };
        match self {
            Self::AnthropicCost => reading.anthropic(text)?,
            Self::AwsCur2 => reading.aws(text)?,
            Self::BigQuery => reading.google(text)?,
            Self::Plain => reading.plain(text)?,
        }
        Ok(reading.bill)
    }
}

struct Reading {
    bill: Bill,
    month: Month,
}

impl Reading {
    fn add(&mut self, place: &str, day: &str, model: &str, nanos: i64) -> Result<(), BadBill> {
        let day = day.get(..10).and_then(|text| text.parse::<UnixMillis>().ok());
        let day = day.ok_or_else(|| bad(place, "its day cannot be read (expected such as 2026-10-31)"))?;
        if Month::of(day) != self.month {
            self.bill.left_out += 1;
            return Ok(());
        }
        let sum = self.bill.amounts.entry((day, family(model))).or_default();
        *sum = sum.checked_add(Nanos(nanos)).ok_or_else(|| bad(place, "the sum is too large"))?;
        self.bill.rows += 1;
        Ok(())
    }

    fn anthropic(&mut self, text: &str) -> Result<(), BadBill> {
        let document: Value = serde_json::from_str(text).map_err(|e| bad("the file", e.to_string()))?;
        let pages = document.as_array().map_or_else(|| vec![&document], |pages| pages.iter().collect());
        let mut n = 0;
        for page in pages {
            let buckets = page["data"].as_array();
            for bucket in buckets.ok_or_else(|| bad("the file", "no `data`: is it a cost report?"))? {
                let day = bucket["starting_at"].as_str().unwrap_or_default();
                for result in bucket["results"].as_array().into_iter().flatten() {
                    n += 1;
                    let place = format!("result {n}");
                    dollars(&place, result["currency"].as_str())?;
                    // Cents, as a decimal number.
                    let amount = plain(&result["amount"]).and_then(|text| decimal(&text, 7));
                    let amount = amount.ok_or_else(|| bad(&place, "its `amount` is no number"))?;
                    let model = result["model"].as_str().or_else(|| result["description"].as_str());
                    self.add(&place, day, model.unwrap_or("other"), amount)?;
                }
            }
        }
        Ok(())
    }

    fn aws(&mut self, text: &str) -> Result<(), BadBill> {
        let table = Table::read(text)?;
        let day = table.column("line_item_usage_start_date")?;
        let cost = table.column("line_item_unblended_cost")?;
        let kind = table.column("line_item_line_item_type")?;
        let currency = table.column("line_item_currency_code")?;
        let about = [
            "line_item_line_item_description",
            "line_item_usage_type",
            "product_product_name",
            "line_item_product_code",
        ];
        let about: Vec<usize> = about.iter().filter_map(|name| table.column(name).ok()).collect();
        for (place, row) in table.rows() {
            let of = |column: usize| row.get(column).map_or("", String::as_str);
            let model = about.iter().map(|column| of(*column)).find(|text| is_ours(text));
            let counts = matches!(of(kind), "Usage" | "DiscountedUsage" | "SavingsPlanCoveredUsage");
            let (Some(model), true) = (model, counts) else {
                self.bill.left_out += 1;
                continue;
            };
            dollars(&place, Some(of(currency)))?;
            let amount = decimal(of(cost), 9).ok_or_else(|| bad(&place, "its cost is no number"))?;
            self.add(&place, of(day), model, amount)?;
        }
        Ok(())
    }

    fn google(&mut self, text: &str) -> Result<(), BadBill> {
        let start = text.trim_start();
        if start.starts_with('[') || start.starts_with('{') {
            return self.google_json(start);
        }
        let table = Table::read(text)?;
        let either = |one: &str, other: &str| table.column(one).or_else(|_| table.column(other));
        let sku = either("sku.description", "sku_description")?;
        let (day, cost) = (table.column("usage_start_time")?, table.column("cost")?);
        let (currency, kind) = (table.column("currency")?, either("cost_type", "costtype").ok());
        for (place, row) in table.rows() {
            let of = |column: usize| row.get(column).map_or("", String::as_str);
            self.google_row(&place, of(sku), of(day), of(cost), of(currency), kind.map_or("regular", of))?;
        }
        Ok(())
    }

    fn google_json(&mut self, text: &str) -> Result<(), BadBill> {
        let rows: Vec<Value> = if text.starts_with('[') {
            serde_json::from_str(text).map_err(|e| bad("the file", e.to_string()))?
        } else {
            let rows = serde_json::Deserializer::from_str(text).into_iter();
            rows.collect::<Result<_, _>>().map_err(|e| bad("the file", e.to_string()))?
        };
        for (n, row) in rows.iter().enumerate() {
            let text = |value: &Value| plain(value).unwrap_or_default();
            let kind = row["cost_type"].as_str().unwrap_or("regular");
            self.google_row(
                &format!("row {}", n + 1),
                &text(&row["sku"]["description"]),
                &text(&row["usage_start_time"]),
                &text(&row["cost"]),
                &text(&row["currency"]),
                kind,
            )?;
        }
        Ok(())
    }

    fn google_row(
        &mut self,
        place: &str,
        sku: &str,
        day: &str,
        cost: &str,
        currency: &str,
        kind: &str,
    ) -> Result<(), BadBill> {
        if !is_ours(sku) || kind != "regular" {
            self.bill.left_out += 1;
            return Ok(());
        }
        dollars(place, Some(currency))?;
        let amount = decimal(cost, 9).ok_or_else(|| bad(place, "its cost is no number"))?;
        self.add(place, day, sku, amount)
    }

    fn plain(&mut self, text: &str) -> Result<(), BadBill> {
        let table = Table::read(text)?;
        let columns = (table.column("day")?, table.column("model")?, table.column("usd")?);
        for (place, row) in table.rows() {
            let of = |column: usize| row.get(column).map_or("", String::as_str);
            let amount = decimal(of(columns.2), 9).ok_or_else(|| bad(&place, "its `usd` is no number"))?;
            self.add(&place, of(columns.0), of(columns.1), amount)?;
        }
        Ok(())
    }
}

fn is_ours(text: &str) -> bool {
    text.to_ascii_lowercase().contains("claude")
}

fn dollars(place: &str, currency: Option<&str>) -> Result<(), BadBill> {
    match currency {
        Some("USD") => Ok(()),
        other => Err(bad(place, format!("its currency is `{}`, expected USD", other.unwrap_or_default()))),
    }
}

pub(crate) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reads a decimal number (`-12.5`, `1.2E-7`) times a power of ten, rounded half away from zero.
pub(crate) fn decimal(text: &str, power: i32) -> Option<i64> {
    let text = text.trim();
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (number, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 60 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The place of the decimal point among the digits, after the shift.
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_add(power)?;
    let point = usize::try_from(point.clamp(-1, 80)).ok();
    let amount = match point {
        None => 0,
        Some(point) => {
            let kept: String = digits.chars().chain(std::iter::repeat('0')).take(point).collect();
            let next = digits.as_bytes().get(point).copied().unwrap_or(b'0');
            let kept = kept.trim_start_matches('0');
            let amount: i64 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
            amount.checked_add(i64::from(next >= b'5'))?
        }
    };
    Some(if negative { -amount } else { amount })
}

/// Comma-separated values with a head (RFC 4180).
struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn read(text: &str) -> Result<Self, BadBill> {
        let mut rows = Vec::new();
        let (mut row, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        let mut chars = text.trim_start_matches('\u{feff}').chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    cell.push('"');
                }
                '"' if quoted || cell.is_empty() => quoted = !quoted,
                ',' if !quoted => row.push(std::mem::take(&mut cell)),
                '\r' if !quoted && chars.peek() == Some(&'\n') => {}
                '\n' if !quoted => {
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                c => cell.push(c),
            }
        }
        if quoted {
            return Err(bad("the file", "a quoted cell has no end"));
        }
        if !cell.is_empty() || !row.is_empty() {
            row.push(cell);
            rows.push(row);
        }
        rows.retain(|row: &Vec<String>| row.iter().any(|cell| !cell.is_empty()));
        if rows.is_empty() {
            return Err(bad("the file", "it is empty"));
        }
        let head = rows.remove(0).iter().map(|cell| cell.trim().to_lowercase()).collect();
        Ok(Self { head, rows })
    }

    fn column(&self, name: &str) -> Result<usize, BadBill> {
        let found = self.head.iter().position(|head| head == name);
        found.ok_or_else(|| bad("the file", format!("there is no column `{name}`")))
    }

    fn rows(&self) -> impl Iterator<Item = (String, &Vec<String>)> {
        self.rows.iter().enumerate().map(|(n, row)| (format!("row {}", n + 2), row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn october() -> Month {
        "2026-10".parse().unwrap()
    }

    fn read(source: Source, text: &str) -> (Vec<(String, String, i64)>, u64) {
        let bill = source.read(text, october()).unwrap();
        let shown =
            bill.amounts.into_iter().map(|((day, model), n)| (day.to_string()[..10].to_owned(), model, n.0));
        (shown.collect(), bill.left_out)
    }

    fn line(day: &str, model: &str, nanos: i64) -> (String, String, i64) {
        (day.to_owned(), model.to_owned(), nanos)
    }

    #[test]
    fn decimals_are_exact() {
        for (text, power, expected) in [
            ("12.5", 9, Some(12_500_000_000)),
            ("-0.000000001", 9, Some(-1)),
            ("1.2E-7", 9, Some(120)),
            ("5e-10", 9, Some(1)),
            ("4.9e-10", 9, Some(0)),
            ("123.78912", 7, Some(1_237_891_200)),
            ("0", 9, Some(0)),
            (".5", 0, Some(1)),
            ("1e-300", 9, Some(0)),
            ("9223372036.854775807", 9, Some(i64::MAX)),
            ("9223372036.8547758075", 9, None),
            ("1e30", 9, None),
            ("", 9, None),
            ("1,5", 9, None),
            ("NaN", 9, None),
            ("--1", 9, None),
        ] {
            assert_eq!(decimal(text, power), expected, "{text}");
        }
    }

    #[test]
    fn a_cost_report_of_anthropic_is_read() {
        let text = r#"{"data":[
            {"starting_at":"2026-10-01T00:00:00Z","ending_at":"2026-10-02T00:00:00Z","results":[
              {"currency":"USD","amount":"123.45","model":"claude-sonnet-5-5","description":"x","token_type":"output_tokens"},
              {"currency":"USD","amount":"0.55","model":"claude-sonnet-5-5-20260801"},
              {"currency":"USD","amount":"100","model":null,"description":"Web Search Usage"}]},
            {"starting_at":"2026-11-01T00:00:00Z","results":[{"currency":"USD","amount":"1","model":"claude-opus-5-5"}]}
        ],"has_more":false,"next_page":null}"#;
        let expected = vec![
            line("2026-10-01", "claude-sonnet-5-5", 1_240_000_000),
            line("2026-10-01", "web search usage", 1_000_000_000),
        ];
        assert_eq!(read(Source::AnthropicCost, text), (expected.clone(), 1));
        assert_eq!(read(Source::AnthropicCost, &format!("[{text}]")), (expected, 1));
        for bad in ["", "{}", r#"{"data":[{"starting_at":"x","results":[{"currency":"EUR","amount":"1"}]}]}"#]
        {
            assert!(Source::AnthropicCost.read(bad, october()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cost_and_usage_report_of_aws_is_read() {
        let text = "line_item_line_item_type,line_item_usage_start_date,line_item_line_item_description,\
            line_item_unblended_cost,line_item_currency_code,line_item_usage_type\n\
            Usage,2026-10-03T05:00:00.000Z,\"Claude Sonnet 4.5 (Bedrock), \"\"input\"\"\",1.5E-3,USD,x\n\
            Usage,2026-10-03T06:00:00.000Z,nothing,0.25,USD,USE1-Claude4.5Sonnet-output\r\n\
            Usage,2026-10-03T06:00:00.000Z,EC2,9,USD,BoxUsage\n\
            Tax,2026-10-03T06:00:00.000Z,Claude tax,9,USD,x\n";
        let expected = vec![line("2026-10-03", "claude-sonnet-4-5", 251_500_000)];
        assert_eq!(read(Source::AwsCur2, text), (expected, 2));
        let told = Source::AwsCur2.read("a,b\n1,2\n", october()).unwrap_err().to_string();
        assert!(told.contains("line_item_usage_start_date"), "{told}");
    }

    #[test]
    fn a_billing_export_of_google_is_read() {
        let csv = "sku.description,usage_start_time,cost,currency,cost_type\n\
            Claude Opus 5.5 Input Tokens,2026-10-31 23:00:00 UTC,0.125,USD,regular\n\
            Claude Opus 5.5 Input Tokens,2026-10-31 23:00:00 UTC,1,USD,tax\n\
            N1 Core,2026-10-31 23:00:00 UTC,1,USD,regular\n";
        let expected = vec![line("2026-10-31", "claude-opus-5-5", 125_000_000)];
        assert_eq!(read(Source::BigQuery, csv), (expected.clone(), 2));
        let row = r#"{"sku":{"description":"Claude Opus 5.5 Input Tokens"},"usage_start_time":"2026-10-31 23:00:00 UTC","cost":0.125,"currency":"USD"}"#;
        assert_eq!(read(Source::BigQuery, &format!("{row}\n")), (expected.clone(), 0));
        assert_eq!(read(Source::BigQuery, &format!("[{row}]")), (expected, 0));
    }

    #[test]
    fn a_plain_table_is_read() {
        let text = "\u{feff}Day,Model,USD\n2026-10-01,claude-opus-5-5,0.1\n2026-10-01,claude-opus-5-5,0.2\n";
        assert_eq!(read(Source::Plain, text), (vec![line("2026-10-01", "claude-opus-5-5", 300_000_000)], 0));
        for bad in ["", "day,model,usd\nx,y,1\n", "day,model,usd\n2026-10-01,y,z\n", "day,model,usd\n\"2026"]
        {
            assert!(Source::Plain.read(bad, october()).is_err(), "{bad}");
        }
    }
}
