//! A month in the `FinOps` Open Cost and Usage Specification, version 1.2 (<https://focus.finops.org/>).
//!
//! A row is a line of the month: what was used by one team, project, person and key, of one model at one provider. Overhead
//! and adjustments are rows too, so that the rows add up to the month's total to the nano-dollar.

use gatehouse_domain::money::Nanos;
use gatehouse_domain::report::Month;
use gatehouse_domain::report::statement::{Kind, Line};
use serde_json::json;

use super::chargeback::cell;
use super::month;
use crate::act::ActError;
use crate::app::App;

const COLUMNS: [&str; 36] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "PricingCategory",
    "PricingCurrency",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
];

/// A month as FOCUS rows in CSV.
///
/// # Errors
/// The ledger is behind; the database.
pub async fn export(app: &App, which: Month) -> Result<String, ActError> {
    let (_, lines) = month::lines(app, which).await?;
    let org = app.store.org(app.org).await?;
    let account = (org.id.to_string(), org.name);
    let mut out = COLUMNS.join(",");
    out.push_str("\r\n");
    for line in &lines {
        out.push_str(&row(which, &account, line)?);
        out.push_str("\r\n");
    }
    Ok(out)
}

fn row(which: Month, account: &(String, String), line: &Line) -> Result<String, ActError> {
    let (whose, tokens) = (&line.whose, &line.figures.tokens);
    let used = super::read_month(&line.month)?;
    // The validator takes quantities without a decimal point for integers, which the specification does not allow.
    let quantity = format!("{}.0", u128::from(tokens.prompt()) + u128::from(tokens.output));
    let is_usage = line.kind != Kind::Overhead;
    let model = if whose.model.is_empty() { "unknown model" } else { &whose.model };
    let cost = dollars(line.figures.cost);
    let some = |text: &str| if text.is_empty() { String::new() } else { cell(text) };
    let if_used = |text: String| if is_usage { text } else { String::new() };
    let provider = if whose.provider.is_empty() { "Gatehouse" } else { &whose.provider };
    let description = match line.kind {
        Kind::Usage => format!("{} requests with {model}", line.figures.requests),
        Kind::Adjustment => format!("{} requests with {model}, used in {used}", line.figures.requests),
        Kind::Overhead => format!("Shared cost by the rule {}", line.rule),
    };
    let (end, start) = (time(which.end()), time(which.start()));
    let cells = [
        cost.clone(),
        account.0.clone(),
        cell(&account.1),
        "Organization".to_owned(),
        "USD".to_owned(),
        end,
        start,
        if is_usage { "Usage" } else { "Adjustment" }.to_owned(),
        if line.kind == Kind::Adjustment { "Correction" } else { "" }.to_owned(),
        cell(&description),
        if is_usage { "Usage-Based" } else { "Recurring" }.to_owned(),
        time(used.end()),
        time(used.start()),
        if_used(quantity.clone()),
        if_used("Tokens".to_owned()),
        cost.clone(),
        cost.clone(),
        // A statement of ours is no invoice.
        String::new(),
        cell(provider),
        cost,
        if_used("Standard".to_owned()),
        "USD".to_owned(),
        if_used(quantity),
        if_used("Tokens".to_owned()),
        cell(provider),
        cell(provider),
        if_used(some(&whose.key_id)),
        if_used(some(&whose.key)),
        if_used(if whose.key_id.is_empty() { String::new() } else { "Virtual key".to_owned() }),
        "AI and Machine Learning".to_owned(),
        cell(if is_usage { model } else { "Gatehouse" }),
        "Generative AI".to_owned(),
        some(&whose.team_id),
        some(&whose.team),
        if whose.team_id.is_empty() { String::new() } else { "Team".to_owned() },
        cell(&tags(line)),
    ];
    Ok(cells.join(","))
}

fn tags(line: &Line) -> String {
    let whose = &line.whose;
    let pairs = [
        ("team", &whose.team),
        ("project", &whose.project),
        ("user", &whose.user),
        ("model", &whose.model),
        ("rule", &line.rule),
    ];
    let mut tags = json!({});
    for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        tags[name] = json!(value);
    }
    tags.to_string()
}

/// Dollars with all nine decimals.
fn dollars(amount: Nanos) -> String {
    let abs = amount.0.unsigned_abs();
    let sign = if amount.0 < 0 { "-" } else { "" };
    format!("{sign}{}.{:09}", abs / 1_000_000_000, abs % 1_000_000_000)
}

/// A time as the specification writes it: seconds, no fraction.
fn time(at: gatehouse_domain::time::UnixMillis) -> String {
    format!("{}Z", at.to_string().get(..19).unwrap_or_default())
}
