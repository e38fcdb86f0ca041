//! Keyspace notifications: which events there are, over which channels they come, and what the server's setting switches on.
//!
//! Source: the Redis documentation "Redis keyspace notifications" and `notify.c` of Redis 6.2 to 8.0 and Valkey 8.0.

/// Events that we listen to, as the last word of a channel's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// A key came into being, however (Redis 7.0).
    New,
    /// A key was deleted by a command.
    Deleted,
    /// A key was deleted since its time was over.
    Expired,
    /// A key was deleted since memory was short.
    Evicted,
    /// A key lost its name to RENAME.
    RenameFrom,
    /// A key got its name by RENAME.
    RenameTo,
    /// A key was made by RESTORE.
    Restore,
    /// A key was made by COPY.
    CopyTo,
    /// A key left its database by MOVE.
    MoveFrom,
    /// A key came to its database by MOVE.
    MoveTo,
}

/// Classes of events that are switched on apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// `n`
    New,
    /// `g`
    Generic,
    /// `x`
    Expired,
    /// `e`
    Evicted,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Generic, Self::Expired, Self::Evicted, Self::New];

    /// The letter of `notify-keyspace-events`.
    pub const fn letter(self) -> char {
        match self {
            Self::New => 'n',
            Self::Generic => 'g',
            Self::Expired => 'x',
            Self::Evicted => 'e',
        }
    }
}

impl EventKind {
    /// Every kind; the position of one is its `index`.
    pub const ALL: [Self; 10] = [
        Self::New,
        Self::Deleted,
        Self::Expired,
        Self::Evicted,
        Self::RenameFrom,
        Self::RenameTo,
        Self::Restore,
        Self::CopyTo,
        Self::MoveFrom,
        Self::MoveTo,
    ];

    /// The last word of the channel, which is also the label value of `event`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Deleted => "del",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
            Self::RenameFrom => "rename_from",
            Self::RenameTo => "rename_to",
            Self::Restore => "restore",
            Self::CopyTo => "copy_to",
            Self::MoveFrom => "move_from",
            Self::MoveTo => "move_to",
        }
    }

    /// What switches it on.
    pub const fn class(self) -> Class {
        match self {
            Self::New => Class::New,
            Self::Expired => Class::Expired,
            Self::Evicted => Class::Evicted,
            _ => Class::Generic,
        }
    }

    fn of(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str().as_bytes() == word)
    }
}

/// How the name of an event channel begins.
const CHANNEL_START: &[u8] = b"__keyevent@";

/// What stands between the number of the database and the event.
const CHANNEL_MIDDLE: &[u8] = b"__:";

/// The channel of an event in a database.
pub fn channel(database: u32, kind: EventKind) -> Vec<u8> {
    format!("__keyevent@{database}__:{}", kind.as_str()).into_bytes()
}

/// Database and event of a channel; `None` for any other channel.
pub fn parse_channel(channel: &[u8]) -> Option<(u32, EventKind)> {
    let rest = channel.strip_prefix(CHANNEL_START)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = rest.split_at_checked(digits)?;
    let database = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((database, EventKind::of(rest.strip_prefix(CHANNEL_MIDDLE)?)?))
}

/// Whether a class of events is published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Known {
    /// It is not.
    Off,
    /// Nobody can tell: CONFIG GET is denied, or does not show it.
    #[default]
    Unknown,
    /// It is: the setting says so, or an event of the class came.
    On,
}

/// Longest setting that is taken for one: there are fewer than 30 letters.
const MAX_SETTING_BYTES: usize = 64;

/// What sessions are counted with, in the order in which the documentation of this program writes it.
const NEEDED: &str = "Egxen";

/// The setting `notify-keyspace-events` as CONFIG GET shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting(String);

impl Setting {
    /// From the value that CONFIG GET answered; `None` when it is no setting (too long, or other than letters and `$`).
    pub fn parse(text: &str) -> Option<Self> {
        let plausible = |letter: char| letter.is_ascii_alphabetic() || letter == '$';
        (text.len() <= MAX_SETTING_BYTES && text.chars().all(plausible)).then(|| Self(text.to_owned()))
    }

    /// As the server writes it; empty when notifications are off.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn has(&self, letter: char) -> bool {
        self.0.contains(letter)
    }

    /// Whether events of a class come over event channels. `A` stands for all classes but a few; `n` is none of them and is not
    /// shown beside `A` although it may be on (Redis 7.0 to 8.0, Valkey 8.0).
    pub fn class(&self, class: Class) -> Known {
        if !self.has('E') {
            return Known::Off;
        }
        match class {
            _ if self.has(class.letter()) => Known::On,
            Class::New if self.has('A') => Known::Unknown,
            _ if class != Class::New && self.has('A') => Known::On,
            _ => Known::Off,
        }
    }

    /// Whether there is anything to listen to.
    pub fn is_useful(&self) -> bool {
        Class::ALL.into_iter().any(|class| self.class(class) != Known::Off)
    }

    /// What should be set so that everything about sessions is published: what is set, plus what is missing. `None` when nothing
    /// is missing.
    pub fn completed(&self) -> Option<String> {
        let covered = |letter: char| self.has(letter) || (self.has('A') && "gxe".contains(letter));
        let missing: String = NEEDED.chars().filter(|letter| !covered(*letter)).collect();
        (!missing.is_empty()).then(|| format!("{}{missing}", self.0))
    }

    /// The command that switches on what is missing; `None` when nothing is. `config_command` is the name of CONFIG there.
    pub fn mending_command(&self, config_command: &str) -> Option<String> {
        self.completed()
            .map(|setting| format!("{config_command} SET notify-keyspace-events {setting}"))
    }
}

