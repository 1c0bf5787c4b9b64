//! The rules by which overhead is shared, and exchange rates.

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::{OrgId, TeamId};
use gatehouse_domain::money::Nanos;
use gatehouse_domain::report::allocate::{Allocation, Method, Source};
use gatehouse_domain::report::exchange_rate::{Currency, ExchangeRate};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::Store;
use crate::error::StoreError;
use crate::stored;

const NOUN: &str = "allocation";
/// Most allocation rules of an organization.
const MAX_RULES: i64 = 100;
/// Most exchange rates that are looked at.
const MAX_RATES: i64 = 10_000;

impl Store {
    /// The allocation rules by name.
    ///
    /// # Errors
    /// A rule that cannot be read; the database.
    pub async fn allocations(&self, org: OrgId) -> Result<Vec<Allocation>, StoreError> {
        let rows: Vec<(String, Option<i64>, String, String)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT name, amount_nanos, method, shares FROM allocations WHERE org_id = $1 ORDER BY name",
            )
            .bind(org.to_string())
            .fetch_all(db)
            .await
        })?;
        rows.into_iter().map(allocation_of).collect()
    }

    /// Writes an allocation rule, in place of any of its name.
    ///
    /// # Errors
    /// There are a hundred others; another rule shares what is charged to no team already; the database.
    pub async fn set_allocation(&self, org: OrgId, rule: &Allocation, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let (others, moving): (i64, i64) = within!(tx, |db| {
            sqlx::query_as(
                "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN amount_nanos IS NULL THEN 1 ELSE 0 END), 0) AS BIGINT) \
                 FROM allocations WHERE org_id = $1 AND name <> $2",
            )
            .bind(org.to_string())
            .bind(&rule.name)
            .fetch_one(db)
            .await
        })?;
        if others >= MAX_RULES {
            return Err(StoreError::refused(NOUN, &rule.name, "would be one too many: remove another first"));
        }
        if moving > 0 && rule.source == Source::Unassigned {
            let why = "would share what is charged to no team a second time: remove the other rule first";
            return Err(StoreError::refused(NOUN, &rule.name, why));
        }
        let amount = match rule.source {
            Source::Unassigned => None,
            Source::Amount(amount) => Some(amount.0),
        };
        let shares = match &rule.method {
            Method::Even | Method::Proportional => String::new(),
            Method::Fixed(shares) => {
                shares.iter().map(|(team, weight)| format!("{team}:{weight}")).collect::<Vec<_>>().join(",")
            }
        };
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO allocations (org_id, name, amount_nanos, method, shares) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (org_id, name) DO UPDATE SET amount_nanos = excluded.amount_nanos, \
                 method = excluded.method, shares = excluded.shares",
            )
            .bind(org.to_string())
            .bind(&rule.name)
            .bind(amount)
            .bind(rule.method.as_str())
            .bind(shares)
            .execute(db)
            .await
        })?;
        tx.record(org, act).await
    }

    /// Removes an allocation rule.
    ///
    /// # Errors
    /// There is none of that name; the database.
    pub async fn remove_allocation(&self, org: OrgId, name: &str, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let gone = change!(tx, |db| {
            sqlx::query("DELETE FROM allocations WHERE org_id = $1 AND name = $2")
                .bind(org.to_string())
                .bind(name)
                .execute(db)
                .await
        })?;
        if gone == 0 { Err(StoreError::not_found(NOUN, name)) } else { tx.record(org, act).await }
    }

    /// The exchange rates, by currency, the newest first.
    ///
    /// # Errors
    /// A rate that cannot be read; the database.
    pub async fn exchange_rates(&self, org: OrgId) -> Result<Vec<ExchangeRate>, StoreError> {
        let rows: Vec<(String, i64, i64)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT currency, from_at, per_dollar FROM exchange_rates WHERE org_id = $1 \
                 ORDER BY currency, from_at DESC LIMIT $2",
            )
            .bind(org.to_string())
            .bind(MAX_RATES)
            .fetch_all(db)
            .await
        })?;
        rows.into_iter().map(rate_of).collect()
    }

    /// The rate of a currency that holds just before a moment, if there is one.
    ///
    /// # Errors
    /// A rate that cannot be read; the database.
    pub async fn exchange_rate(
        &self,
        org: OrgId,
        currency: Currency,
        before: UnixMillis,
    ) -> Result<Option<ExchangeRate>, StoreError> {
        let row: Option<(String, i64, i64)> = read!(self, |db| {
            sqlx::query_as(
                "SELECT currency, from_at, per_dollar FROM exchange_rates \
                 WHERE org_id = $1 AND currency = $2 AND from_at < $3 ORDER BY from_at DESC LIMIT 1",
            )
            .bind(org.to_string())
            .bind(currency.to_string())
            .bind(before.0)
            .fetch_optional(db)
            .await
        })?;
        row.map(rate_of).transpose()
    }

    /// Writes an exchange rate, in place of any of the same currency and day.
    ///
    /// # Errors
    /// The database.
    pub async fn set_exchange_rate(
        &self,
        org: OrgId,
        rate: &ExchangeRate,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        change!(tx, |db| {
            sqlx::query(
                "INSERT INTO exchange_rates (org_id, currency, from_at, per_dollar) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (org_id, currency, from_at) DO UPDATE SET per_dollar = excluded.per_dollar",
            )
            .bind(org.to_string())
            .bind(rate.currency.to_string())
            .bind(rate.from.0)
            .bind(rate.per_dollar)
            .execute(db)
            .await
        })?;
        tx.record(org, act).await
    }
}

fn rate_of((currency, from, per_dollar): (String, i64, i64)) -> Result<ExchangeRate, StoreError> {
    let currency = stored::parsed::<Currency>("exchange rate", &currency)?;
    Ok(ExchangeRate { currency, from: UnixMillis(from), per_dollar })
}

fn allocation_of(
    (name, amount, method, shares): (String, Option<i64>, String, String),
) -> Result<Allocation, StoreError> {
    let corrupt = |why: &str| StoreError::corrupt(NOUN, &name, why);
    let share = |text: &str| {
        let (team, weight) = text.split_once(':')?;
        Some((team.parse::<TeamId>().ok()?, weight.parse::<u64>().ok()?))
    };
    let method = match method.as_str() {
        "even" => Method::Even,
        "proportional" => Method::Proportional,
        "fixed" => Method::Fixed(
            shares
                .split(',')
                .filter(|text| !text.is_empty())
                .map(share)
                .collect::<Option<_>>()
                .ok_or_else(|| corrupt("its shares cannot be read"))?,
        ),
        _ => return Err(corrupt("its method is none")),
    };
    let source = amount.map_or(Source::Unassigned, |nanos| Source::Amount(Nanos(nanos)));
    Ok(Allocation { name, source, method })
}
