//! Pools of budgets in Valkey (or Redis): what nodes count together. What they mean is in [`gatehouse_domain::budget::share`].
//!
//! A pool is a hash: its `base` (a name that nobody else uses) and `sum`; `p:` a node and run, the last end of it that the sum
//! has; `g:`, `u:`, `h:` a node, what it was granted, has used and holds since; `n:` a node, the run and number of its last word; `recalls` and `a:` a node, how often idle
//! grants were asked back, and what a node has answered; `settles` and `w:` a node, until when and for whom a pool that was
//! built anew waits before it grants. Everything is decided by scripts, which the server runs one at a time.
//!
//! Nothing here is worth a backup: a pool that is missing is built anew from the database. Amounts pass through floating
//! point numbers there: sums are exact up to nine million dollars, and to a few nano-dollars beyond.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gatehouse_domain::budget::share::{Answer, Ask, Pool, Verdict};
use gatehouse_domain::id::{LimitId, NodeId, OrgId};
use gatehouse_domain::limit::{Others, Word};
use gatehouse_domain::time::UnixMillis;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Script};

/// Without a word from it for so long, a node is taken for away: nobody waits for it any more. What a node was granted counts
/// no more on that node itself after half of this time without an answer.
pub const AWAY: Duration = Duration::from_secs(8);
/// Without a word from it for so long, what a node holds is given up, and its pools are built anew from the database.
pub const GONE: Duration = Duration::from_mins(15);
/// How long a pool that was built anew waits for the other nodes to tell their shares.
pub const SETTLE: Duration = Duration::from_secs(5);

/// Why the pools cannot be asked. Never tells the address, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The address is none.
    #[error("the address of the counters cannot be used: {0}")]
    Address(String),
    /// The server is away, too slow, or refuses.
    #[error("the counters cannot be reached: {0}")]
    Away(#[from] redis::RedisError),
    /// It answered something else than it should.
    #[error("the counters gave an answer that cannot be read ({0})")]
    Odd(&'static str),
}

/// What a pool tells a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// There is none: it has to be built.
    Missing,
    /// Something newer was told before; what was said is not taken.
    Late,
    /// A node that had a share in it is gone: it has to be built anew.
    Lost,
    /// It has another base than the node has joined.
    Other {
        /// Its name.
        base: String,
        /// What was spent before it.
        spent: i128,
        /// The node's last end that is in it.
        through: u64,
    },
    /// Its answer.
    Is(Answer),
}

/// What nodes know of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// How many nodes are there, this one included.
    pub nodes: u64,
    /// Pools in which somebody waits for others.
    pub hot: Vec<Pool>,
}

/// What a pool is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// What was spent, on all nodes.
    pub spent: i128,
    /// The last end of each node's run that is in it.
    pub ends: Vec<(String, u64)>,
}

/// The address of the pools.
pub struct Pools {
    client: Client,
    prefix: String,
    node: String,
    run: u64,
    timeout: Duration,
    scripts: Scripts,
    /// Words to pools so far.
    told: AtomicU64,
}

struct Scripts {
    tell: Script,
    build: Script,
    beat: Script,
    drop: Script,
    rate: Script,
}

/// A connection to the pools. Calls may overlap.
#[derive(Clone)]
pub struct Connected(MultiplexedConnection);

impl Pools {
    /// Reads an address such as `redis://:password@host:6379/0`; `rediss://` is TLS, `valkey://` the same as `redis://`.
    /// Nothing is connected yet. `timeout` bounds every call.
    ///
    /// # Errors
    /// It is no address.
    pub fn open(url: &str, org: OrgId, node: NodeId, run: u64, timeout: Duration) -> Result<Self, PoolError> {
        let url = url.replacen("valkey://", "redis://", 1).replacen("valkeys://", "rediss://", 1);
        // The reason must not repeat the address.
        let client = Client::open(url).map_err(|_| {
            PoolError::Address("expected redis://[user:password@]host[:port][/number]".to_owned())
        })?;
        Ok(Self {
            client,
            prefix: format!("gatehouse:{{{org}}}:"),
            node: node.to_string(),
            run,
            timeout,
            told: AtomicU64::new(0),
            scripts: Scripts {
                tell: Script::new(include_str!("pool/tell.lua")),
                build: Script::new(include_str!("pool/build.lua")),
                beat: Script::new(include_str!("pool/beat.lua")),
                rate: Script::new(include_str!("pool/rate.lua")),
                drop: Script::new(
                    "if redis.call('HGET', KEYS[1], 'base') == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1",
                ),
            },
        })
    }