/// What is known of the classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Classes {
    new: Known,
    generic: Known,
    expired: Known,
    evicted: Known,
}

impl Classes {
    /// By the setting; without one nothing is known.
    pub fn of(setting: Option<&Setting>) -> Self {
        let known = |class| setting.map_or(Known::Unknown, |setting| setting.class(class));
        Self {
            new: known(Class::New),
            generic: known(Class::Generic),
            expired: known(Class::Expired),
            evicted: known(Class::Evicted),
        }
    }

    /// Whether a class is published.
    pub fn get(&self, class: Class) -> Known {
        match class {
            Class::New => self.new,
            Class::Generic => self.generic,
            Class::Expired => self.expired,
            Class::Evicted => self.evicted,
        }
    }

    /// Whether a class is known to be published.
    pub fn is_on(&self, class: Class) -> bool {
        self.get(class) == Known::On
    }

    /// Takes note of what was found out.
    pub fn set(&mut self, class: Class, known: Known) {
        let place = match class {
            Class::New => &mut self.new,
            Class::Generic => &mut self.generic,
            Class::Expired => &mut self.expired,
            Class::Evicted => &mut self.evicted,
        };
        *place = known;
    }

    /// Whether every coming and going of a key is told, so that a count can be kept by events alone. That evictions and expiries
    /// are told need not be proven: there may be none.
    pub fn tell_counts(&self) -> bool {
        self.is_on(Class::New) && self.is_on(Class::Generic) && self.expired != Known::Off && self.evicted != Known::Off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_read_as_they_are_written() {
        for kind in EventKind::ALL {
            for database in [0, 7, u32::MAX] {
                assert_eq!(parse_channel(&channel(database, kind)), Some((database, kind)));
            }
        }
        for other in [
            "__keyspace@0__:new",
            "__keyevent@0__:set",
            "__keyevent@__:new",
            "__keyevent@-1__:new",
            "__keyevent@4294967296__:new",
            "__keyevent@0__:new ",
            "__keyevent@0_:new",
            "",
        ] {
            assert_eq!(parse_channel(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn settings_are_understood_as_the_server_means_them() {
        use Known::{Off, On, Unknown};
        // Setting, then g, x, e, n, and what should be set instead.
        let table = [
            ("", [Off, Off, Off, Off], Some("Egxen")),
            ("gxenE", [On, On, On, On], None),
            ("xE", [Off, On, Off, Off], Some("xEgen")),
            ("gxenK", [Off, Off, Off, Off], Some("gxenKE")),
            ("AE", [On, On, On, Unknown], Some("AEn")),
            ("AKEm", [On, On, On, Unknown], Some("AKEmn")),
            ("AK", [Off, Off, Off, Off], Some("AKEn")),
            ("nE", [Off, Off, Off, On], Some("nEgxe")),
        ];
        for (text, [generic, expired, evicted, new], completed) in table {
            let setting = Setting::parse(text).unwrap();
            let classes = Classes::of(Some(&setting));
            assert_eq!(classes.get(Class::Generic), generic, "{text}");
            assert_eq!(classes.get(Class::Expired), expired, "{text}");
            assert_eq!(classes.get(Class::Evicted), evicted, "{text}");
            assert_eq!(classes.get(Class::New), new, "{text}");
            assert_eq!(setting.completed().as_deref(), completed, "{text}");
            let useful = [generic, expired, evicted, new].iter().any(|known| *known != Off);
            assert_eq!(setting.is_useful(), useful, "{text}");
        }
        assert_eq!(Setting::parse("Ex\r\nFLUSHALL"), None);
        assert_eq!(Setting::parse(&"E".repeat(65)), None);
        assert_eq!(
            Setting::parse("").unwrap().mending_command("CONFIG").as_deref(),
            Some("CONFIG SET notify-keyspace-events Egxen")
        );
    }

    #[test]
    fn a_count_needs_comings_and_goings() {
        let mut classes = Classes::default();
        assert!(!classes.tell_counts());
        classes.set(Class::New, Known::On);
        assert!(!classes.tell_counts());
        classes.set(Class::Generic, Known::On);
        assert!(classes.tell_counts());
        classes.set(Class::Evicted, Known::Off);
        assert!(!classes.tell_counts());
    }
}
