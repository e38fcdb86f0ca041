//! The query of a URL, read within limits.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Parameters of one request. The longest sensible one names every collector once.
const MAX_PARAMETERS: usize = 128;

/// The query has more than [`MAX_PARAMETERS`] parameters, or bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the query is not valid: it must be percent-encoded UTF-8 with at most 128 parameters")]
pub(super) struct QueryError;

/// The parameters in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads a query as browsers and Prometheus write it (`application/x-www-form-urlencoded`).
    pub(super) fn parse(query: Option<&'a str>) -> Result<Self, QueryError> {
        let mut parameters = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == MAX_PARAMETERS {
                return Err(QueryError);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.push((decode(name, true)?, decode(value, true)?));
        }
        Ok(Self(parameters))
    }

    /// The first value of a parameter.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let matching = self.0.iter().filter(move |(known, _)| known == name);
        matching.map(|(_, value)| value.as_ref())
    }
}

/// A value that was encoded once more, as in a query.
pub(super) fn decode_form(text: &str) -> Result<Cow<'_, str>, QueryError> {
    decode(text, true)
}

/// One segment of a path, decoded.
pub(super) fn decode_segment(segment: &str) -> Result<Cow<'_, str>, QueryError> {
    decode(segment, false)
}

fn decode(text: &str, plus_is_space: bool) -> Result<Cow<'_, str>, QueryError> {
    if plus_is_space && text.contains('+') {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| QueryError)?;
        return Ok(Cow::Owned(decoded.into_owned()));
    }
    percent_decode_str(text).decode_utf8().map_err(|_| QueryError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse(Some("collect[]=a&collect%5B%5D=b&target=redis%3A%2F%2Fh+x&&flag")).unwrap();
        assert_eq!(query.all("collect[]").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(query.first("target"), Some("redis://h x"));
        assert_eq!(query.first("flag"), Some(""));
        assert_eq!(query.first("absent"), None);
        assert_eq!(Query::parse(None), Ok(Query::default()));
    }

    #[test]
    fn bad_queries_are_refused() {
        assert_eq!(Query::parse(Some("a=%ff")), Err(QueryError));
        assert_eq!(Query::parse(Some(&"a&".repeat(MAX_PARAMETERS + 1))), Err(QueryError));
        assert!(Query::parse(Some(&"a&".repeat(MAX_PARAMETERS))).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*", soup in "[a%+=&0-9f]{0,100}") {
            let _ = Query::parse(Some(&text));
            let _ = Query::parse(Some(&soup));
            let _ = decode_segment(&soup);
        }
    }
}