    /// Connects.
    ///
    /// # Errors
    /// The server is away or refuses.
    pub async fn connect(&self) -> Result<Connected, PoolError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        Ok(Connected(self.client.get_multiplexed_async_connection_with_config(&config).await?))
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn key_of(&self, pool: Pool) -> String {
        format!("{}budget:{}:{}", self.prefix, pool.budget, pool.start.0)
    }

    fn pool_of(&self, key: &str) -> Option<Pool> {
        let (budget, start) = key.strip_prefix(&self.prefix)?.strip_prefix("budget:")?.split_once(':')?;
        Some(Pool { budget: budget.parse().ok()?, start: UnixMillis(start.parse().ok()?) })
    }

    /// Says that this node is there.
    ///
    /// # Errors
    /// The server is away.
    pub async fn beat(&self, to: &mut Connected) -> Result<Beat, PoolError> {
        let answer: Vec<String> = self
            .scripts
            .beat
            .key(self.key("nodes"))
            .key(self.key("hot"))
            .arg(&self.node)
            .arg(millis(AWAY))
            .invoke_async(&mut to.0)
            .await?;
        let (nodes, hot) = answer.split_first().ok_or(PoolError::Odd("beat"))?;
        let nodes = nodes.parse().map_err(|_| PoolError::Odd("nodes"))?;
        Ok(Beat { nodes, hot: hot.iter().filter_map(|key| self.pool_of(key)).collect() })
    }

    /// Tells a pool this node's share and asks for what is needed.
    ///
    /// # Errors
    /// The server is away.
    pub async fn tell(&self, to: &mut Connected, ask: &Ask) -> Result<Told, PoolError> {
        let answer: Vec<String> = self
            .scripts
            .tell
            .key(self.key_of(ask.pool))
            .key(self.key("nodes"))
            .key(self.key("hot"))
            .key(self.key(&format!("of:{}", self.node)))
            .arg(&self.node)
            .arg(self.run)
            .arg(&ask.base)
            .arg(ask.limit.to_string())
            .arg(ask.used.to_string())
            .arg(ask.held.to_string())
            .arg(ask.need.to_string())
            .arg(ask.wanted.to_string())
            .arg(ask.slack.to_string())
            .arg(ask.keep.to_string())
            .arg(u8::from(ask.yields))
            .arg(ask.recall)
            .arg(millis(AWAY))
            .arg(millis(GONE))
            .arg(self.told.fetch_add(1, Ordering::Relaxed) + 1)
            .invoke_async(&mut to.0)
            .await?;
        told(&answer)
    }

    /// Builds a pool that is missing. Where another node was faster, its pool stays. The pool grants nothing until `others`
    /// have told it their shares, or [`SETTLE`] is over.
    ///
    /// # Errors
    /// The server is away.
    pub async fn build(
        &self,
        to: &mut Connected,
        pool: Pool,
        name: &str,
        base: &Base,
        others: &[NodeId],
    ) -> Result<(), PoolError> {
        let mut call = self.scripts.build.prepare_invoke();
        call.key(self.key_of(pool)).key(self.key("hot"));
        call.arg(name).arg(base.spent.to_string()).arg(millis(SETTLE)).arg(base.ends.len());
        for (run, end) in &base.ends {
            call.arg(run).arg(*end);
        }
        for node in others {
            call.arg(node.to_string());
        }
        let _: i64 = call.invoke_async(&mut to.0).await?;
        Ok(())
    }

    /// Says that this node has no share in a pool that waits for it.
    ///
    /// # Errors
    /// The server is away.
    pub async fn excuse(&self, to: &mut Connected, pool: Pool) -> Result<(), PoolError> {
        redis::cmd("HDEL")
            .arg(self.key_of(pool))
            .arg(format!("w:{}", self.node))
            .query_async::<i64>(&mut to.0)
            .await?;
        Ok(())
    }

