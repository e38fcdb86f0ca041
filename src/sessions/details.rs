//! A bounded uniform random sample of the sessions of a store, and what per-key commands say about them.
//!
//! Nobody knows beforehand how many sessions a pass will meet, and no key name is kept. So every session gets a uniform random number,
//! and is looked at if that number is below a threshold. When more are kept than the limit allows, the threshold is lowered and what
//! lies above it is dropped. What is left is a uniform sample of everything met, whatever the order. Pure.

use crate::config::StoreConfig;
use crate::config::presets::KeyType;
use crate::redis::{Command, Reply, Unavailable, unavailability};
use std::collections::BTreeMap;

/// The threshold is lowered to this part of itself. A smaller part would lower it less often, and leave a smaller sample: with halves
/// it has between 50 and 100 % of the limit, with this between 90 and 100.
const LOWERED: f64 = 0.9;

/// The threshold at the start is this part of what the last count would need, so that chance alone (a few percent for the default
/// limit) seldom makes it too high and half of what was read is thrown away.
const EXPECTED_FILL: f64 = 0.9;

/// A command that tells something about one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DetailCommand {
    /// `PTTL` (Redis 2.6): milliseconds that are left, -1 without a TTL, -2 without a key.
    Pttl,
    /// `MEMORY USAGE` (Redis 4.0): bytes of key, value and overhead; exact for strings, of five fields for hashes. Adds no hit and
    /// does not touch the key.
    MemoryUsage,
    /// `TYPE`: only where the store's keys have a known type.
    Type,
    /// `GETRANGE`: the first bytes of a string, only where the store says how they should look. The values of other types are not
    /// read: neither `HVALS` nor one field of a hash is bounded in size.
    GetRange,
}

impl DetailCommand {
    /// Every command, in the order in which they are sent.
    pub const ALL: [Self; 4] = [Self::Pttl, Self::MemoryUsage, Self::Type, Self::GetRange];

    /// The name as INFO commandstats writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pttl => "pttl",
            Self::MemoryUsage => "memory|usage",
            Self::Type => "type",
            Self::GetRange => "getrange",
        }
    }

    /// Whether the server counts each as a hit or a miss of the keyspace. Verified at Redis 7.0 and 8.0, Valkey 8.1 and 9.1.
    pub const fn is_lookup(self) -> bool {
        !matches!(self, Self::MemoryUsage)
    }
}

/// What a command may not be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Unavailable,
    /// Whether it is about the command as such, and so about every store, or about these keys.
    pub is_general: bool,
}

/// The rest of a session's life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Remaining {
    /// It never expires.
    Forever,
    /// Milliseconds of the key, of which a store's offset has not been taken off.
    Milliseconds(i64),
}

/// What is known of one session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Looked {
    random: f64,
    /// Number of its `app`.
    pub app: u16,
    /// It was no more there when it was looked at, or may not be asked for here (a slot that moves away).
    pub is_gone: bool,
    /// What is left of its life.
    pub remaining: Option<Remaining>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Whether the key has the type of a session; `None` where that is not asked for.
    pub is_right_type: Option<bool>,
    /// Whether the value begins otherwise than the store says; `None` where that is not asked for, and for values that cannot be
    /// checked: empty ones, and other types than strings.
    pub is_in_the_clear: Option<bool>,
}

/// A session that is going to be looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Picked {
    random: f64,
    app: u16,
    key: Vec<u8>,
}

/// The sample of one store in one database.
#[derive(Debug)]
pub struct DetailSample {
    limit: usize,
    threshold: f64,
    key_type: Option<KeyType>,
    expected_prefix: Option<Box<[u8]>>,
    waiting: Vec<Picked>,
    kept: Vec<Looked>,
    refused: BTreeMap<DetailCommand, Refusal>,
    /// Whether the server has answered once: until then one session at a time is asked about, since each denial of a user's
    /// permission is written to the server's ACL LOG.
    is_proven: bool,
    /// Whether that one is under way.
    is_proving: bool,
}

impl DetailSample {
    /// An empty sample of at most `limit` sessions. `expected` is how many sessions the pass will probably meet.
    pub fn new(store: &StoreConfig, limit: usize, expected: Option<u64>) -> Self {
        let threshold = match expected {
            _ if limit == 0 => 0.0,
            Some(expected) if expected > limit as u64 => EXPECTED_FILL * limit as f64 / expected as f64,
            _ => 1.0,
        };
        let prefix = store.encryption.as_ref().map(|check| check.expect_prefix.as_bytes());
        Self {
            limit,
            threshold,
            key_type: store.key_type,
            expected_prefix: prefix.filter(|prefix| !prefix.is_empty()).map(Into::into),
            waiting: Vec::new(),
            kept: Vec::new(),
            refused: BTreeMap::new(),
            is_proven: false,
            is_proving: false,
        }
    }

