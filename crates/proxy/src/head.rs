//! The head of a request to a proxy, read strictly (RFC 9112): what two programs could read differently is refused.

use std::fmt;

use gatehouse_domain::proxy::{BadDestination, Destination, Form};

/// Longest head, in bytes.
pub const MAX_HEAD: usize = 16 * 1024;
/// Most header lines.
const MAX_LINES: usize = 100;

/// A head.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    /// `CONNECT`, or a plain request.
    pub form: Form,
    /// Where to.
    pub destination: Destination,
    /// The method.
    pub method: String,
    /// Path and query of a plain request; empty for `CONNECT`.
    pub target: String,
    /// The header lines in their order, names in lower case.
    pub lines: Vec<(String, Vec<u8>)>,
}

impl fmt::Debug for Head {
    /// Without the lines: there are credentials in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("form", &self.form)
            .field("destination", &self.destination)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// Why bytes are no head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadHead {
    /// It is longer than [`MAX_HEAD`] or has too many lines.
    TooLarge,
    /// It is no HTTP/1 as it should be written; what is wrong with it.
    Malformed(&'static str),
    /// It asks a web server, not a proxy.
    NotProxy,
    /// It wants a scheme that is not forwarded plainly.
    Scheme,
    /// Its destination cannot be read; the text, as far as it can be shown.
    Authority(BadDestination, String),
}

impl Head {
    /// The value of a header that may be there once.
    ///
    /// # Errors
    /// It is there more than once.
    pub fn one(&self, name: &str) -> Result<Option<&[u8]>, BadHead> {
        let mut found = self.lines.iter().filter(|(line, _)| line == name).map(|(_, value)| value.as_slice());
        let first = found.next();
        if found.next().is_some() { Err(BadHead::Malformed("a header is there twice")) } else { Ok(first) }
    }
}

/// Reads a head from the beginning of these bytes: the head and how many bytes it has, or nothing while it is not complete.
///
/// # Errors
/// Says why it can never become one.
pub fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, BadHead> {
    let looked = &bytes[..bytes.len().min(MAX_HEAD)];
    let Some(end) = looked.windows(4).position(|window| window == b"\r\n\r\n") else {
        check_start(looked)?;
        return if bytes.len() >= MAX_HEAD { Err(BadHead::TooLarge) } else { Ok(None) };
    };
    let (first, mut rest) = line(&looked[..end])?;
    let (method, target, version) = request_line(first)?;
    let mut read = Vec::new();
    while let Some(lines) = rest {
        if read.len() == MAX_LINES {
            return Err(BadHead::TooLarge);
        }
        let (one, after) = line(lines)?;
        read.push(header(one)?);
        rest = after;
    }
    let head = understand(method, target, version, read)?;
    Ok(Some((head, end + 4)))
}

/// Nothing that is no HTTP is waited for: the first line begins with a method.
fn check_start(bytes: &[u8]) -> Result<(), BadHead> {
    let method = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    if method.iter().all(|byte| is_token(*byte)) && method.len() <= 32 {
        Ok(())
    } else {
        Err(BadHead::Malformed("it does not begin with a method"))
    }
}

/// The first line of these, and the others. A line ends with CR and LF, neither of which is anywhere else.
fn line(bytes: &[u8]) -> Result<(&[u8], Option<&[u8]>), BadHead> {
    let (line, rest) = match bytes.windows(2).position(|two| two == b"\r\n") {
        Some(end) => (&bytes[..end], Some(&bytes[end + 2..])),
        None => (bytes, None),
    };
    let is_clean = |byte: &u8| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f);
    if line.iter().all(is_clean) {
        Ok((line, rest))
    } else {
        Err(BadHead::Malformed("it has control characters"))
    }
}

fn request_line(line: &[u8]) -> Result<(&str, &str, &str), BadHead> {
    let text = std::str::from_utf8(line).ok().filter(|text| text.is_ascii());
    let text = text.ok_or(BadHead::Malformed("its first line is not ASCII"))?;
    let mut parts = text.split(' ');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(method), Some(target), Some(version), None)
            if !method.is_empty() && method.bytes().all(is_token) && !target.is_empty() =>
        {
            Ok((method, target, version))
        }
        _ => Err(BadHead::Malformed("its first line is not a method, a target and a version")),
    }
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

fn header(line: &[u8]) -> Result<(String, Vec<u8>), BadHead> {
    let colon = line.iter().position(|byte| *byte == b':');
    let colon = colon.ok_or(BadHead::Malformed("a header line has no colon"))?;
    let name = &line[..colon];
    // A name that begins or ends with a space is a folded line, or smuggled.
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(BadHead::Malformed("a header's name is none"));
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    Ok((name, line[colon + 1..].trim_ascii().to_vec()))
}

fn understand(
    method: &str,
    target: &str,
    version: &str,
    lines: Vec<(String, Vec<u8>)>,
) -> Result<Head, BadHead> {
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(BadHead::Malformed("its version is not HTTP/1.1 or HTTP/1.0"));
    }
    let bad = |text: &str, why| BadHead::Authority(why, text.chars().take(120).collect());
    if method == "CONNECT" {
        let destination = Destination::parse(target, None).map_err(|why| bad(target, why))?;
        let head = Head {
            form: Form::Connect,
            destination,
            method: method.to_owned(),
            target: String::new(),
            lines,
        };
        let length = head.one("content-length")?;
        if length.is_some_and(|length| length != b"0") || head.one("transfer-encoding")?.is_some() {
            return Err(BadHead::Malformed("a CONNECT has no body"));
        }
        return Ok(head);
    }
    if target.starts_with('/') || target == "*" {
        return Err(BadHead::NotProxy);
    }
    let (scheme, rest) = target.split_once("://").ok_or(BadHead::NotProxy)?;
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(BadHead::Scheme);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if path.contains('#') {
        return Err(BadHead::Malformed("its target has a fragment"));
    }
    let destination = Destination::parse(authority, Some(80)).map_err(|why| bad(authority, why))?;
    let target = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Head { form: Form::Plain, destination, method: method.to_owned(), target, lines })
}

#[cfg(test)]
mod tests;
