//! An exchange as one line of JSON: what the database stores and the audit log's hashes cover.
//!
//! What is at its default is left out, so that a record takes about 500 bytes.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Attempt, Cost, Credential, Ended, Exchange, Kind, PriceBasis, Principal};
use crate::data_protection::DataFindings;
use crate::id::{ExchangeId, KeyId, OrgId, ProjectId, SessionId, TeamId, UserId};
use crate::money::Nanos;
use crate::time::UnixMillis;
use crate::usage::{Advisor, Geo, ServerTools, ServiceTier, Speed, Tokens, Usage};

/// A record that cannot be read, which means that it was altered.
#[derive(Debug, thiserror::Error)]
#[error("the record cannot be read: {0}")]
pub struct BadRecord(#[from] serde_json::Error);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<'a> {
    id: ExchangeId,
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<KeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    team: Option<TeamId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    project: Option<ProjectId>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    provider: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    served_model: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_default")]
    stream: bool,
    status: u16,
    ended: Ended,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Consumed::is_nothing")]
    usage: Consumed<'a>,
    #[serde(default, skip_serializing_if = "is_default")]
    estimated: bool,
    cost_nanos: i64,
    price_basis: PriceBasis,
    started_at: UnixMillis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<u32>,
    duration_ms: u32,
    overhead_us: u32,
    bytes_in: u64,
    bytes_out: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peer: Option<IpAddr>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    session: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    client: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    asked: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "<[Attempt]>::is_empty")]
    attempts: Cow<'a, [Attempt]>,
    #[serde(default, skip_serializing_if = "is_default")]
    switched: bool,
    #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
    left_out: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Cow<'a, DataFindings>>,
}

/// [`Usage`], flat.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Consumed<'a> {
    #[serde(skip_serializing_if = "is_default")]
    input: u64,
    #[serde(skip_serializing_if = "is_default")]
    cache_write_5m: u64,
    #[serde(skip_serializing_if = "is_default")]
    cache_write_1h: u64,
    #[serde(skip_serializing_if = "is_default")]
    cache_read: u64,
    #[serde(skip_serializing_if = "is_default")]
    output: u64,
    #[serde(skip_serializing_if = "is_default")]
    thinking: u64,
    #[serde(skip_serializing_if = "is_default")]
    web_search: u64,
    #[serde(skip_serializing_if = "is_default")]
    web_fetch: u64,
    #[serde(skip_serializing_if = "is_default")]
    code_execution: u64,
    #[serde(skip_serializing_if = "is_default")]
    tier: ServiceTier,
    #[serde(skip_serializing_if = "is_default")]
    speed: Speed,
    #[serde(skip_serializing_if = "is_default")]
    geo: Geo,
    #[serde(skip_serializing_if = "<[Advisor]>::is_empty")]
    advisors: Cow<'a, [Advisor]>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Consumed<'_> {
    fn is_nothing(&self) -> bool {
        let Self { tier, speed, geo, advisors, .. } = self;
        let counts = [
            self.input,
            self.cache_write_5m,
            self.cache_write_1h,
            self.cache_read,
            self.output,
            self.thinking,
            self.web_search,
            self.web_fetch,
            self.code_execution,
        ];
        counts == [0; 9] && is_default(tier) && is_default(speed) && is_default(geo) && advisors.is_empty()
    }
}

impl<'a> From<&'a Usage> for Consumed<'a> {
    fn from(usage: &'a Usage) -> Self {
        let Usage { tokens, thinking, server_tools, tier, speed, geo, advisors } = usage;
        Self {
            input: tokens.input,
            cache_write_5m: tokens.cache_write_5m,
            cache_write_1h: tokens.cache_write_1h,
            cache_read: tokens.cache_read,
            output: tokens.output,
            thinking: *thinking,
            web_search: server_tools.web_search,
            web_fetch: server_tools.web_fetch,
            code_execution: server_tools.code_execution,
            tier: *tier,
            speed: *speed,
            geo: *geo,
            advisors: Cow::Borrowed(advisors),
        }
    }
}

