//! Bedrock's `CountTokens`: a request in Base64, within an object, and its answer.

use std::borrow::Cow;

use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use serde::Deserialize;

/// A body as `CountTokens` takes it: in Base64, within an object.
pub(super) fn wrapped(pieces: &[Bytes]) -> Vec<Bytes> {
    let mut out = vec![Bytes::from_static(br#"{"input":{"invokeModel":{"body":""#)];
    // Three bytes become four characters, so pieces are cut at multiples of three.
    let mut rest: Vec<u8> = Vec::with_capacity(3);
    for piece in pieces {
        let mut piece = &piece[..];
        while !rest.is_empty() && rest.len() < 3 && !piece.is_empty() {
            rest.push(piece[0]);
            piece = &piece[1..];
        }
        if rest.len() == 3 {
            out.push(Base64::encode_string(&rest).into());
            rest.clear();
        }
        if rest.is_empty() {
            let whole = piece.len() - piece.len() % 3;
            if whole > 0 {
                out.push(Base64::encode_string(&piece[..whole]).into());
            }
            rest.extend_from_slice(&piece[whole..]);
        }
    }
    if !rest.is_empty() {
        out.push(Base64::encode_string(&rest).into());
    }
    out.push(Bytes::from_static(br#""}}}"#));
    out
}

/// The request that a body of `CountTokens` wraps: in Base64. None if there is none in it.
pub fn unwrapped_count(pieces: &[Bytes]) -> Option<Bytes> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Counted<'a> {
        #[serde(borrow)]
        input: Input<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input<'a> {
        #[serde(borrow)]
        invoke_model: Invoked<'a>,
    }
    #[derive(Deserialize)]
    struct Invoked<'a> {
        #[serde(borrow)]
        body: Cow<'a, str>,
    }
    let whole = pieces.concat();
    let counted: Counted<'_> = serde_json::from_slice(&whole).ok()?;
    Base64::decode_vec(&counted.input.invoke_model.body).ok().map(Bytes::from)
}

/// A count of tokens as the Messages API gives it, of the one that Bedrock gives, or of its own.
pub fn read_count(body: &[u8]) -> Option<Bytes> {
    #[derive(Deserialize)]
    struct Count {
        #[serde(rename = "inputTokens", alias = "input_tokens")]
        input_tokens: u64,
    }
    let count: Count = serde_json::from_slice(body).ok()?;
    Some(format!("{{\"input_tokens\":{}}}", count.input_tokens).into())
}
