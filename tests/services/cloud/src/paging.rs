//! Pages of lists.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::incoming::Incoming;

/// Returns the page that a request asks for. Limits are clamped, and a cursor that is none
/// leads to the first page.
pub(crate) fn page(items: Vec<Value>, incoming: &Incoming, ignore_cursor: bool) -> Value {
    let limit = incoming
        .query("limit")
        .and_then(|limit| limit.parse::<i64>().ok())
        .unwrap_or(50)
        .clamp(1, 100)
        .unsigned_abs() as usize;
    let start = incoming
        .query("cursor")
        .and_then(place)
        .filter(|_| !ignore_cursor)
        .unwrap_or(0)
        .min(items.len());
    let end = (start + limit).min(items.len());
    let next = (end < items.len()).then(|| URL_SAFE_NO_PAD.encode(format!("at:{end}")));
    json!({"data": items[start..end], "next_cursor": next})
}

fn place(cursor: &str) -> Option<usize> {
    let decoded = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.strip_prefix("at:")?.parse().ok()
}
