//! Where the data directory is, and the address and credential that a local server leaves in it.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Failure, Global};
use crate::environment::Environment;

/// The file that holds the owner's token, readable by the server's account only.
pub(crate) const ADMIN_TOKEN_FILE: &str = "admin.token";
/// The file that holds the addresses a running server listens on.
pub(crate) const LISTEN_FILE: &str = "listen.json";

/// The data directory: as given, else `gatehouse` in `$XDG_DATA_HOME`, else `~/.local/share/gatehouse`
/// (XDG Base Directory Specification; a relative `$XDG_DATA_HOME` counts as not set).
pub(crate) fn data_dir(global: &Global, environment: &Environment) -> Result<PathBuf, Failure> {
    if let Some(given) = &global.data_dir {
        return Ok(given.clone());
    }
    let absolute = |name| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/share")))
        .map(|base| base.join("gatehouse"))
        .ok_or_else(|| {
            Failure::Usage("there is no home directory; name a data directory with --data-dir".to_owned())
        })
}

/// The management API's address: as given, else what the local server wrote down.
pub(crate) fn server(global: &Global, environment: &Environment) -> Result<String, Failure> {
    if let Some(given) = &global.server {
        return Ok(given.trim_end_matches('/').to_owned());
    }
    let unreachable = |why: String| {
        Failure::Unreachable(format!(
            "no server is known: {why}; start one with `gatehouse serve`, or name one with --server or --data-dir"
        ))
    };
    listening(&data_dir(global, environment)?, "admin").map_err(unreachable)
}

/// Where the local server takes model requests; `None` for a server elsewhere.
pub(crate) fn gateway(global: &Global, environment: &Environment) -> Option<String> {
    if global.server.is_some() && global.data_dir.is_none() {
        return None;
    }
    listening(&data_dir(global, environment).ok()?, "gateway").ok()
}

/// Where the local server's database is, as it wrote down itself: `{"host", "port", "database"}` or `{"file"}`; `None` for a
/// server elsewhere.
pub(crate) fn database(global: &Global, environment: &Environment) -> Option<serde_json::Value> {
    if global.server.is_some() && global.data_dir.is_none() {
        return None;
    }
    let (_, listen) = written(&data_dir(global, environment).ok()?).ok()?;
    listen.get("database").cloned()
}

/// What a running server wrote down, and where.
fn written(data_dir: &Path) -> Result<(PathBuf, serde_json::Value), String> {
    let path = data_dir.join(LISTEN_FILE);
    let text = std::fs::read(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let listen =
        serde_json::from_slice(&text).map_err(|error| format!("`{}` is damaged: {error}", path.display()))?;
    Ok((path, listen))
}

fn listening(data_dir: &Path, face: &str) -> Result<String, String> {
    let (path, listen) = written(data_dir)?;
    let address = listen.get(face).and_then(serde_json::Value::as_str);
    address.map(str::to_owned).ok_or_else(|| format!("`{}` names no {face} address", path.display()))
}

/// The administrator's token: as given, else the local server's owner token. The local token goes to the local
/// server only: with `--server` another one has to be given.
pub(crate) fn token(global: &Global, environment: &Environment) -> Result<Zeroizing<String>, Failure> {
    if let Some(given) = &global.token {
        return Ok(Zeroizing::new(given.trim().to_owned()));
    }
    if global.server.is_some() && global.data_dir.is_none() {
        let why =
            "no token was given: with --server, set GATEHOUSE_TOKEN or name the server's own --data-dir";
        return Err(Failure::Usage(why.to_owned()));
    }
    read_token(&data_dir(global, environment)?.join(ADMIN_TOKEN_FILE))
}

/// Reads a token from its file.
pub(crate) fn read_token(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| {
        Failure::Usage(format!(
            "no administrator's token: cannot read `{}`: {error}; set GATEHOUSE_TOKEN or run as the server's account",
            path.display()
        ))
    })?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}
