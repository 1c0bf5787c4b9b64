//! The forward proxy's access rules.

use std::collections::HashMap;
use std::fmt::Display;

use gatehouse_domain::audit::Draft;
use gatehouse_domain::id::OrgId;
use gatehouse_domain::proxy::{Action, Holder, MAX_RULES, Member, Policy, Rule, Window};
use gatehouse_domain::time::UnixMillis;

use crate::dialect::{change, read, within};
use crate::engine::{Store, Tx};
use crate::error::StoreError;
use crate::filter::{Filter, bound};
use crate::stored;

const NOUN: &str = "proxy rule";

const SELECT: &str = "SELECT r.name, r.action, r.team_id, r.user_id, r.hosts, r.ports, r.plain, r.internal, r.times, \
     r.created_at, COALESCE(t.name, u.email) AS holder \
     FROM proxy_rules r \
     LEFT JOIN teams t ON t.org_id = r.org_id AND t.id = r.team_id \
     LEFT JOIN users u ON u.org_id = r.org_id AND u.id = r.user_id \
     WHERE r.org_id = $1";

/// A rule with what people call its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRow {
    /// The rule.
    pub rule: Rule,
    /// The team's name or the user's e-mail address; `None` for everybody.
    pub holder_name: Option<String>,
    /// When it was made.
    pub created_at: UnixMillis,
}

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    action: String,
    team_id: Option<String>,
    user_id: Option<String>,
    hosts: String,
    ports: String,
    plain: i64,
    internal: String,
    times: Option<String>,
    created_at: i64,
    holder: Option<String>,
}

impl Store {
    /// Lists the rules in their order. One that cannot be read is an error: whom it refuses would be let through.
    ///
    /// # Errors
    /// A rule that cannot be read; the database.
    pub async fn proxy_rules(&self, org: OrgId) -> Result<Vec<RuleRow>, StoreError> {
        let mut filter = Filter::new(SELECT, org);
        filter.sql("ORDER BY r.position, r.name");
        let (sql, args) = filter.into_parts();
        let rows = read!(self, |db| bound!(sqlx::query_as::<_, Row>(sql), args).fetch_all(db).await)?;
        rows.into_iter().map(row_of).collect()
    }

    /// The rules that the proxy goes by, and the people, whom client certificates are compared with at the gateway too.
    ///
    /// # Errors
    /// A rule or a person that cannot be read; the database.
    pub async fn proxy_access(&self, org: OrgId) -> Result<(Policy, Vec<Member>), StoreError> {
        let rules: Vec<Rule> = self.proxy_rules(org).await?.into_iter().map(|row| row.rule).collect();
        let states: Vec<(String, String)> = read!(self, |db| {
            sqlx::query_as("SELECT id, state FROM users WHERE org_id = $1")
                .bind(org.to_string())
                .fetch_all(db)
                .await
        })?;
        let states: HashMap<String, String> = states.into_iter().collect();
        let mut members = Vec::new();
        for person in self.people(org).await? {
            let id = person.id.to_string();
            // Who came in between the two readings is in the next snapshot.
            let Some(state) = states.get(&id) else { continue };
            members.push(Member {
                user: person.id,
                email: person.email.to_lowercase(),
                state: stored::user_state(&id, state)?,
                teams: person.teams,
            });
        }
        Ok((Policy { rules }, members))
    }

    /// Adds a rule: in front of the one of this name, or at the end.
    ///
    /// # Errors
    /// There are [`MAX_RULES`], or one of its name; its holder does not exist, or the rule it should stand before; the
    /// database.
    pub async fn add_proxy_rule(
        &self,
        org: OrgId,
        row: &RuleRow,
        before: Option<&str>,
        act: &Draft,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let (count, last): (i64, i64) = within!(tx, |db| {
            sqlx::query_as("SELECT COUNT(*), COALESCE(MAX(position), 0) FROM proxy_rules WHERE org_id = $1")
                .bind(org.to_string())
                .fetch_one(db)
                .await
        })?;
        if stored::unsigned(NOUN, count)? >= MAX_RULES as u64 {
            return Err(StoreError::refused(
                NOUN,
                &row.rule.name,
                "would be one too many: remove another first",
            ));
        }
        let position = match before {
            None => last + 1,
            Some(name) => make_room(&mut tx, org, name).await?,
        };
        insert(&mut tx, org, row, position).await?;
        tx.publish(org, act).await
    }

