//! The PROXY protocol, versions 1 and 2: what a proxy says before the first byte of its client, namely whom it connects for
//! (specification: `doc/proxy-protocol.txt` in the sources of `HAProxy`).
//!
//! [`step`] decides on what has been read and says how much more it takes, never more than the preamble has, so that nothing of
//! the client's is read with it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What version 2 begins with (section 2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";
/// Longest line of version 1, its end included (section 2.1).
const MAX_LINE: usize = 107;
/// What version 2 has in front of its addresses.
const FIXED: usize = 16;
/// Longest preamble of version 2. The specification allows 64 KiB; what proxies send of addresses and additions is far shorter.
const MAX: usize = 2048;

/// What a preamble says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preamble {
    /// The proxy connects for itself (to see whether we are there), or does not know for whom.
    Unsaid,
    /// For this client.
    For(SocketAddr),
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Read at most so many further bytes; at least 1.
    Read(usize),
    /// That was it, with its last byte.
    Done(Preamble),
}

/// Why bytes are no preamble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no preamble of the PROXY protocol: {0}")]
pub struct BadPreamble(&'static str);

/// Looks at what has been read so far.
///
/// # Errors
/// It is no preamble, whatever follows.
pub fn step(read: &[u8]) -> Result<Step, BadPreamble> {
    let start = read.len().min(SIGNATURE.len());
    if read[..start] == SIGNATURE[..start] {
        return if start < SIGNATURE.len() { Ok(Step::Read(SIGNATURE.len() - start)) } else { binary(read) };
    }
    let start = read.len().min(WORD.len());
    if read[..start] != WORD[..start] {
        return Err(BadPreamble("it begins with something else"));
    }
    line(read)
}

/// Version 1: a line of text.
fn line(read: &[u8]) -> Result<Step, BadPreamble> {
    if let Some(whole) = read.strip_suffix(b"\r\n") {
        let text = std::str::from_utf8(whole).map_err(|_| BadPreamble("its line is no text"))?;
        return said(text).map(Step::Done);
    }
    if read.len() >= MAX_LINE {
        return Err(BadPreamble("its line is too long"));
    }
    // Byte by byte, since what follows the line is the client's; this is once for a connection.
    Ok(Step::Read(if read.len() < WORD.len() { WORD.len() - read.len() } else { 1 }))
}

fn said(line: &str) -> Result<Preamble, BadPreamble> {
    let mut words = line.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(Preamble::Unsaid);
    }
    let mut next = || words.next().ok_or(BadPreamble("its line has too few words"));
    let (from, to) = (next()?, next()?);
    let (from_port, to_port) = (port(next()?)?, port(next()?)?);
    if words.next().is_some() {
        return Err(BadPreamble("its line has too many words"));
    }
    let bad = BadPreamble("its line has an address that is none");
    let from: IpAddr = match family {
        "TCP4" => {
            to.parse::<Ipv4Addr>().map_err(|_| bad)?;
            from.parse::<Ipv4Addr>().map_err(|_| bad)?.into()
        }
        "TCP6" => {
            to.parse::<Ipv6Addr>().map_err(|_| bad)?;
            from.parse::<Ipv6Addr>().map_err(|_| bad)?.into()
        }
        _ => return Err(BadPreamble("its line names no family that we know")),
    };
    let _ = to_port;
    Ok(Preamble::For(SocketAddr::new(from.to_canonical(), from_port)))
}

fn port(text: &str) -> Result<u16, BadPreamble> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(BadPreamble("its line has a port that is none"))
}

/// Version 2: bytes.
fn binary(read: &[u8]) -> Result<Step, BadPreamble> {
    let Some((fixed, rest)) = read.split_first_chunk::<FIXED>() else {
        return Ok(Step::Read(FIXED - read.len()));
    };
    let is_local = match fixed[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(BadPreamble("its version or command is not known")),
    };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if FIXED + length > MAX {
        return Err(BadPreamble("it is too long"));
    }
    if rest.len() < length {
        return Ok(Step::Read(length - rest.len()));
    }
    if is_local {
        return Ok(Step::Done(Preamble::Unsaid));
    }
    let short = BadPreamble("it is too short for its addresses");
    Ok(Step::Done(match fixed[13] {
        0x11 => {
            let addresses: &[u8; 12] = rest.first_chunk().ok_or(short)?;
            let [a, b, c, d, .., high, low, _, _] = *addresses;
            Preamble::For((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into())
        }
        0x21 => {
            let addresses: &[u8; 36] = rest.first_chunk().ok_or(short)?;
            let from: [u8; 16] = *addresses.first_chunk().ok_or(short)?;
            let from = IpAddr::from(from).to_canonical();
            Preamble::For(SocketAddr::new(from, u16::from_be_bytes([addresses[32], addresses[33]])))
        }
        // Not said, or a socket of its own machine.
        0x00 | 0x31 => Preamble::Unsaid,
        _ => return Err(BadPreamble("its family is not known, or no stream")),
    }))
}

/// Reads a preamble, and not a byte more.
///
/// # Errors
/// It is none ([`io::ErrorKind::InvalidData`]); the connection ended or failed.
pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Preamble> {
    let mut got = Vec::with_capacity(MAX_LINE);
    loop {
        match step(&got).map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))? {
            Step::Done(preamble) => return Ok(preamble),
            Step::Read(most) => {
                let before = got.len();
                got.resize(before + most, 0);
                let count = from.read(&mut got[before..]).await?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                got.truncate(before + count);
            }
        }
    }
}

/// A preamble of version 2 that says for whom we connect. Of addresses of two kinds, both are written as IPv6 ones.
pub fn announce(client: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    out.push(0x21);
    if let (SocketAddr::V4(client), SocketAddr::V4(to)) = (client, to) {
        out.extend([0x11, 0, 12]);
        out.extend(client.ip().octets());
        out.extend(to.ip().octets());
    } else {
        let wide = |address: SocketAddr| match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        out.extend([0x21, 0, 36]);
        out.extend(wide(client).octets());
        out.extend(wide(to).octets());
    }
    out.extend(client.port().to_be_bytes());
    out.extend(to.port().to_be_bytes());
    out
}

#[cfg(test)]
mod tests;
