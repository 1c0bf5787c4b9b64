//! Gathering what is ready into one piece.

use bytes::{Bytes, BytesMut};

/// Pieces gathered into one; a single piece is handed on as it is.
#[derive(Default)]
pub(crate) struct Gathered {
    first: Bytes,
    all: BytesMut,
}

impl Gathered {
    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(self.first.len() + data.len());
            self.all.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        self.all.extend_from_slice(&data);
    }

    pub(crate) fn push_some(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.push(data);
        }
    }

    pub(crate) fn take(&mut self) -> Bytes {
        if self.all.is_empty() { std::mem::take(&mut self.first) } else { self.all.split().freeze() }
    }
}