    /// Removes a rule. Tunnels that only it allows are ended.
    ///
    /// # Errors
    /// There is none of that name; the database.
    pub async fn remove_proxy_rule(&self, org: OrgId, name: &str, act: &Draft) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let gone = change!(tx, |db| {
            sqlx::query("DELETE FROM proxy_rules WHERE org_id = $1 AND name = $2")
                .bind(org.to_string())
                .bind(name)
                .execute(db)
                .await
        })?;
        if gone == 0 { Err(StoreError::not_found(NOUN, name)) } else { tx.publish(org, act).await }
    }
}

/// Moves a rule and all behind it by one, and gives the place that is free then.
async fn make_room(tx: &mut Tx, org: OrgId, name: &str) -> Result<i64, StoreError> {
    let found: Option<(i64,)> = within!(tx, |db| {
        sqlx::query_as("SELECT position FROM proxy_rules WHERE org_id = $1 AND name = $2")
            .bind(org.to_string())
            .bind(name)
            .fetch_optional(db)
            .await
    })?;
    let (position,) = found.ok_or_else(|| StoreError::not_found(NOUN, name))?;
    change!(tx, |db| {
        sqlx::query("UPDATE proxy_rules SET position = position + 1 WHERE org_id = $1 AND position >= $2")
            .bind(org.to_string())
            .bind(position)
            .execute(db)
            .await
    })?;
    Ok(position)
}

async fn insert(tx: &mut Tx, org: OrgId, row: &RuleRow, position: i64) -> Result<(), StoreError> {
    let rule = &row.rule;
    let (team, user) = match rule.holder {
        Holder::Organization => (None, None),
        Holder::Team(id) => (Some(id.to_string()), None),
        Holder::User(id) => (None, Some(id.to_string())),
    };
    let made = change!(tx, |db| {
        sqlx::query(
            "INSERT INTO proxy_rules (org_id, name, position, action, team_id, user_id, hosts, ports, plain, internal, \
             times, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(org.to_string())
        .bind(&*rule.name)
        .bind(position)
        .bind(rule.action.as_str())
        .bind(team)
        .bind(user)
        .bind(joined(&rule.hosts))
        .bind(joined(&rule.ports))
        .bind(i64::from(rule.plain))
        .bind(joined(&rule.internal))
        .bind(rule.window.map(|window| window.to_string()))
        .bind(row.created_at.0)
        .execute(db)
        .await
    });
    made.map_err(StoreError::inserting(NOUN, rule.name.to_string()))?;
    Ok(())
}

fn joined(items: &[impl Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn row_of(row: Row) -> Result<RuleRow, StoreError> {
    let corrupt = |why: &str| StoreError::corrupt(NOUN, &row.name, why);
    let holder = match (&row.team_id, &row.user_id) {
        (Some(team), _) => Holder::Team(stored::parsed(NOUN, team)?),
        (None, Some(user)) => Holder::User(stored::parsed(NOUN, user)?),
        (None, None) => Holder::Organization,
    };
    let rule = Rule {
        holder,
        action: Action::named(&row.action).ok_or_else(|| corrupt("its action is not known"))?,
        hosts: items(&row.name, &row.hosts)?,
        ports: items(&row.name, &row.ports)?,
        plain: row.plain != 0,
        internal: items(&row.name, &row.internal)?,
        window: stored::parsed_some::<Window>(NOUN, row.times.as_deref())?,
        name: row.name.as_str().into(),
    };
    Ok(RuleRow { rule, holder_name: row.holder, created_at: UnixMillis(row.created_at) })
}

fn items<T: std::str::FromStr<Err: Display>>(name: &str, text: &str) -> Result<Vec<T>, StoreError> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts.map(|part| part.parse().map_err(|error| StoreError::corrupt(NOUN, name, error))).collect()
}
