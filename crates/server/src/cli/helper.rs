//! `client`: what developers' machines and CI jobs run themselves. Goes to the gateway, and needs no administrator's token.
//!
//! A coding client runs these as helpers that its managed settings name, many at a time, and takes what they print as it
//! is: so standard output has nothing but the token or the policy, and all else goes to standard error.

mod exchange;
mod cache;
mod sealed;
mod machine;
mod gateway;
mod session;
mod login;
mod policy;
mod raise;
mod status;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use gatehouse_control::period::span_ms;
use gatehouse_control::portal::PublicUrl;

use super::{Failure, Global, Out, credential};
use crate::clock;
use crate::environment::Environment;

use cache::Cache;
use gateway::Gateway;
use raise::RaiseArgs;
use session::NoToken;

/// A coding client gives a policy helper 10 s, if it is not told otherwise, and a key helper longer.
const WITHIN: Duration = Duration::from_secs(8);

/// `client …`
#[derive(Subcommand)]
pub(crate) enum ClientCommand {
    /// Sign in to a gateway on this machine, with a browser here or on any other device
    Login {
        /// Where
        #[command(flatten)]
        place: Place,
        /// Open the page in this machine's browser
        #[arg(long)]
        open: bool,
    },
    /// End the session on this machine and at the gateway
    Logout {
        /// Where
        #[command(flatten)]
        place: Place,
    },
    /// Who is signed in on this machine, and which policy it has; exit code 1 if nobody is. Asks no gateway
    Status {
        /// Where
        #[command(flatten)]
        place: Place,
    },
    /// Print an access token: of the session on this machine or, with --from, for the token of a CI job
    #[command(
        after_help = "As `apiKeyHelper` of a coding client, on a machine with a session and in a job:\n  \
                            gatehouse client token --gateway https://gateway.example.com\n  \
                            gatehouse client token --gateway https://gateway.example.com --from env:ID_TOKEN\n\n\
                            Exit codes: 0 printed, 1 refused or nobody is signed in, 2 wrong usage, no token to \
                            exchange or a cache open to others, 3 the gateway cannot be reached or cannot answer now."
    )]
    Token {
        /// Where
        #[command(flatten)]
        place: Place,
        /// Where a job's token is: a file, `-` for standard input, or env:VARIABLE
        #[arg(long, value_name = "FILE|-|env:VARIABLE", env = "GATEHOUSE_CLIENT_FROM")]
        from: Option<String>,
    },
    /// Print what a forward proxy is shown for who is signed in, as a coding client takes it from its `proxyAuthHelper`
    #[command(
        name = "proxy-token",
        after_help = "With CLAUDE_CODE_ENABLE_PROXY_AUTH_HELPER=1 a coding client sends what this prints as \
                            Proxy-Authorization:\n  \
                            gatehouse client proxy-token --gateway https://gateway.example.com\n\n\
                            Exit codes: as of `gatehouse client token`."
    )]
    ProxyToken {
        /// Where
        #[command(flatten)]
        place: Place,
    },
    /// Print the settings published for who is signed in, as a coding client takes them from its `policyHelper`
    #[command(
        after_help = "A coding client calls its policy helper without arguments, so `policyHelper.path` names a \
                            script that does:\n  \
                            #!/bin/sh\n  exec gatehouse client policy --gateway https://gateway.example.com\n\n\
                            Exit codes: 0 printed, 1 nobody is signed in or the session is over, 2 wrong usage or a \
                            cache open to others, 3 the gateway cannot be reached and there is no copy that is young \
                            enough. Whenever it is not 0, the coding client does not start."
    )]
    Policy {
        /// Where
        #[command(flatten)]
        place: Place,
        /// While the gateway cannot be reached, the last policy is printed until it is so old; 0s for never
        #[arg(long, value_name = "TIME", default_value = "7d", env = "GATEHOUSE_POLICY_MAX_AGE")]
        max_age: String,
    },
    /// Ask for a higher limit of a budget for a while, or list what you have asked for
    Raise {
        /// Where
        #[command(flatten)]
        place: Place,
        /// What
        #[command(flatten)]
        args: RaiseArgs,
    },
}

/// Which gateway, and where its session is kept.
#[derive(Args)]
pub(crate) struct Place {
    /// The gateway's address [default: the one that this machine is signed in to]
    #[arg(long, value_name = "URL", env = "GATEHOUSE_GATEWAY")]
    gateway: Option<String>,
    /// Where sessions and policies are kept
    #[arg(
        help = "Where sessions and policies are kept [default: gatehouse-client in $XDG_STATE_HOME, else in ~/.local/state]"
    )]
    #[arg(long, value_name = "DIR", env = "GATEHOUSE_CLIENT_DIR")]
    client_dir: Option<PathBuf>,
}