impl From<Consumed<'_>> for Usage {
    fn from(usage: Consumed<'_>) -> Self {
        Self {
            tokens: Tokens {
                input: usage.input,
                cache_write_5m: usage.cache_write_5m,
                cache_write_1h: usage.cache_write_1h,
                cache_read: usage.cache_read,
                output: usage.output,
            },
            thinking: usage.thinking,
            server_tools: ServerTools {
                web_search: usage.web_search,
                web_fetch: usage.web_fetch,
                code_execution: usage.code_execution,
            },
            tier: usage.tier,
            speed: usage.speed,
            geo: usage.geo,
            advisors: usage.advisors.into_owned(),
        }
    }
}

impl Exchange {
    /// Appends the record: one line without its end, in which a control character is always escaped. The
    /// organization is not part of it.
    pub fn write_record(&self, out: &mut Vec<u8>) {
        fn text(text: Option<&String>) -> Option<Cow<'_, str>> {
            text.map(|text| Cow::Borrowed(text.as_str()))
        }
        let whose = self.principal.as_ref();
        let record = Record {
            id: self.id,
            request_id: Cow::Borrowed(&self.request_id),
            kind: self.kind,
            user: whose.map(|p| p.user),
            key: whose.and_then(Principal::key),
            session_id: whose.and_then(Principal::session),
            team: whose.and_then(|p| p.team),
            project: whose.and_then(|p| p.project),
            provider: text(self.provider.as_ref()),
            model: text(self.model.as_ref()),
            served_model: text(self.served_model.as_ref()),
            stream: self.stream,
            status: self.status,
            ended: self.ended,
            reason: text(self.reason.as_ref()),
            usage: Consumed::from(&self.usage),
            estimated: self.estimated,
            cost_nanos: self.cost.nanos.0,
            price_basis: self.cost.basis,
            started_at: self.started_at,
            first_byte_ms: self.first_byte_ms,
            duration_ms: self.duration_ms,
            overhead_us: self.overhead_us,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            peer: self.peer,
            session: text(self.session.as_ref()),
            client: text(self.client.as_ref()),
            asked: text(self.asked.as_ref()),
            attempts: Cow::Borrowed(&self.attempts),
            switched: self.switched,
            left_out: Cow::Borrowed(&self.left_out),
            data: self.data.as_ref().map(Cow::Borrowed),
        };
        serde_json::to_writer(out, &record).expect("numbers, names and texts can always be written as JSON");
    }

    /// Reads a record of this organization.
    ///
    /// # Errors
    /// The text is not a record.
    pub fn read_record(org: OrgId, text: &str) -> Result<Self, BadRecord> {
        let record: Record<'_> = serde_json::from_str(text)?;
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        let credential = record.key.map(Credential::Key).or(record.session_id.map(Credential::Session));
        let principal = record.user.zip(credential).map(|(user, credential)| Principal {
            org,
            user,
            credential,
            team: record.team,
            project: record.project,
        });
        Ok(Self {
            id: record.id,
            request_id: record.request_id.into_owned(),
            kind: record.kind,
            principal,
            provider: owned(record.provider),
            model: owned(record.model),
            served_model: owned(record.served_model),
            stream: record.stream,
            status: record.status,
            ended: record.ended,
            reason: owned(record.reason),
            usage: record.usage.into(),
            estimated: record.estimated,
            cost: Cost { nanos: Nanos(record.cost_nanos), basis: record.price_basis },
            started_at: record.started_at,
            first_byte_ms: record.first_byte_ms,
            duration_ms: record.duration_ms,
            overhead_us: record.overhead_us,
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            peer: record.peer,
            session: owned(record.session),
            client: owned(record.client),
            asked: owned(record.asked),
            attempts: record.attempts.into_owned(),
            switched: record.switched,
            left_out: record.left_out.into_owned(),
            data: record.data.map(Cow::into_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_protection::Verdict;

    const ORG: OrgId = OrgId::from_bits(1);

    fn full() -> Exchange {
        let principal = Principal {
            org: ORG,
            user: UserId::from_bits(2),
            credential: Credential::Key(KeyId::from_bits(3)),
            team: Some(TeamId::from_bits(4)),
            project: Some(ProjectId::from_bits(5)),
        };
        let tokens =
            Tokens { input: 1, cache_write_5m: 2, cache_write_1h: 3, cache_read: 4, output: u64::MAX };
        Exchange {
            id: ExchangeId::from_bits(6),
            request_id: "req_\n\0\u{7f}名\"".to_owned(),
            kind: Kind::Messages,
            principal: Some(principal),
            provider: Some("main".to_owned()),
            model: Some("claude-\"x\\".to_owned()),
            served_model: Some(String::new()),
            stream: true,
            status: 200,
            ended: Ended::Completed,
            reason: Some("why".to_owned()),
            usage: Usage {
                tokens,
                thinking: 6,
                server_tools: ServerTools { web_search: 7, web_fetch: 8, code_execution: 9 },
                tier: ServiceTier::Batch,
                speed: Speed::Fast,
                geo: Geo::Us,
                advisors: vec![Advisor { model: "b".to_owned(), tokens }],
            },
            estimated: true,
            cost: Cost { nanos: Nanos(i64::MAX), basis: PriceBasis::Contract },
            started_at: UnixMillis(1_700_000_000_000),
            first_byte_ms: Some(0),
            duration_ms: u32::MAX,
            overhead_us: 10,
            bytes_in: 11,
            bytes_out: 12,
            peer: Some("2001:db8::1".parse().unwrap()),
            session: Some("s".to_owned()),
            client: Some("c".to_owned()),
            asked: Some("opus".to_owned()),
            attempts: vec![Attempt {
                provider: "other".to_owned(),
                fault: crate::routing::Fault::Overloaded,
                ended_ms: 7,
            }],
            switched: true,
            left_out: vec!["context_management".to_owned()],
            data: DataFindings::new(Verdict::Observed, [("github-token", 2), ("jwt", 1)]),
        }
    }

    fn empty() -> Exchange {
        Exchange {
            principal: None,
            provider: None,
            model: None,
            served_model: None,
            stream: false,
            reason: None,
            usage: Usage::default(),
            estimated: false,
            cost: Cost::default(),
            first_byte_ms: None,
            peer: None,
            session: None,
            client: None,
            asked: None,
            attempts: Vec::new(),
            switched: false,
            left_out: Vec::new(),
            data: None,
            ..full()
        }
    }

    fn written(exchange: &Exchange) -> String {
        let mut out = Vec::new();
        exchange.write_record(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn records_read_back() {
        let without_team = |p: Principal| Principal { team: None, project: None, ..p };
        let some = Exchange { principal: full().principal.map(without_team), ..full() };
        let by_session =
            |p: Principal| Principal { credential: Credential::Session(SessionId::from_bits(9)), ..p };
        let of_session = Exchange { principal: full().principal.map(by_session), ..full() };
        for exchange in [full(), empty(), some, of_session] {
            let text = written(&exchange);
            assert!(!text.contains(|c: char| c < ' '), "{text}");
            assert_eq!(Exchange::read_record(ORG, &text).unwrap(), exchange, "{text}");
        }
    }

    #[test]
    fn what_is_absent_takes_no_room() {
        let text = written(&Exchange { request_id: String::new(), ..empty() });
        assert_eq!(
            text,
            concat!(
                r#"{"id":"exc_00000000000000000000000006","request_id":"","kind":"messages","status":200,"#,
                r#""ended":"completed","cost_nanos":0,"price_basis":"none","started_at":1700000000000,"#,
                r#""duration_ms":4294967295,"overhead_us":10,"bytes_in":11,"bytes_out":12}"#
            )
        );
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let good = written(&full());
        for bad in
            ["", "{}", &good[1..], &good.replace("\"kind\"", "\"kinds\""), &good.replace("exc_", "usr_")]
        {
            assert!(Exchange::read_record(ORG, bad).is_err(), "{bad}");
        }
    }
}
