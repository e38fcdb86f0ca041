//! `http_server_config.headers` of the web configuration: what every answer carries, whatever it is.

use super::answer::Answer;
use hyper::header::{HeaderName, HeaderValue};

/// The headers of all answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Headers(Vec<(HeaderName, HeaderValue)>);

/// A header whose value no answer can carry. The configuration lets none through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the header {0} of the web configuration has a value that HTTP cannot carry; write it on one line, without control characters"
)]
pub struct HeaderError(pub &'static str);

impl Headers {
    /// Headers with these values.
    pub(super) fn new(headers: &[(&'static str, String)]) -> Result<Self, HeaderError> {
        let read = |(name, value): &(&'static str, String)| {
            let field = HeaderName::from_bytes(name.as_bytes());
            match (field, HeaderValue::from_bytes(value.as_bytes())) {
                (Ok(field), Ok(value)) => Ok((field, value)),
                _ => Err(HeaderError(name)),
            }
        };
        headers.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The answer with them. They replace what the answer says by itself: the operator knows better who may frame a page.
    pub(super) fn on(&self, answer: Answer) -> Answer {
        let each = self.0.iter();
        each.fold(answer, |answer, (name, value)| {
            answer.with_header(name.clone(), value.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::StatusCode;

    #[test]
    fn every_answer_gets_them_and_none_twice() {
        let headers = Headers::new(&[
            ("X-Frame-Options", "sameorigin".to_owned()),
            ("Content-Security-Policy", "default-src 'self' ä".to_owned()),
        ])
        .unwrap();
        for answer in [Answer::text(StatusCode::OK, "x"), Answer::html("x".to_owned())] {
            let answer = headers.on(answer);
            assert_eq!(answer.header("x-frame-options"), "sameorigin");
            assert_eq!(answer.header_count("x-frame-options"), 1);
            assert_eq!(answer.header_count("content-security-policy"), 1);
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
        let wrong = Headers::new(&[("X-XSS-Protection", "a\r\nb".to_owned())]);
        assert_eq!(wrong, Err(HeaderError("X-XSS-Protection")));
    }
}
