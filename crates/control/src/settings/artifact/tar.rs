//! Archives of plain files: the `ustar` format of POSIX (IEEE Std 1003.1, `pax`), and no more of it than a bundle needs.
//!
//! Owner, time and mode are always the same, so that the same files give the same bytes.

use super::File;

const BLOCK: usize = 512;
/// Longest path.
const MAX_PATH: usize = 100;

/// Why an archive cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadArchive {
    /// It ends too early, or not where it should.
    #[error("the archive is cut off, or something was added to it")]
    Length,
    /// A header's checksum is not its own.
    #[error("a header of the archive was altered")]
    Header,
    /// It has something that a bundle does not have.
    #[error("the archive has something else than plain files")]
    Kind,
    /// A path that leads elsewhere, or is no text.
    #[error("the archive has a path that leads out of it")]
    Path,
}

/// Writes files one after the other. Paths are ours: short, and without `..`.
pub(super) fn write(files: &[File]) -> Vec<u8> {
    let mut out = Vec::new();
    for file in files {
        out.extend_from_slice(&header(&file.path, file.bytes.len()));
        out.extend_from_slice(&file.bytes);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

fn header(path: &str, length: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| {
        let bytes = text.as_bytes();
        block[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(0, &path[..path.len().min(MAX_PATH)]);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{length:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum = checksum(&block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// The sum of all bytes, those of the sum itself taken as spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let byte = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) };
    block.iter().enumerate().map(byte).sum()
}

/// Reads an archive back, and takes nothing that [`write()`] would not have written.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<File>, BadArchive> {
    let mut files = Vec::new();
    let mut rest = bytes;
    loop {
        let (block, after) = rest.split_first_chunk::<BLOCK>().ok_or(BadArchive::Length)?;
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        let path = block[..MAX_PATH].split(|byte| *byte == 0).next().unwrap_or_default();
        let path = std::str::from_utf8(path).map_err(|_| BadArchive::Path)?;
        check_path(path)?;
        let length = std::str::from_utf8(&block[124..135]).ok();
        let length = length.and_then(|text| usize::from_str_radix(text, 8).ok()).ok_or(BadArchive::Header)?;
        if block[156] != b'0' {
            return Err(BadArchive::Kind);
        }
        if *block != header(path, length) {
            return Err(BadArchive::Header);
        }
        let padded = length.checked_next_multiple_of(BLOCK).ok_or(BadArchive::Length)?;
        let (body, next) = after.split_at_checked(padded).ok_or(BadArchive::Length)?;
        let (body, padding) = body.split_at(length);
        if padding.iter().any(|byte| *byte != 0) {
            return Err(BadArchive::Length);
        }
        files.push(File { path: path.to_owned(), bytes: body.to_vec() });
        rest = next;
    }
    if rest.len() != 2 * BLOCK || rest.iter().any(|byte| *byte != 0) {
        return Err(BadArchive::Length);
    }
    Ok(files)
}

fn check_path(path: &str) -> Result<(), BadArchive> {
    let plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    if path.split('/').all(plain) { Ok(()) } else { Err(BadArchive::Path) }
}