    /// Notes that a command is known not to be had, so that it is not tried.
    pub fn refuse(&mut self, command: DetailCommand, refusal: Refusal) {
        self.refused.entry(command).or_insert(refusal);
    }

    /// What is not to be had.
    pub fn refused(&self) -> &BTreeMap<DetailCommand, Refusal> {
        &self.refused
    }

    /// Whether a command is asked for at all and not refused.
    pub fn asks(&self, command: DetailCommand) -> bool {
        let is_wanted = match command {
            DetailCommand::Pttl | DetailCommand::MemoryUsage => true,
            DetailCommand::Type => self.key_type.is_some(),
            DetailCommand::GetRange => self.expected_prefix.is_some(),
        };
        is_wanted && !self.refused.contains_key(&command)
    }

    /// The commands that [`DetailSample::asks`] for, in their order.
    pub fn asked(&self) -> Vec<DetailCommand> {
        DetailCommand::ALL
            .into_iter()
            .filter(|command| self.asks(*command))
            .collect()
    }

    /// Offers a session that the pass met. `random` is uniform in [0, 1).
    pub fn offer(&mut self, random: f64, app: u16, key: &[u8]) {
        if random >= self.threshold {
            return;
        }
        self.waiting.push(Picked {
            random,
            app,
            key: key.to_vec(),
        });
        while self.waiting.len() + self.kept.len() > self.limit {
            self.threshold *= LOWERED;
            let threshold = self.threshold;
            self.waiting.retain(|picked| picked.random < threshold);
            self.kept.retain(|looked| looked.random < threshold);
        }
    }

    /// How many sessions may be asked about now.
    pub fn waiting(&self) -> usize {
        match (self.is_proven, self.is_proving) {
            (true, _) => self.waiting.len(),
            (false, false) => self.waiting.len().min(1),
            (false, true) => 0,
        }
    }

    /// Takes at most `most` sessions to ask about; nothing where every command is refused.
    pub fn take(&mut self, most: usize) -> Vec<Picked> {
        if self.asked().is_empty() {
            self.waiting.clear();
        }
        let count = self.waiting().min(most);
        self.is_proving |= count > 0 && !self.is_proven;
        self.waiting.split_off(self.waiting.len() - count)
    }

    /// Appends the commands about one session, one for each of `asked`.
    pub fn push_commands(&self, picked: &Picked, asked: &[DetailCommand], batch: &mut Vec<Command>) {
        for command in asked {
            let key = picked.key.as_slice();
            batch.push(match command {
                DetailCommand::Pttl => Command::new(1, &["PTTL"]).arg(key),
                DetailCommand::MemoryUsage => Command::new(2, &["MEMORY", "USAGE"]).arg(key),
                DetailCommand::Type => Command::new(1, &["TYPE"]).arg(key),
                DetailCommand::GetRange => {
                    let length = self.expected_prefix.as_ref().map_or(1, |prefix| prefix.len());
                    let last = length.saturating_sub(1).to_string();
                    Command::new(1, &["GETRANGE"]).arg(key).arg("0").arg(last)
                }
            });
        }
    }

    /// Takes in the answers about one session, one for each of `asked`. Gives back how many of them the server counts as misses of the
    /// keyspace.
    pub fn note(&mut self, picked: &Picked, asked: &[DetailCommand], replies: &[Reply]) -> u64 {
        self.is_proven = true;
        let mut looked = Looked {
            random: picked.random,
            app: picked.app,
            is_gone: false,
            remaining: None,
            size: None,
            is_right_type: None,
            is_in_the_clear: None,
        };
        let mut misses = 0;
        for (command, reply) in asked.iter().zip(replies) {
            if let Some(reason) = unavailability(reply) {
                let is_general = reason == Unavailable::Unsupported || denies_command(reply);
                self.refuse(*command, Refusal { reason, is_general });
            } else {
                self.read(*command, reply, &mut looked);
                misses += u64::from(is_miss(*command, reply, &looked));
            }
        }
        // The threshold may have been lowered while this one was under way.
        if looked.random < self.threshold {
            self.kept.push(looked);
        }
        misses
    }

