//! What the replies to XINFO say. Fields are found by name: each version of Redis and Valkey added some in the middle.

use crate::redis::Reply;

/// XINFO STREAM (Redis 5.0). What a version does not send is `None`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamInfo {
    /// `length`: entries.
    pub length: Option<u64>,
    /// `radix-tree-keys`
    pub radix_tree_keys: Option<u64>,
    /// `radix-tree-nodes`
    pub radix_tree_nodes: Option<u64>,
    /// `groups`: consumer groups.
    pub groups: Option<u64>,
    /// `entries-added` (Redis 7.0): entries ever added.
    pub entries_added: Option<u64>,
    /// Milliseconds of `last-generated-id`.
    pub last_generated_id: Option<u64>,
    /// Milliseconds of `max-deleted-entry-id` (Redis 7.0); 0 when none was deleted.
    pub max_deleted_entry_id: Option<u64>,
    /// Milliseconds of the id of `first-entry`; `None` for an empty stream.
    pub first_entry_id: Option<u64>,
    /// Milliseconds of the id of `last-entry`; `None` for an empty stream.
    pub last_entry_id: Option<u64>,
}

/// One element of XINFO GROUPS (Redis 5.0).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GroupInfo {
    /// `name`: any bytes.
    pub name: Vec<u8>,
    /// `consumers`
    pub consumers: Option<u64>,
    /// `pending`: messages delivered and not acknowledged.
    pub pending: Option<u64>,
    /// Milliseconds of `last-delivered-id`.
    pub last_delivered_id: Option<u64>,
    /// `entries-read` (Redis 7.0); `None` when the server does not know.
    pub entries_read: Option<u64>,
    /// `lag` (Redis 7.0): entries not delivered yet; `None` when the server does not know, as after deletions.
    pub lag: Option<u64>,
}

/// One element of XINFO CONSUMERS (Redis 5.0).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConsumerInfo {
    /// `name`: any bytes.
    pub name: Vec<u8>,
    /// `pending`: messages delivered to it and not acknowledged.
    pub pending: Option<u64>,
    /// `idle`: milliseconds since it last tried to read.
    pub idle_milliseconds: Option<u64>,
}

/// Reads XINFO STREAM; `None` when it is no list of names and values.
pub fn stream(reply: &Reply) -> Option<StreamInfo> {
    let fields = Fields::of(reply)?;
    Some(StreamInfo {
        length: fields.count("length"),
        radix_tree_keys: fields.count("radix-tree-keys"),
        radix_tree_nodes: fields.count("radix-tree-nodes"),
        groups: fields.count("groups"),
        entries_added: fields.count("entries-added"),
        last_generated_id: fields.get("last-generated-id").and_then(milliseconds),
        max_deleted_entry_id: fields.get("max-deleted-entry-id").and_then(milliseconds),
        first_entry_id: fields.get("first-entry").and_then(entry_milliseconds),
        last_entry_id: fields.get("last-entry").and_then(entry_milliseconds),
    })
}

/// Reads XINFO GROUPS; `None` when an element is no list of names and values, or has no name.
pub fn groups(reply: &Reply) -> Option<Vec<GroupInfo>> {
    let read = |reply| {
        let fields = Fields::of(reply)?;
        Some(GroupInfo {
            name: fields.get("name")?.as_bytes()?.to_vec(),
            consumers: fields.count("consumers"),
            pending: fields.count("pending"),
            last_delivered_id: fields.get("last-delivered-id").and_then(milliseconds),
            entries_read: fields.count("entries-read"),
            lag: fields.count("lag"),
        })
    };
    reply.as_array()?.iter().map(read).collect()
}

/// Reads XINFO CONSUMERS; `None` when an element is no list of names and values, or has no name.
pub fn consumers(reply: &Reply) -> Option<Vec<ConsumerInfo>> {
    let read = |reply| {
        let fields = Fields::of(reply)?;
        Some(ConsumerInfo {
            name: fields.get("name")?.as_bytes()?.to_vec(),
            pending: fields.count("pending"),
            idle_milliseconds: fields.count("idle"),
        })
    };
    reply.as_array()?.iter().map(read).collect()
}

/// Names and values in turn.
struct Fields<'r>(&'r [Reply]);

impl<'r> Fields<'r> {
    fn of(reply: &'r Reply) -> Option<Self> {
        reply.as_array().filter(|fields| fields.len() % 2 == 0).map(Self)
    }

    fn get(&self, name: &str) -> Option<&'r Reply> {
        self.0.chunks_exact(2).find_map(|pair| match pair {
            [key, value] if key.as_bytes() == Some(name.as_bytes()) => Some(value),
            _ => None,
        })
    }

    fn count(&self, name: &str) -> Option<u64> {
        u64::try_from(self.get(name)?.as_integer()?).ok()
    }
}

/// The milliseconds of `1526919030474-55`, which is what the peer takes for the value of an id.
fn milliseconds(id: &Reply) -> Option<u64> {
    id.as_text()?.split_once('-')?.0.parse().ok()
}

/// The same of an entry: its id and its fields, null where the stream is empty.
fn entry_milliseconds(entry: &Reply) -> Option<u64> {
    entry.as_array()?.first().and_then(milliseconds)
}