    /// Takes a pool with this base away, so that it is built anew.
    ///
    /// # Errors
    /// The server is away.
    pub async fn remove(&self, to: &mut Connected, pool: Pool, base: &str) -> Result<(), PoolError> {
        let _: i64 = self.scripts.drop.key(self.key_of(pool)).arg(base).invoke_async(&mut to.0).await?;
        Ok(())
    }

    /// The limits on rates that some node has used in the last two minutes.
    ///
    /// # Errors
    /// The server is away.
    pub async fn active(&self, to: &mut Connected) -> Result<Vec<LimitId>, PoolError> {
        let keys: Vec<String> =
            redis::cmd("ZRANGE").arg(self.key("active")).arg(0).arg(999).query_async(&mut to.0).await?;
        let prefix = self.key("limit:");
        Ok(keys.iter().filter_map(|key| key.strip_prefix(&prefix)?.parse().ok()).collect())
    }

    /// Tells what this node has taken of limits on rates; gives what the others tell.
    ///
    /// # Errors
    /// The server is away.
    pub async fn rates(
        &self,
        to: &mut Connected,
        words: &[Word],
    ) -> Result<Vec<(LimitId, Others)>, PoolError> {
        let mut call = self.scripts.rate.prepare_invoke();
        call.key(self.key("nodes")).key(self.key("active"));
        call.arg(&self.node).arg(self.run).arg(millis(AWAY));
        for word in words {
            call.key(self.key(&format!("limit:{}", word.limit)));
            call.arg(word.taken).arg(word.under_way).arg(word.missing).arg(u8::from(word.lately));
        }
        let answer: Vec<String> = call.invoke_async(&mut to.0).await?;
        let odd = || PoolError::Odd("rate");
        if answer.len() != words.len() * 3 {
            return Err(odd());
        }
        let heard = |(word, told): (&Word, &[String])| {
            let taken = told[0].parse().map_err(|_| odd())?;
            let under_way = told[1].parse().map_err(|_| odd())?;
            let missing = told[2].parse().map_err(|_| odd())?;
            Ok((word.limit, Others { taken, under_way, missing }))
        };
        words.iter().zip(answer.chunks_exact(3)).map(heard).collect()
    }

    /// Takes the pools away in which an earlier run of this node had a share: what it had not told them is in the database
    /// by now.
    ///
    /// # Errors
    /// The server is away.
    pub async fn clear(&self, to: &mut Connected) -> Result<u64, PoolError> {
        let mine = self.key(&format!("of:{}", self.node));
        let pools: Vec<String> = redis::cmd("SMEMBERS").arg(&mine).query_async(&mut to.0).await?;
        for pool in &pools {
            redis::cmd("DEL").arg(pool).query_async::<i64>(&mut to.0).await?;
        }
        redis::cmd("DEL").arg(&mine).query_async::<i64>(&mut to.0).await?;
        Ok(pools.len() as u64)
    }
}

/// Reads what a pool told.
fn told(answer: &[String]) -> Result<Told, PoolError> {
    let number = |at: usize| number(answer, at);
    match answer.first().map(String::as_str) {
        Some("missing") => Ok(Told::Missing),
        Some("lost") => Ok(Told::Lost),
        Some("late") => Ok(Told::Late),
        Some("other") => Ok(Told::Other {
            base: answer.get(1).ok_or(PoolError::Odd("base"))?.clone(),
            spent: number(2)?,
            through: u64::try_from(number(3)?).map_err(|_| PoolError::Odd("end"))?,
        }),
        Some("is") => {
            let recall = u64::try_from(number(5)?).map_err(|_| PoolError::Odd("recall"))?;
            let verdict = match answer.get(4).map(String::as_str) {
                Some("granted") => Verdict::Granted,
                Some("full") => Verdict::Full,
                Some("recalled") => Verdict::Recalled(recall),
                Some(_) | None => return Err(PoolError::Odd("verdict")),
            };
            Ok(Told::Is(Answer {
                granted: number(1)?,
                others_spent: number(2)?,
                others_held: number(3)?,
                verdict,
            }))
        }
        Some(_) | None => Err(PoolError::Odd("tell")),
    }
}

fn number(answer: &[String], at: usize) -> Result<i128, PoolError> {
    answer.get(at).and_then(|text| text.parse().ok()).ok_or(PoolError::Odd("number"))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
