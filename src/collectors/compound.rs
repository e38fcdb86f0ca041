//! INFO fields whose name ends in a name of the server's (`cmdstat_config|get:calls=1,usec=2`), and commandstats, which two
//! collectors read.

use crate::redis::Info;
use crate::redis::info::{pairs, parse_number};
use std::borrow::Cow;

/// One field with a compound value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compound<'a> {
    /// The name without the prefix. Modules and forks name commands with colons, dots, dashes and quotes.
    pub name: Cow<'a, str>,
    /// The value, `key=value` pairs.
    pub value: &'a str,
}

/// The fields that start with `prefix`, sorted by name, each name once (the first wins: two binary names may read alike once
/// their bytes are replaced).
///
/// INFO is split at its first colon, but a command's name may hold one, and the pairs behind it hold none. So the name ends at
/// the last colon.
pub fn compounds<'a>(info: &'a Info, prefix: &'static str) -> Vec<Compound<'a>> {
    let mut found: Vec<Compound<'a>> = info
        .with_prefix(prefix)
        .map(|field| match field.value.rsplit_once(':') {
            None => Compound {
                name: Cow::Borrowed(field.name),
                value: field.value,
            },
            Some((rest_of_name, value)) => Compound {
                name: Cow::Owned(format!("{}:{rest_of_name}", field.name)),
                value,
            },
        })
        .filter(|compound| !compound.name.is_empty())
        .collect();
    found.sort_by(|left, right| left.name.cmp(&right.name));
    found.dedup_by(|later, first| later.name == first.name);
    found
}

/// The number behind `key=` in a compound value, unless it is negative.
pub fn count(value: &str, key: &str) -> Option<f64> {
    let (_, text) = pairs(value).find(|(name, _)| *name == key)?;
    parse_number(text).filter(|number| *number >= 0.0)
}

/// What commandstats says about one command.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandStat<'a> {
    /// Name of the command as the server writes it: `get`, `config|get`, `json.set`.
    pub name: Cow<'a, str>,
    /// Calls that were executed.
    pub calls: f64,
    /// Microseconds of execution.
    pub microseconds: f64,
    /// Calls refused before execution (6.2+).
    pub rejected: Option<f64>,
    /// Calls that failed while executed (6.2+).
    pub failed: Option<f64>,
}

/// Commandstats, sorted by name. Lines without calls or time are left out.
pub fn command_stats(info: &Info) -> Vec<CommandStat<'_>> {
    compounds(info, "cmdstat_")
        .into_iter()
        .filter_map(|Compound { name, value }| {
            Some(CommandStat {
                calls: count(value, "calls")?,
                microseconds: count(value, "usec")?,
                rejected: count(value, "rejected_calls"),
                failed: count(value, "failed_calls"),
                name,
            })
        })
        .collect()
}

/// The statistics of one command, out of a list that [`command_stats`] sorted.
pub fn find<'a, 'b>(stats: &'b [CommandStat<'a>], name: &str) -> Option<&'b CommandStat<'a>> {
    let at = stats.binary_search_by(|stat| stat.name.as_ref().cmp(name)).ok()?;
    stats.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything_but_the_last_colon() {
        let info = Info::parse(
            b"cmdstat_a:b:calls=3,usec=4\r\ncmdstat_config|get:calls=1,usec=2,rejected_calls=5,failed_calls=6\r\n\
              cmdstat_quo\"te:calls=1,usec=2\r\ncmdstat_:calls=1,usec=2\r\ncmdstat_broken:calls=x,usec=2\r\ncmdstat_none:\r\n",
        );
        let stats = command_stats(&info);
        let names: Vec<&str> = stats.iter().map(|stat| stat.name.as_ref()).collect();
        assert_eq!(names, ["a:b", "config|get", "quo\"te"]);
        assert_eq!(find(&stats, "config|get").unwrap().failed, Some(6.0));
        assert_eq!(find(&stats, "a:b").unwrap().rejected, None);
        assert_eq!(find(&stats, "a"), None);
    }

    #[test]
    fn names_that_read_alike_are_one() {
        let info = Info::parse(b"cmdstat_\xff:calls=3,usec=4\r\ncmdstat_\xfe:calls=5,usec=4\r\n");
        assert_eq!(command_stats(&info).len(), 1);
    }
}