    fn read(&self, command: DetailCommand, reply: &Reply, looked: &mut Looked) {
        match (command, reply) {
            (DetailCommand::GetRange, Reply::Bulk(bytes)) if !bytes.is_empty() => {
                looked.is_in_the_clear = self.expected_prefix.as_ref().map(|prefix| prefix[..] != bytes[..]);
            }
            // Empty, WRONGTYPE, or gone, which the others tell.
            (DetailCommand::GetRange, _) => {}
            (DetailCommand::Pttl, Reply::Integer(-1)) => looked.remaining = Some(Remaining::Forever),
            (DetailCommand::Pttl, Reply::Integer(left)) if *left >= 0 => {
                looked.remaining = Some(Remaining::Milliseconds(*left));
            }
            (DetailCommand::MemoryUsage, Reply::Integer(size)) if *size >= 0 => {
                looked.size = u64::try_from(*size).ok();
            }
            (DetailCommand::Type, Reply::Simple(name)) if &name[..] != b"none" => {
                looked.is_right_type = self.key_type.map(|expected| expected.as_str().as_bytes() == &name[..]);
            }
            // -2, null, `none`, and MOVED or ASK for a slot that moves.
            _ => looked.is_gone = true,
        }
    }

    /// What was looked at.
    pub fn looked(&self) -> &[Looked] {
        &self.kept
    }
}

/// Whether the key was not there when the server looked it up. GETRANGE, which is sent last, answers an empty string then, as for an empty
/// value: what was asked before it tells.
fn is_miss(command: DetailCommand, reply: &Reply, looked: &Looked) -> bool {
    match (command, reply) {
        (DetailCommand::Pttl, Reply::Integer(left)) => *left == -2,
        (DetailCommand::Type, Reply::Simple(name)) => &name[..] == b"none",
        (DetailCommand::GetRange, Reply::Bulk(bytes)) => bytes.is_empty() && looked.is_gone,
        _ => false,
    }
}