/// Runs `client …`.
pub(crate) fn run(
    command: ClientCommand,
    global: &Global,
    environment: &Environment,
    out: &mut Out,
) -> Result<u8, Failure> {
    match command {
        ClientCommand::Login { place, open } => {
            let dir = place.dir(environment)?;
            let cache = Cache::make(&dir)?;
            let url = match (place.url(Some(&cache)), credential::gateway(global, environment)) {
                // The server of this very machine, if no other was ever named.
                (Err(_), Some(local)) if place.gateway.is_none() => parse(&local)?,
                (found, _) => found?,
            };
            login::run(&cache, &Gateway::new(url, None), open, out)?;
        }
        ClientCommand::Logout { place } => {
            let cache = place.cache(environment)?;
            let url = place.url(cache.as_ref())?;
            status::leave(cache.as_ref(), &Gateway::new(url, Some(WITHIN)), out)?;
        }
        ClientCommand::Status { place } => {
            let cache = place.cache(environment)?;
            let only = place.gateway.as_deref().map(parse).transpose()?;
            return status::run(cache.as_ref(), only.as_ref(), out);
        }
        ClientCommand::Token { place, from: Some(from) } => {
            let token = exchange::run(&from, place.gateway.as_deref(), global, environment)?;
            out.line(token.as_str())?;
        }
        ClientCommand::Token { place, from: None } => {
            let cache = place.cache(environment)?;
            let gateway = Gateway::new(place.url(cache.as_ref())?, Some(WITHIN));
            let session = signed_in(cache.as_ref())
                .and_then(|cache| session::proved(cache, &gateway, clock::now()))
                .map_err(|why| why.failure(gateway.url()))?;
            out.line(session.access.as_str())?;
        }
        ClientCommand::ProxyToken { place } => {
            let cache = place.cache(environment)?;
            let gateway = Gateway::new(place.url(cache.as_ref())?, Some(WITHIN));
            // The gateway may be behind the very proxy, so that it is asked only when a new token is needed.
            let session = signed_in(cache.as_ref())
                .and_then(|cache| session::fresh(cache, &gateway, clock::now()))
                .map_err(|why| why.failure(gateway.url()))?;
            out.line(zeroize::Zeroizing::new(format!("Bearer {}", session.access.as_str())).as_str())?;
        }
        ClientCommand::Policy { place, max_age } => {
            let max_age = span_ms(&max_age).map_err(|error| Failure::Usage(format!("--max-age: {error}")))?;
            let cache = place.cache(environment)?;
            let gateway = Gateway::new(place.url(cache.as_ref())?, Some(WITHIN));
            let cache = signed_in(cache.as_ref()).map_err(|why| why.failure(gateway.url()))?;
            let client = environment.get("CLAUDE_CODE_VERSION");
            out.line(policy::run(cache, &gateway, max_age, client, clock::now())?)?;
        }
        ClientCommand::Raise { place, args } => {
            let cache = place.cache(environment)?;
            let gateway = Gateway::new(place.url(cache.as_ref())?, Some(WITHIN));
            return raise::run(args, cache.as_ref(), &gateway, out);
        }
    }
    Ok(0)
}

fn signed_in(cache: Option<&Cache>) -> Result<&Cache, NoToken> {
    cache.ok_or(NoToken::SignedOut)
}

impl Place {
    /// Where sessions are kept (XDG Base Directory Specification; a relative `$XDG_STATE_HOME` counts as not set).
    fn dir(&self, environment: &Environment) -> Result<PathBuf, Failure> {
        if let Some(given) = &self.client_dir {
            return Ok(given.clone());
        }
        let absolute = |name| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("XDG_STATE_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".local/state")))
            .map(|base| base.join("gatehouse-client"))
            .ok_or_else(|| {
                Failure::Usage("there is no home directory; name a directory with --client-dir".to_owned())
            })
    }

    fn cache(&self, environment: &Environment) -> Result<Option<Cache>, Failure> {
        Cache::find(&self.dir(environment)?)
    }

    /// The gateway: as given, else the one that there is a session for.
    fn url(&self, cache: Option<&Cache>) -> Result<PublicUrl, Failure> {
        if let Some(given) = &self.gateway {
            return parse(given);
        }
        let known = cache.map(Cache::gateways).transpose()?.unwrap_or_default();
        match known.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(Failure::Failed(
                "nobody is signed in on this machine; run `gatehouse client login --gateway URL`".to_owned(),
            )),
            _ => Err(Failure::Usage(
                "there are sessions at several gateways; name one with --gateway (`gatehouse client status` lists them)"
                    .to_owned(),
            )),
        }
    }
}

/// Reads a gateway's address. As in the coding client, `https://` may be left out.
fn parse(text: &str) -> Result<PublicUrl, Failure> {
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    PublicUrl::parse(&whole).map_err(|error| Failure::Usage(format!("--gateway `{text}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_named_as_in_the_coding_client() {
        for (text, url) in [
            ("gw.corp.example", "https://gw.corp.example"),
            ("https://gw.corp.example/", "https://gw.corp.example"),
            (" corp.example/gw ", "https://corp.example/gw"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ] {
            assert_eq!(parse(text).unwrap().as_str(), url, "{text}");
        }
        for text in ["", "http://gw.corp.example", "ftp://gw", "https://a@b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
