//! Segment files: made full of zeros ahead of time, written once from front to end, recycled by renaming.
//!
//! Overwriting blocks that the file system has already handed out makes a flush cheaper than growing a file, and means
//! that a full disk cannot stop what has been given room before.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{self, CONTROL, FrameKind, Seed};

const EXTENSION: &str = "seg";
const ZEROS: usize = 64 * 1024;

/// The folder that holds the segments.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    segment_bytes: u64,
    #[cfg(test)]
    pub(super) faults: super::faults::Faults,
}

impl Folder {
    /// Opens the folder, making it (readable by its owner only) when it is not there.
    pub(super) fn open(path: &Path, segment_bytes: u64) -> io::Result<Self> {
        if !path.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            if let Some(parent) = path.parent() {
                // Else a power cut could take the folder with everything in it.
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(Self {
            path: path.to_owned(),
            segment_bytes,
            #[cfg(test)]
            faults: super::faults::Faults::default(),
        })
    }

    /// Bytes that a new segment has.
    pub(super) const fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Removes files that an earlier run had half made.
    pub(super) fn clean(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "new") {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// The numbers and lengths of all segments, oldest first.
    pub(super) fn list(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|e| e == EXTENSION)
                && let Some(number) = path.file_stem().and_then(|s| s.to_str()?.parse().ok())
            {
                found.push((number, entry.metadata()?.len()));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Makes an empty segment: full of zeros, flushed, and only then under its name.
    pub(super) fn create(&self, number: u64) -> io::Result<Disk> {
        #[cfg(test)]
        self.faults.on_create()?;
        let temporary = self.path.join(format!("{number:08}.new"));
        let made = self.fill(&temporary).and_then(|()| fs::rename(&temporary, self.file(number)));
        if made.is_err() {
            // What room it took is given back at once: on a full disk others need it more.
            let _ = fs::remove_file(&temporary);
        }
        made?;
        self.sync()?;
        self.disk(number)
    }

    fn fill(&self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let zeros = vec![0; ZEROS];
        let mut at = 0;
        while at < self.segment_bytes {
            let n = usize::try_from(self.segment_bytes - at).unwrap_or(ZEROS).min(ZEROS);
            file.write_all_at(&zeros[..n], at)?;
            at += n as u64;
        }
        file.sync_all()
    }

    /// Gives an old segment a new number. Its first bytes are zeroed, so that it counts as empty.
    pub(super) fn recycle(&self, old: u64, new: u64) -> io::Result<Disk> {
        let file = OpenOptions::new().write(true).open(self.file(old))?;
        file.write_all_at(&[0; CONTROL], 0)?;
        file.sync_data()?;
        fs::rename(self.file(old), self.file(new))?;
        self.sync()?;
        self.disk(new)
    }

    /// Removes a segment.
    pub(super) fn remove(&self, number: u64) -> io::Result<()> {
        fs::remove_file(self.file(number))
    }

    /// Opens a segment for writing.
    pub(super) fn disk(&self, number: u64) -> io::Result<Disk> {
        let file = OpenOptions::new().write(true).open(self.file(number))?;
        Ok(Disk {
            file,
            #[cfg(test)]
            faults: self.faults.clone(),
        })
    }

    /// Opens a segment for reading.
    pub(super) fn read(&self, number: u64) -> io::Result<File> {
        File::open(self.file(number))
    }

    fn file(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:08}.{EXTENSION}"))
    }

    /// Makes names durable.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct Segment {
    /// Its number; also its file's name.
    pub(super) number: u64,
    pub(super) disk: Arc<Disk>,
    /// Bytes of the file.
    pub(super) len: u64,
    /// Where the next frame goes.
    pub(super) at: u64,
    pub(super) seed: Seed,
}

impl Segment {
    /// A segment to be written from `at` on.
    pub(super) fn new(number: u64, disk: Disk, len: u64, at: u64) -> Self {
        Self { number, disk: Arc::new(disk), len, at, seed: Seed::of_segment(number) }
    }

    /// Bytes left.
    pub(super) const fn room(&self) -> u64 {
        self.len.saturating_sub(self.at)
    }

    /// Writes a control frame, under whose epoch the following entries stand.
    pub(super) fn begin(&mut self, kind: FrameKind, next_seq: u64, epoch: u64) -> io::Result<()> {
        self.disk.write_all_at(&frame::control(kind, self.seed, next_seq, epoch), self.at)?;
        self.at += CONTROL as u64;
        self.seed = self.seed.with_epoch(epoch);
        Ok(())
    }
}

/// An open segment file.
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    #[cfg(test)]
    faults: super::faults::Faults,
}

impl Disk {
    /// Hands bytes to the operating system.
    pub(super) fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        #[cfg(test)]
        self.faults.on_write()?;
        self.file.write_all_at(bytes, at)
    }

    /// Waits until all bytes written are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.on_sync()?;
        self.file.sync_data()
    }
}