/// Whether a denial is about the command and not about the key. Redis and Valkey (6.0 to 9.1): `NOPERM ... has no permissions to run the
/// 'pttl' command`; about keys: `... to access one of the keys ...`, `No permissions to access a key`.
pub(crate) fn denies_command(reply: &Reply) -> bool {
    let Reply::Error(text) = reply else { return false };
    String::from_utf8_lossy(text).contains("to run the")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EncryptionCheck;
    use crate::sessions::stores::testing::store;

    fn error(text: &'static str) -> Reply {
        Reply::Error(text.into())
    }

    /// Looks at everything that waits, with these answers to PTTL and MEMORY USAGE.
    fn look(sample: &mut DetailSample, most: usize) -> usize {
        let asked = sample.asked();
        let picked = sample.take(most);
        for one in &picked {
            sample.note(one, &asked, &[Reply::Integer(1000), Reply::Integer(72)]);
        }
        picked.len()
    }

    #[test]
    fn the_sample_is_uniform_whatever_the_order() {
        let store = store("web");
        let mut random = fastrand::Rng::with_seed(11);
        let (population, limit, runs) = (3000_u32, 100, 400);
        // How often a session of each tenth of the pass is in the sample.
        let mut tenths = [0_u32; 10];
        let mut kept = 0;
        for run in 0..runs {
            // Also with thresholds that are far too high or too low.
            let expected = [None, Some(3000), Some(1000), Some(10_000)][run % 4];
            let mut sample = DetailSample::new(&store, limit, expected);
            for number in 0..population {
                sample.offer(random.f64(), u16::try_from(number).unwrap(), b"web:1");
                if number % 7 == 0 {
                    look(&mut sample, 20);
                }
            }
            while look(&mut sample, 1000) > 0 {}
            assert!(sample.looked().len() <= limit);
            for looked in sample.looked() {
                tenths[usize::from(looked.app) * 10 / population as usize] += 1;
            }
            kept += sample.looked().len();
        }
        let mean = kept as f64 / 10.0;
        for (tenth, count) in tenths.into_iter().enumerate() {
            let off = (f64::from(count) - mean) / mean.sqrt();
            assert!(off.abs() < 4.0, "tenth {tenth}: {count} of {mean}");
        }
        assert!(kept / runs >= 75, "{kept}");
    }

    #[test]
    fn few_sessions_are_all_looked_at() {
        let store = store("web");
        let mut sample = DetailSample::new(&store, 10, Some(10));
        for number in 0..10 {
            sample.offer(0.999, number, b"web:1");
        }
        assert_eq!(sample.waiting(), 1, "the first one alone shows what the user may do");
        assert_eq!(look(&mut sample, 5), 1);
        assert_eq!(
            (look(&mut sample, 5), look(&mut sample, 5), look(&mut sample, 5)),
            (5, 4, 0)
        );
        assert_eq!(sample.looked().len(), 10);
        let mut none = DetailSample::new(&store, 0, None);
        none.offer(0.0, 0, b"web:1");
        assert_eq!(none.waiting(), 0);
    }

    #[test]
    fn one_denial_ends_a_command_for_the_store() {
        let mut store = store("web");
        store.key_type = Some(KeyType::String);
        let mut sample = DetailSample::new(&store, 10, None);
        for _ in 0..3 {
            sample.offer(0.5, 0, b"web:1");
        }
        let asked = sample.asked();
        assert_eq!(
            asked,
            [DetailCommand::Pttl, DetailCommand::MemoryUsage, DetailCommand::Type]
        );
        let picked = sample.take(10);
        assert_eq!((picked.len(), sample.waiting(), sample.take(10).len()), (1, 0, 0));
        let replies = [
            error("NOPERM User u has no permissions to run the 'pttl' command"),
            Reply::Integer(50),
            error("NOPERM No permissions to access a key"),
        ];
        sample.note(&picked[0], &asked, &replies);
        assert_eq!(sample.asked(), [DetailCommand::MemoryUsage]);
        let general: Vec<bool> = sample.refused().values().map(|refusal| refusal.is_general).collect();
        assert_eq!(general, [true, false]);
        assert_eq!(sample.looked()[0].size, Some(50));
        assert!(!sample.looked()[0].is_gone);
        sample.refuse(
            DetailCommand::MemoryUsage,
            Refusal {
                reason: Unavailable::Unsupported,
                is_general: true,
            },
        );
        assert!(
            sample.take(10).is_empty() && sample.waiting() == 0,
            "nothing is asked in vain"
        );
    }

    #[test]
    fn lookups_of_keys_that_are_gone_are_misses() {
        let mut store = store("web");
        store.key_type = Some(KeyType::String);
        store.encryption = Some(EncryptionCheck {
            expect_prefix: "enc:".to_owned(),
        });
        let mut sample = DetailSample::new(&store, 10, None);
        sample.offer(0.5, 0, b"web:1");
        let (asked, picked) = (sample.asked(), sample.take(1));
        let mut misses = |left, size, kind: &'static str, value: &'static str| {
            let replies = [
                Reply::Integer(left),
                size,
                Reply::Simple(kind.into()),
                Reply::Bulk(value.into()),
            ];
            sample.note(&picked[0], &asked, &replies)
        };
        assert_eq!(misses(5, Reply::Integer(9), "string", ""), 0);
        assert_eq!(misses(-1, Reply::Integer(9), "string", "enc:"), 0);
        // MEMORY USAGE adds neither hits nor misses.
        assert_eq!(misses(-2, Reply::Null, "none", ""), 3);
        assert_eq!(misses(5, Reply::Null, "none", ""), 2, "it ended in between");
    }

    #[test]
    fn answers_are_read_as_they_are_meant() {
        let mut store = store("web");
        store.key_type = Some(KeyType::Hash);
        store.encryption = Some(EncryptionCheck {
            expect_prefix: "enc:".to_owned(),
        });
        let look = |replies: [Reply; 4]| {
            let mut sample = DetailSample::new(&store, 10, None);
            sample.offer(0.0, 3, b"web:\xff 1");
            let asked = sample.asked();
            let picked = sample.take(1);
            let mut batch = Vec::new();
            sample.push_commands(&picked[0], &asked, &mut batch);
            let words: Vec<&[u8]> = batch[3].words().iter().map(AsRef::as_ref).collect();
            assert_eq!(words, [&b"GETRANGE"[..], b"web:\xff 1", b"0", b"3"]);
            sample.note(&picked[0], &asked, &replies);
            sample.looked()[0]
        };
        let kind = |name: &'static str| Reply::Simple(name.into());
        let value = |text: &'static str| Reply::Bulk(text.into());
        let whole = look([Reply::Integer(-1), Reply::Integer(100), kind("hash"), value("enc:")]);
        assert_eq!(whole.remaining, Some(Remaining::Forever));
        assert_eq!(
            (
                whole.app,
                whole.size,
                whole.is_right_type,
                whole.is_in_the_clear,
                whole.is_gone
            ),
            (3, Some(100), Some(true), Some(false), false)
        );
        let other = look([Reply::Integer(5), Reply::Integer(1), kind("string"), value("en")]);
        assert_eq!((other.is_right_type, other.is_in_the_clear), (Some(false), Some(true)));
        let hash = look([
            Reply::Integer(5),
            Reply::Integer(1),
            kind("hash"),
            error("WRONGTYPE Operation against a key holding the wrong kind of value"),
        ]);
        assert_eq!((hash.is_in_the_clear, hash.is_gone), (None, false));
        // Each of them alone shows that the key is gone.
        let there = || [Reply::Integer(5), Reply::Integer(1), kind("hash"), value("")];
        for (position, gone) in [Reply::Integer(-2), Reply::Null, kind("none")].into_iter().enumerate() {
            let mut replies = there();
            replies[position] = gone;
            assert!(look(replies).is_gone, "{position}");
        }
        assert!(look([error("MOVED 1 h:1"), Reply::Integer(1), kind("hash"), value("x")]).is_gone);
        assert_eq!(look(there()).is_in_the_clear, None);
    }
}
