//! Answers and their bodies.

use super::guard::Answering;
use crate::exposition::body::{Exposed, Pieces};
use crate::exposition::gzip::CompressError;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use std::pin::Pin;
use std::task::{Context, Poll};

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Answer {
    response: Response<AnswerBody>,
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct AnswerBody {
    content: Content,
    /// Ends with the body.
    guard: Option<Answering>,
}

#[derive(Debug)]
enum Content {
    /// The parts that are not sent yet.
    Parts(std::vec::IntoIter<Bytes>),
    /// Made while it is sent.
    Pieces(Box<Pieces>),
}

impl Answer {
    fn new(status: StatusCode, content_type: &'static str, content: Content) -> Self {
        let mut response = Response::new(AnswerBody { content, guard: None });
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Self { response }
    }

    fn whole(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Self {
        let parts = vec![text.into()].into_iter();
        Self::new(status, content_type, Content::Parts(parts))
    }

    /// A line or more of plain text; a line feed is added.
    pub(super) fn text(status: StatusCode, text: &str) -> Self {
        Self::whole(status, "text/plain; charset=utf-8", format!("{text}\n"))
    }

    /// A value as JSON.
    pub(super) fn json(status: StatusCode, value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec_pretty(value) {
            Ok(json) => Self::whole(status, "application/json", json).with_header(header::CACHE_CONTROL, NO_STORE),
            Err(_) => Self::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the answer could not be written as JSON",
            ),
        }
    }

    /// A text that is JSON already.
    pub(super) fn json_text(text: String) -> Self {
        Self::whole(StatusCode::OK, "application/json", text).with_header(header::CACHE_CONTROL, NO_STORE)
    }

    /// YAML.
    pub(super) fn yaml(text: String) -> Self {
        Self::whole(StatusCode::OK, "text/yaml; charset=utf-8", text).with_header(header::CACHE_CONTROL, NO_STORE)
    }

    /// A page for people. It may load nothing and be framed by nobody.
    pub(super) fn html(text: String) -> Self {
        Self::whole(StatusCode::OK, "text/html; charset=utf-8", text)
            .with_header(header::CACHE_CONTROL, NO_STORE)
            .with_header(
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(
                    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                ),
            )
            .with_header(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"))
            .with_header(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
    }

    /// Metrics.
    pub(super) fn exposed(content_type: &'static str, exposed: Exposed, gzip: bool) -> Self {
        let content = match exposed {
            Exposed::Parts(parts) => Content::Parts(parts.into_iter()),
            Exposed::Pieces(pieces) => Content::Pieces(pieces),
        };
        let answer = Self::new(StatusCode::OK, content_type, content)
            .with_header(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
        if gzip {
            answer.with_header(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))
        } else {
            answer
        }
    }

    /// The answer with one more header.
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.response.headers_mut().insert(name, value);
        self
    }

    /// The status.
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header, for tests.
    #[cfg(test)]
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.response.headers().get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// How often a header is there, for tests.
    #[cfg(test)]
    pub(super) fn header_count(&self, name: &str) -> usize {
        self.response.headers().get_all(name).iter().count()
    }

    /// The answer to HEAD: the same headers, with the length of the body that GET would get, where it is known beforehand.
    pub(super) fn without_body(mut self) -> Self {
        let length = self.response.body().size_hint().exact();
        if let Some(length) = length {
            let length = HeaderValue::from(length);
            self.response.headers_mut().insert(header::CONTENT_LENGTH, length);
        }
        self.response.body_mut().content = Content::Parts(Vec::new().into_iter());
        self
    }

    /// The finished answer. The guard ends when the body was handed to the socket.
    pub(super) fn with_guard(mut self, guard: Answering) -> Response<AnswerBody> {
        self.response.body_mut().guard = Some(guard);
        self.response
    }
}

/// What changes with every poll must not be kept by anybody.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CompressError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = match &mut self.get_mut().content {
            Content::Parts(parts) => parts.find(|part| !part.is_empty()).map(Ok),
            Content::Pieces(pieces) => pieces.next_piece(),
        };
        Poll::Ready(frame.map(|result| result.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Parts(parts) => parts.as_slice().iter().all(Bytes::is_empty),
            Content::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Parts(parts) => {
                let bytes: usize = parts.as_slice().iter().map(Bytes::len).sum();
                SizeHint::with_exact(u64::try_from(bytes).unwrap_or(u64::MAX))
            }
            Content::Pieces(_) => SizeHint::default(),
        }
    }
}
